"""Live events: every type of the contract is matched, and another one is an error of the program."""

from pathlib import Path
from typing import Any, get_args

import pytest

from engine.contract.events import TERMINAL, EngineEvent, Event, JobEvent
from studio.rendering.progress import LiveJobs, ProgressEvent
from tests.studio.factories import benched
from tests.studio.take_factories import a_take


class Verdict(JobEvent):
    """Of a type that the contract does not have."""

    type: str = "verdict"


def test_the_events_that_do_not_end_a_job_are_all_progress() -> None:
    kinds = set(get_args(get_args(Event)[0]))
    assert set(get_args(ProgressEvent)) == {kind for kind in kinds - set(TERMINAL) if not issubclass(kind, EngineEvent)}


def test_live_jobs_refuse_an_event_of_another_type() -> None:
    jobs, job = LiveJobs(), a_take("a").job
    jobs.put(job, (("p", "a"),))
    event: Any = Verdict(time_s=1.0, job_id=job.id)
    with pytest.raises(AssertionError):
        jobs.apply(event)


def test_the_job_tracker_refuses_an_event_of_another_type(tmp_path: Path) -> None:
    event: Any = Verdict(time_s=1.0, job_id="j")
    with benched(tmp_path) as bench, pytest.raises(AssertionError):
        bench.studio._tracker.handle_event(event, "workspace")
