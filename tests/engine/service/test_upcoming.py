"""The ranks hear which first frames the picture model will be asked for next, also those of jobs that come later."""

import asyncio
from pathlib import Path

from engine.contract import wire
from engine.contract.jobs import FromModel, Job
from engine.service.groups import Group
from engine.service.settings import Settings
from engine.service.store import Store
from tests.engine.factories import a_job
from tests.engine.service.test_dispatch import InProcess, dispatch


def a_text2world_job(prompt: str, job_id: str) -> Job:
    plain = a_job(prompt)
    settings = {"size_px": plain.size_px, "sampler": plain.sampler, "guidance_scale": 1.0, "precision": "float32"}
    first = {
        "kind": "model",
        "model": "painter",
        "weights": "0" * 64,
        "prompt": prompt,
        "negative_prompt": "",
        "seed": 1,
    }
    return a_job(prompt, job_id=job_id, conditioning=FromModel.model_validate(first | settings))


class Listening(InProcess):
    """Never answers, and keeps what it hears of the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[wire.Upcoming] = []

    async def send(self, command: wire.Command) -> None:
        if isinstance(command, wire.Upcoming):
            self.heard.append(command)


def test_first_frames_of_jobs_that_come_later_are_sent(tmp_path: Path) -> None:
    first, *later = [a_text2world_job(prompt, prompt) for prompt in ("first", "second", "third")]
    groups: list[Listening] = []

    def listening(_: Settings) -> Group:
        groups.append(Listening())
        return groups[-1]

    async def story(store: Store) -> None:
        for job in (first, *later):
            store.submit(job)
            while store.running_job_id() is None:
                await asyncio.sleep(0.01)
        while not (groups[0].heard and len(groups[0].heard[-1].pictures) == 2):
            await asyncio.sleep(0.01)

    dispatch(tmp_path, story, listening)
    assert groups[0].heard[-1].pictures == tuple(job.conditioning for job in later)
    assert {command.job_id for command in groups[0].heard} == {"first"}
