"""What becomes of jobs when the group dies, lies, says no or is slow; the fake group is a process of its own."""

import asyncio
import dataclasses
import errno
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.client.client import EngineClient
from engine.contract import wire
from engine.contract.events import (
    EVENT,
    EngineDown,
    EngineUp,
    Event,
    Failed,
    Finished,
    Interrupted,
    JobRejected,
    Queued,
    Started,
)
from engine.contract.jobs import FromMedia, FromTake, Job
from engine.service.change_signal import ChangeSignal
from engine.service.dispatcher import Dispatcher, protocol_violation
from engine.service.groups import Group, GroupDied
from engine.service.settings import Settings
from engine.service.store import Store
from engine.service.tables import open_database
from engine.service.takes import Takes
from engine.storage.media import probe
from engine.storage.workspace import Workspace
from tests.engine.factories import a_job, a_picture, events_of, milestones, until, wait_for_step, wait_until
from tests.engine.in_process import QUICK_BACK_OFF_S, EngineThread, ForkedGroup


def test_a_job_becomes_a_take(shared: EngineClient, tmp_path: Path) -> None:
    job = a_job("a blue boat", num_frames=7)
    shared.submit(job)
    seen = events_of(shared, job.id)
    assert milestones(seen) == ["queued", "started", "finished"]
    finished = seen[-1]
    assert isinstance(finished, Finished)
    (take,) = finished.takes
    shared.fetch_media(take.media, tmp_path / "take.mp4")
    info = probe(tmp_path / "take.mp4")
    assert (info.kind, info.num_frames, info.size_px) == ("clip", 7, (48, 32))


@pytest.mark.parametrize(
    ("prompt", "story"),
    [
        ("die at step 2 on attempt 1", ["started", "interrupted", "started", "finished"]),
        (
            "die at step 1 on attempt 1 die at step 3 on attempt 2",
            ["started", "interrupted"] * 2 + ["started", "finished"],
        ),
        ("die at step 1", ["started", "interrupted"] * 3 + ["failed"]),
        ("lie", ["started", "interrupted"] * 3 + ["failed"]),
        ("fail", ["started", "failed"]),
        ("reject", ["started", "rejected"]),
    ],
)
def test_ends(shared: EngineClient, prompt: str, story: list[str]) -> None:
    job, behind = a_job(prompt), a_job(f"behind {prompt.encode().hex()}")
    shared.submit(job)
    shared.submit(behind)
    seen = events_of(shared, job.id)
    assert milestones(seen) == ["queued", *story]
    for event in seen:
        if isinstance(event, Interrupted) and "die" in prompt:
            assert "signal 9 (SIGKILL)" in event.reason
    if isinstance(seen[-1], Failed) and "interrupted" in story:
        assert "after 3 attempts" in seen[-1].reason
    assert milestones(events_of(shared, behind.id)) == ["queued", "started", "finished"]


def test_what_stands_is_not_rendered_again(shared: EngineClient) -> None:
    first = a_job("once is enough")
    shared.submit(first)
    rendered = events_of(shared, first.id)[-1]
    again = a_job("once is enough", job_id="again", scene_id="s2")
    shared.submit(again)
    seen = events_of(shared, "again")
    assert milestones(seen) == ["queued", "finished"]
    assert isinstance(rendered, Finished) and isinstance(seen[-1], Finished)
    one, other = rendered.takes[0], seen[-1].takes[0]
    assert (other.media, other.recipe, other.scene_id) == (one.media, one.recipe, "s2")
    assert other.id != one.id


@pytest.mark.parametrize("damage", ["take.json", "take.mp4"])
def test_a_damaged_take_is_rendered_again_and_kept_aside(workspace: Workspace, cards: Path, damage: str) -> None:
    first = a_job("damaged")
    with EngineThread(workspace, cards=cards) as client:
        client.submit(first)
        events_of(client, first.id)
        (workspace.take_folder(first.recipe) / damage).write_bytes(b"{}")
        client.submit(first.model_copy(update={"id": "second"}))
        assert milestones(events_of(client, "second")) == ["queued", "started", "finished"]
    assert len(list(workspace.takes.glob(f"{first.recipe}.damaged-*"))) == 1


def test_a_missing_start_is_said_in_words(shared: EngineClient) -> None:
    from_media = a_job("from a lost picture", conditioning=FromMedia(kind="image", media="3" * 64, num_frames=1))
    from_take = a_job("from a lost take", conditioning=FromTake(recipe="4" * 64, num_frames=5))
    for job, words in ((from_media, "not at the engine"), (from_take, "Render the scene before it first")):
        shared.submit(job)
        end = events_of(shared, job.id)[-1]
        assert isinstance(end, JobRejected)
        assert end.code == "conditioning" and words in end.reason


def test_a_job_waits_for_the_take_it_continues(shared: EngineClient, tmp_path: Path) -> None:
    picture = shared.put_media(a_picture(tmp_path / "start.png"))
    before = a_job("before", conditioning=FromMedia(kind="image", media=picture, num_frames=1))
    after = a_job("after", conditioning=FromTake(recipe=before.recipe, num_frames=5))
    shared.pause()
    shared.submit(after)
    shared.submit(before)
    shared.resume()
    assert milestones(events_of(shared, after.id)) == ["queued", "started", "finished"]
    assert events_of(shared, before.id)[-1].seq < events_of(shared, after.id)[-1].seq


@pytest.mark.parametrize("stage", ["denoise", "decode"])
def test_cancel_while_it_works(shared: EngineClient, stage: str) -> None:
    job = a_job(f"cancelled in {stage} 0.05 s per step", num_steps=8 if stage == "decode" else 200, num_frames=200)
    shared.submit(job)
    wait_for_step(shared, job.id, stage=stage)
    assert shared.cancel(job.id).state == "running"
    assert milestones(events_of(shared, job.id)) == ["queued", "started", "cancelled"]
    assert shared.job(job.id).state == "cancelled"


def pause_in_the_middle(client: EngineClient, job: Job) -> None:
    """Until the job says nothing more."""
    client.submit(job)
    wait_for_step(client, job.id, step=3)
    assert client.pause().running_job_id == job.id

    def silent() -> bool:
        before = client.status().last_seq
        time.sleep(0.5)  # ten of its steps
        return client.status().last_seq == before

    wait_until(silent, "the pause")


def test_pause_holds_the_running_job(shared: EngineClient) -> None:
    job = a_job("paused in the middle 0.05 s per step", num_steps=20)
    pause_in_the_middle(shared, job)
    behind = a_job("paused behind")
    shared.submit(behind)
    assert (shared.job(job.id).state, shared.job(behind.id).state) == ("running", "queued")
    shared.resume()
    assert milestones(events_of(shared, job.id)) == ["queued", "started", "finished"]
    events_of(shared, behind.id)


def test_a_pause_ends_for_the_next_job_too(shared: EngineClient) -> None:
    """The one that was paused is cancelled, so that nothing runs when the queue is let go."""
    job, behind = a_job("paused and cancelled 0.05 s per step", num_steps=20), a_job("after a paused one")
    pause_in_the_middle(shared, job)
    shared.cancel(job.id)
    assert milestones(events_of(shared, job.id)) == ["queued", "started", "cancelled"]
    shared.resume()
    shared.submit(behind)
    wait_until(lambda: shared.job(behind.id).state == "finished", "a job after a paused one")


# ---- in this process, with short patience


def dispatch(
    folder: Path,
    story: Callable[[Store], Awaitable[None]],
    group_of: Callable[[Settings], Group] = ForkedGroup,
    **patience: float,
) -> list[Event]:
    """Runs a dispatcher over a fresh workspace while ``story`` goes on. -> all events."""

    async def run() -> list[Event]:
        workspace = Workspace.at(folder / "workspace")
        settings = Settings(workspace, folder, folder, group="fake", back_off_s=QUICK_BACK_OFF_S)
        settings = dataclasses.replace(settings, **patience)
        changes = ChangeSignal()
        changes.bind(asyncio.get_running_loop())
        store = Store(open_database(settings.database), changes.notify)
        dispatcher = Dispatcher(settings, store, changes, lambda: group_of(settings))
        dispatcher.start()
        try:
            await asyncio.wait_for(story(store), 60)
        finally:
            await dispatcher.stop()
        return [EVENT.validate_json(body) for _, body in store.events_after(0, limit=10_000)]

    return asyncio.run(run())


async def ended(store: Store, job: Job) -> None:
    while store.is_active(job.id):
        await asyncio.sleep(0.01)


def test_a_silent_group_is_ended(tmp_path: Path) -> None:
    job = a_job("stall at step 2 on attempt 1")

    async def story(store: Store) -> None:
        store.submit(job)
        await ended(store, job)

    seen = dispatch(tmp_path, story, stall_timeout_s=1.5)
    assert [e.type for e in seen if e.type in ("interrupted", "finished")] == ["interrupted", "finished"]
    assert any(isinstance(e, Interrupted) and "no sign of life" in e.reason for e in seen)


def test_a_group_that_does_not_stop_is_ended_and_the_job_is_cancelled(tmp_path: Path) -> None:
    job = a_job("stall at step 2")

    async def story(store: Store) -> None:
        store.submit(job)
        while not any('"step"' in body for _, body in store.events_after(0)):
            await asyncio.sleep(0.01)
        store.cancel(job.id)
        await ended(store, job)

    seen = dispatch(tmp_path, story, cancel_timeout_s=0.3)
    assert seen[-1].type == "engine_down" or seen[-1].type == "cancelled"
    assert [e.type for e in seen if e.type in ("cancelled", "failed", "finished")] == ["cancelled"]


def test_ranks_that_never_get_ready_fail_the_job_in_the_end(tmp_path: Path) -> None:
    job = a_job("never")

    async def story(store: Store) -> None:
        store.submit(job)
        await ended(store, job)

    seen = dispatch(tmp_path, story, start_timeout_s=0.01)
    end = [e for e in seen if isinstance(e, Failed)]
    assert len(end) == 1 and "did not start" in end[0].reason
    assert [e.type for e in seen if e.type == "interrupted"] == ["interrupted"] * 3


def test_a_group_whose_processes_cannot_be_started_is_followed_by_another(tmp_path: Path) -> None:
    """As on a machine that is short of memory for a while."""
    job = a_job("after a while")
    groups: list[Group] = []

    class Refused(ForkedGroup):
        async def _spawn(self, port: int) -> None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def refused_once(settings: Settings) -> Group:
        groups.append(ForkedGroup(settings) if groups else Refused(settings))
        return groups[-1]

    async def story(store: Store) -> None:
        store.submit(job)
        await ended(store, job)

    seen = dispatch(tmp_path, story, refused_once)
    assert any(isinstance(event, EngineDown) and "temporarily unavailable" in event.reason for event in seen)
    assert [e.type for e in seen if e.type in ("failed", "finished")] == ["finished"]


def test_an_unknown_fault_in_a_job_leaves_no_job_behind_as_running(tmp_path: Path) -> None:
    job, behind = a_job("unlucky"), a_job("lucky")

    class Faulty(ForkedGroup):
        async def send(self, command: wire.Command) -> None:
            if isinstance(command, wire.RunJob) and (command.job.id, command.attempt) == (job.id, 1):
                raise ValueError("nobody thought of this")
            await super().send(command)

    async def story(store: Store) -> None:
        store.submit(job)
        store.submit(behind)
        await ended(store, behind)

    seen = dispatch(tmp_path, story, Faulty)
    own = [event for event in seen if getattr(event, "job_id", "") == job.id]
    assert milestones(own) == ["queued", "started", "interrupted", "started", "finished"]
    assert any(isinstance(e, Interrupted) and "nobody thought of this" in e.reason for e in own)


def test_a_clean_stop_puts_the_job_back(tmp_path: Path) -> None:
    job = a_job("put back 0.1 s per step", num_steps=100)

    async def story(store: Store) -> None:
        store.submit(job)
        while not any('"step"' in body for _, body in store.events_after(0)):
            await asyncio.sleep(0.01)

    seen = dispatch(tmp_path, story)
    again = Store(open_database(f"sqlite:///{tmp_path / 'workspace' / 'engine.db'}"), lambda: None)
    assert [(each.job.id, each.failures) for each in again.waiting()] == [(job.id, 0)]
    assert seen[-1].type == "interrupted" and "stopped" in seen[-1].reason


class InProcess:
    """A group without a process: it rejects every job, and dies when it is asked to render "die"."""

    def __init__(self) -> None:
        self._death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()

    @property
    def alive(self) -> bool:
        return not self._death.done()

    async def start(self) -> wire.Hello:
        return wire.Hello(secret="", device="none", num_ranks=3, pid=1)

    async def send(self, command: wire.Command) -> None:
        if isinstance(command, wire.RunJob) and command.job.segments[0].prompt == "die" and command.attempt == 1:
            self.kill("it was asked to die")
        elif isinstance(command, wire.RunJob):
            refusal = JobRejected(time_s=1, job_id=command.job.id, code="none", reason="there is no process here.")
            await self._events.put(refusal)

    async def next_events(self, timeout_s: float) -> list[Event]:
        event = await asyncio.wait_for(self._events.get(), timeout_s)
        if event is None:
            raise GroupDied(await self.died())
        return [event]

    async def died(self) -> str:
        return await asyncio.shield(self._death)

    def kill(self, reason: str) -> None:
        if self.alive:
            self._death.set_result(reason)
            self._events.put_nowait(None)

    async def stop(self) -> None:
        self.kill("stopped")


def test_a_group_of_another_make_needs_no_more_than_the_interface(tmp_path: Path) -> None:
    job, deadly = a_job("refused"), a_job("die")

    async def story(store: Store) -> None:
        store.submit(job)
        store.submit(deadly)
        await ended(store, job)
        await ended(store, deadly)

    seen = dispatch(tmp_path, story, lambda _: InProcess())
    of_job = [event for event in seen if getattr(event, "job_id", "") == job.id]
    assert milestones(of_job) == ["queued", "started", "rejected"]
    of_deadly = [event for event in seen if getattr(event, "job_id", "") == deadly.id]
    assert milestones(of_deadly) == ["queued", "started", "interrupted", "started", "rejected"]
    assert any(isinstance(event, EngineUp) and event.num_ranks == 3 for event in seen)
    assert any(isinstance(event, EngineDown) and event.reason == "it was asked to die" for event in seen)


TIME_AND_JOB: dict[str, Any] = {"time_s": 1, "job_id": "mine"}
ONLY_THE_SERVICES = [
    Queued(**TIME_AND_JOB),
    Started(**TIME_AND_JOB, attempt=1),
    Interrupted(**TIME_AND_JOB, attempt=1, reason=""),
    EngineUp(time_s=1, num_ranks=1, device="cpu"),
    EngineDown(time_s=1, reason=""),
]


def test_events_that_rank_0_may_not_send(tmp_path: Path) -> None:
    """Of another job, as from a group that mixed up two; or one that only the service makes."""
    job, takes = a_job(job_id="mine"), Takes(Workspace.at(tmp_path / "workspace"))
    assert protocol_violation(job, Failed(**TIME_AND_JOB, reason=""), takes) is None
    other = protocol_violation(job, Failed(time_s=1, job_id="other", reason=""), takes)
    assert other == "rank 0 sent failed of job other while job mine was running."
    for event in ONLY_THE_SERVICES:
        assert "only the service makes" in (protocol_violation(job, event, takes) or ""), event.type
    finished = protocol_violation(job, Finished(**TIME_AND_JOB, takes=()), takes)
    assert finished == "0 takes were announced for 1 scenes."


def test_two_readers_see_the_same(shared: EngineClient) -> None:
    job = a_job("two readers")
    streams = [shared.events(0), shared.events(0)]
    shared.submit(job)
    seen = [until(stream, lambda e: e.type == "finished" and e.job_id == job.id) for stream in streams]
    for stream in streams:
        stream.close()
    assert seen[0] == seen[1]
