"""Jobs as earlier versions wrote them: what is kept on a disk stays readable, and what is to be rendered proves itself.

Comes in: ``written/``, a job's JSON for each ``PIPELINE_VERSION``, never to be written again. A change of the job that
makes the newest of them unreadable needs a new version, and a new file.
"""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.client.client import EngineClient
from engine.contract.events import JobRejected
from engine.contract.jobs import PIPELINE_VERSION, Job
from tests.engine.factories import a_job, events_of, milestones

WRITTEN = {
    int(path.stem.rpartition("-")[2]): path.read_text()
    for path in sorted((Path(__file__).parent / "written").glob("job-pipeline-*.json"))
}


def test_every_version_is_kept_here() -> None:
    assert sorted(WRITTEN) == list(range(1, PIPELINE_VERSION + 1))


@pytest.mark.parametrize("version", WRITTEN)
def test_a_job_is_read_as_it_was_written(version: int) -> None:
    told, job = json.loads(WRITTEN[version]), Job.model_validate_json(WRITTEN[version])
    assert (job.id, job.recipe, job.pipeline, job.seed) == (told["id"], told["recipe"], version, told["seed"])
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_a_job_of_this_version_proves_its_recipe() -> None:
    changed = {**json.loads(WRITTEN[PIPELINE_VERSION]), "seed": 2}
    with pytest.raises(ValidationError, match="not the hash of this job's settings"):
        Job.model_validate(changed)


def test_a_job_of_an_earlier_version_is_not_rendered_and_holds_up_no_other(shared: EngineClient) -> None:
    early, behind = Job.model_validate_json(WRITTEN[1]), a_job("behind an early one")
    shared.pause()
    shared.submit(early)
    shared.submit(behind)
    shared.resume()
    end = events_of(shared, early.id)[-1]
    assert isinstance(end, JobRejected) and end.code == "pipeline"
    assert "planned for pipeline 1" in end.reason
    assert milestones(events_of(shared, behind.id)) == ["queued", "started", "finished"]
    assert [status.job.recipe for status in shared.jobs() if status.job.id == early.id] == [early.recipe]
