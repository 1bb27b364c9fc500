"""The dispatcher: gives the waiting jobs to the group one after the other, and records in the store what came of them.

Comes in: the store's queue and requests (cancel, pause), and the group's events. Goes out: commands to the group, and
states into the store. It decides from the store alone, so that nothing is lost in a restart. Does not know HTTP,
processes, torch or pixels.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from typing import Literal, assert_never

from sqlalchemy.exc import SQLAlchemyError

from engine.contract import wire
from engine.contract.assistants import AssistantJob, fits
from engine.contract.events import (
    TERMINAL,
    Answered,
    EngineDown,
    EngineUp,
    Event,
    Failed,
    Finished,
    Interrupted,
    JobCancelled,
    JobRejected,
    Preview,
    Queued,
    Stage,
    Started,
    Step,
)
from engine.contract.jobs import PIPELINE_VERSION, FromModel, Job
from engine.service.change_signal import ChangeSignal
from engine.service.groups import Group, GroupDied
from engine.service.settings import Settings
from engine.service.store import AnyJob, Store, Waiting
from engine.service.takes import Takes
from engine.storage.workspace import Workspace

MOST_UPCOMING = 100
RETRY_STORE_S = 1.0
STOP_RECORD_S = 5.0
"""For the store to record that the engine was stopped."""

_log = logging.getLogger("engine.dispatcher")


class Dispatcher:
    def __init__(
        self, settings: Settings, store: Store, changes: ChangeSignal, make_group: Callable[[], Group]
    ) -> None:
        self._settings = settings
        self._store = store
        self._changes = changes
        self._make_group = make_group
        self._takes = Takes(settings.workspace)
        self._group: Group | None = None
        self._ready: Group | None = None
        self._running: str | None = None
        self._deaths = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._tidying: asyncio.Task[None] | None = None
        self.device = ""
        self.num_ranks = settings.num_ranks

    @property
    def group_state(self) -> str:
        """down, starting, ready or busy."""
        if self._group is None:
            return "down"
        if self._ready is None:
            return "starting"
        return "busy" if self._running else "ready"

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._supervise_group()), asyncio.create_task(self._run_queue())]

    async def stop(self) -> None:
        """Ends the group; a running job waits again and goes on at the next start. Its attempt does not count."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._group is not None:
            await self._group.stop()
        try:
            async with asyncio.timeout(STOP_RECORD_S):
                await self._record_stop()
        except TimeoutError:
            _log.error("the stop was not recorded in time; the next start finds the job as running, and repeats it.")

    async def _record_stop(self) -> None:
        job_id = await asyncio.to_thread(self._store.running_job_id)
        if self._group is not None:
            await self._record(EngineDown(time_s=time.time(), reason="the engine was stopped."))
        if job_id is not None:
            await self._persist(lambda: self._store.interrupt(job_id, STOPPED, counts=False))

    # ---- the group
    async def _supervise_group(self) -> None:
        """Group after group, for ever: each one's death is recorded, and the next is started after a while."""
        while True:
            self._group = self._make_group()
            try:
                hello = await self._group.start()
                self.device, self.num_ranks = hello.device, hello.num_ranks
                up = EngineUp(time_s=time.time(), num_ranks=hello.num_ranks, device=hello.device)
                await self._record(up)
                self._ready = self._group
                self._changes.notify()
                reason, started = await self._group.died(), True
            except GroupDied as death:
                reason, started = str(death), False
            except OSError as error:
                reason, started = f"no process could be started ({error}). See the machine's memory and limits.", False
            await self._lost(reason, started)

    async def _lost(self, reason: str, started: bool) -> None:
        _log.warning("the group died: %s", reason)
        self._group = self._ready = None
        await self._record(EngineDown(time_s=time.time(), reason=reason))
        if not started:
            await self._persist(lambda: self._count_against_first_waiting(f"the ranks did not start: {reason}"))
        waits_s = self._settings.back_off_s
        wait_s = waits_s[min(self._deaths, len(waits_s) - 1)]
        self._deaths += 1
        await asyncio.sleep(wait_s)

    def _count_against_first_waiting(self, reason: str) -> None:
        """A group that does not even start costs the next job an attempt, so that no job waits for ever."""
        waiting = [] if self._store.paused() else self._store.waiting()
        if waiting:
            self._store.interrupt(waiting[0].job.id, reason)

    # ---- the queue
    async def _run_queue(self) -> None:
        with self._changes.subscribe() as woken:
            while True:
                woken.clear()
                try:
                    busy = await self._run_next()
                except Exception as error:  # a full disk, most likely; in any case the queue goes on
                    _log.error("the queue is stopped: %s", error, exc_info=error)
                    await asyncio.sleep(RETRY_STORE_S)
                    continue
                if not busy:
                    await woken.wait()

    async def _run_next(self) -> bool:
        """One job, after those that end without ranks. -> whether anything was done."""
        job = await asyncio.to_thread(self._next)
        group = self._ready
        if job is None or group is None or not group.alive:
            return False
        attempt = await asyncio.to_thread(self._store.start, job.id)
        if attempt is not None:
            self._running = job.id
            try:
                await self._run(group, job, attempt)
            finally:
                self._running = None
        return True

    def _next(self) -> AnyJob | None:
        """The first waiting job that needs ranks now. Jobs before it that need none end on the way."""
        if self._store.paused():
            return None
        waiting = self._store.waiting()
        for each in waiting:
            event = self._end_without_ranks(each.job, waiting)
            if event == "later":
                continue
            if event is None:
                return each.job
            self._store.record(event)
        return None

    def _end_without_ranks(self, job: AnyJob, waiting: list[Waiting]) -> Event | Literal["later"] | None:
        """The event that ends a job without ranks; None: it needs them; "later": after another that waits."""
        if isinstance(job, AssistantJob):
            missing = self._takes.missing_media(job)
            return _rejected(job, "media", missing) if missing else None
        takes = self._takes.finished(job)
        if takes is not None:
            return Finished(time_s=time.time(), job_id=job.id, takes=takes)
        if job.pipeline != PIPELINE_VERSION:
            problem = f"it was planned for pipeline {job.pipeline}, this engine renders with {PIPELINE_VERSION}."
            return _rejected(job, "pipeline", f"{problem} Render it again from a studio of this engine's version.")
        others = [other.job for other in waiting if isinstance(other.job, Job) and other.job.id != job.id]
        to_come = frozenset(span.recipe for other in others for span in other.spans)
        missing = self._takes.missing(job, to_come)
        if missing is None:
            return None
        if missing == "":
            return "later"
        return _rejected(job, "conditioning", missing)

    # ---- one job
    async def _run(self, group: Group, job: AnyJob, attempt: int) -> None:
        relays = [asyncio.create_task(self._relay_requests(group, job.id))]
        if isinstance(job, Job) and isinstance(job.conditioning, FromModel):
            relays.append(asyncio.create_task(self._relay_upcoming(group, job)))
        try:
            await group.send(_order(job, attempt))
            await self._relay_events(group, job)
            self._deaths = 0
        except GroupDied as death:
            await self._interrupted(job, str(death))
        except Exception as error:  # of any kind: the job does not stay behind as running
            _log.error("job %s: %s", job.id, error, exc_info=error)
            group.kill(f"the engine failed at job {job.id}: {error}")
            await self._interrupted(job, await group.died())
        finally:
            for relay in relays:
                relay.cancel()  # not awaited: that would swallow a cancellation of this task
        self._tidying = asyncio.create_task(self._tidy(job.id))  # beside the next job

    async def _tidy(self, job_id: str) -> None:
        try:
            await asyncio.to_thread(_tidy, self._settings.workspace, self._store, job_id)
        except (SQLAlchemyError, OSError) as error:
            _log.error("job %s: could not be tidied: %s", job_id, error)

    async def _interrupted(self, job: AnyJob, reason: str) -> None:
        await self._persist(lambda: self._store.interrupt(job.id, reason))
        if not await asyncio.to_thread(self._store.is_active, job.id):
            self._deaths = 0  # the job has ended: the next one does not wait for it

    async def _relay_events(self, group: Group, job: AnyJob) -> None:
        """Events into the store, up to the terminal one. A group that breaks the protocol is ended: GroupDied."""
        while True:
            try:
                events = await group.next_events(self._settings.stall_timeout_s)
            except TimeoutError:
                if not self._store.paused():
                    group.kill(f"no sign of life from the ranks for {self._settings.stall_timeout_s:.0f} s.")
                continue
            violation = await asyncio.to_thread(self._first_violation, job, events)
            if violation is not None:
                group.kill(violation)
                raise GroupDied(await group.died())
            await self._record(*events)
            if isinstance(events[-1], TERMINAL):
                return

    def _first_violation(self, job: AnyJob, events: list[Event]) -> str | None:
        return next(filter(None, (protocol_violation(job, event, self._takes) for event in events)), None)

    async def _relay_requests(self, group: Group, job_id: str) -> None:
        """Cancel, pause and resume, from the store to the ranks."""
        sent_pause: bool | None = None  # the ranks may still be paused from the job before
        with self._changes.subscribe() as woken:
            while True:
                woken.clear()
                paused, cancel = await self._read_requests(job_id)
                if cancel:
                    await group.send(wire.CancelJob(job_id=job_id))
                    await asyncio.sleep(self._settings.cancel_timeout_s)
                    group.kill(f"the ranks did not stop within {self._settings.cancel_timeout_s:.0f} s.")
                    return
                if paused != sent_pause:
                    await group.send(wire.Pause() if paused else wire.Resume())
                    sent_pause = paused
                await woken.wait()

    async def _relay_upcoming(self, group: Group, job: Job) -> None:
        """What the picture model will be asked for next: jobs of a storyboard come while the first one is at work."""
        num_waiting, sent = -1, ()
        with self._changes.subscribe() as woken:
            while True:
                woken.clear()
                now = await asyncio.to_thread(self._store.num_waiting)
                if now != num_waiting:
                    num_waiting = now
                    pictures = upcoming_pictures(job, await asyncio.to_thread(self._store.waiting))
                    if pictures != sent:
                        sent = pictures
                        await group.send(wire.Upcoming(job_id=job.id, pictures=pictures))
                await woken.wait()

    async def _read_requests(self, job_id: str) -> tuple[bool, bool]:
        """-> (paused, cancel)."""
        while True:
            try:
                paused = await asyncio.to_thread(self._store.paused)
                return paused, await asyncio.to_thread(self._store.cancel_asked, job_id)
            except SQLAlchemyError as error:
                _log.error("the author's requests cannot be read: %s", error)
                await asyncio.sleep(RETRY_STORE_S)

    # ---- the store, which may fail for a while (a full disk) without a fact being lost
    async def _record(self, *events: Event) -> None:
        """Events of progress may be lost; any other is kept until the store takes it."""
        if not all(_is_progress(event) for event in events):
            return await self._persist(lambda: self._store.record(*events))
        try:
            await asyncio.to_thread(self._store.record, *events)
        except SQLAlchemyError as error:
            _log.error("events of progress were not stored: %s", error)

    async def _persist(self, write: Callable[[], object]) -> None:
        while True:
            try:
                await asyncio.to_thread(write)
                return
            except SQLAlchemyError as error:
                _log.error("not stored, trying again in %s s: %s", RETRY_STORE_S, error)
                await asyncio.sleep(RETRY_STORE_S)


def _order(job: AnyJob, attempt: int) -> wire.RunJob | wire.RunAssistant:
    if isinstance(job, AssistantJob):
        return wire.RunAssistant(job=job, attempt=attempt)
    return wire.RunJob(job=job, attempt=attempt)


def upcoming_pictures(job: Job, waiting: list[Waiting]) -> tuple[FromModel, ...]:
    """First frames that the same picture model will make for other jobs of the same project, each once."""
    first = job.conditioning
    if not isinstance(first, FromModel):
        return ()
    others = [each.job for each in waiting if isinstance(each.job, Job) and each.job.project_id == job.project_id]
    starts = [other.conditioning for other in others if isinstance(other.conditioning, FromModel)]
    alike = {each.recipe: each for each in starts if (each.model, each.weights) == (first.model, first.weights)}
    alike.pop(first.recipe, None)
    return tuple(alike.values())[:MOST_UPCOMING]


def protocol_violation(job: AnyJob, event: Event, takes: Takes) -> str | None:
    """What is wrong with an event that rank 0 sent while this job was running; None: nothing."""
    match event:
        case EngineUp() | EngineDown() | Queued() | Started() | Interrupted():
            return f"rank 0 sent {event.type}, an event that only the service makes."
        case Stage() | Step() | Preview() | Finished() | Answered() | Failed() | JobRejected() | JobCancelled():
            if event.job_id != job.id:
                return f"rank 0 sent {event.type} of job {event.job_id} while job {job.id} was running."
            return _result_violation(job, event, takes)
        case _:
            assert_never(event)


def _result_violation(job: AnyJob, event: Event, takes: Takes) -> str | None:
    """What is wrong with the result in an event, where it has one."""
    if isinstance(event, Finished):
        return takes.fault(job, event.takes) if isinstance(job, Job) else "takes were announced for an assistant's job."
    if isinstance(event, Answered) and (isinstance(job, Job) or not fits(job.request, event.answer)):
        return f"rank 0 answered job {job.id} with a {event.answer.kind}, for which it was not asked."
    return None


def _is_progress(event: Event) -> bool:
    """Whether the event may be lost: the next one of its kind says the same and more."""
    match event:
        case Stage() | Step() | Preview():
            return True
        case Queued() | Started() | Interrupted() | EngineUp() | EngineDown():
            return False
        case Finished() | Answered() | Failed() | JobRejected() | JobCancelled():
            return False
        case _:
            assert_never(event)


def _rejected(job: AnyJob, code: str, reason: str) -> JobRejected:
    return JobRejected(time_s=time.time(), job_id=job.id, code=code, reason=f"job {job.id}: {reason}")


STOPPED = "the engine was stopped; the job goes on when it is started again."


def _tidy(workspace: Workspace, store: Store, job_id: str) -> None:
    """Removes what an ended job leaves behind (its saved sampler state), and old progress events."""
    if store.is_active(job_id):
        return
    for path in workspace.job_folder(job_id).iterdir():
        if path.name != "preview.webp":
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    store.prune()
