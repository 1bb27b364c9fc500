"""How far every waiting and running job is right now, in memory.

Comes in: jobs as they are submitted and events as they happen. Goes out: ``LiveJob`` values, and which projects show
them. Thread-safe. Does not know the database, the engine or takes: what is forgotten here on a restart comes again with
the events.
"""

import threading
from dataclasses import dataclass, replace
from typing import assert_never

from engine.contract.events import Interrupted, Phase, Preview, Queued, Stage, Started, Step
from engine.contract.jobs import Job


def job_makes(job: Job, recipe: str | None) -> bool:
    """Whether one of a job's takes has this recipe."""
    return recipe == job.recipe or (len(job.scene_ids) > 1 and any(span.recipe == recipe for span in job.spans))


ProgressEvent = Queued | Started | Stage | Step | Preview | Interrupted
"""Events that do not end their job."""

Waiters = tuple[tuple[str, str], ...]
"""(project id, scene id) of all that wait for a job."""


@dataclass(frozen=True, slots=True)
class LiveJob:
    """``state``: checking (not submitted yet), queued or running. ``preview``: number of pictures so far. ``left_s``
    seconds; None: not known."""

    job: Job
    waiters: Waiters
    state: str = "queued"
    phase: Phase = "film"
    stage: str = ""
    segment: int = 0
    num_segments: int = 1
    step: int = 0
    num_steps: int = 0
    left_s: float | None = None
    preview: int = 0
    memory_bytes: int = 0
    """The most that a rank held of its device so far."""
    last_error: str = ""
    """Why it is tried again."""


class LiveJobs:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, LiveJob] = {}

    def put(self, job: Job, waiters: Waiters, state: str = "queued") -> None:
        with self._lock:
            known = self._jobs.get(job.id)
            self._jobs[job.id] = replace(known, waiters=waiters) if known else LiveJob(job, waiters, state)

    def set_waiters(self, job_id: str, waiters: Waiters) -> None:
        """Others wait for a job than before; one that ended stays so."""
        with self._lock:
            if job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], waiters=waiters)

    def waiters(self, job_id: str) -> Waiters:
        """Who waits for a job."""
        with self._lock:
            known = self._jobs.get(job_id)
            return known.waiters if known else ()

    def drop(self, job_id: str) -> Waiters:
        """The job ended; who waited for it."""
        with self._lock:
            known = self._jobs.pop(job_id, None)
            return known.waiters if known else ()

    def knows(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._jobs

    def apply(self, event: ProgressEvent) -> Waiters:
        """Brings a job up to an event that does not end it; who waits for the job."""
        with self._lock:
            known = self._jobs.get(event.job_id)
            if known is None:
                return ()
            self._jobs[event.job_id] = _after(known, event)
            return known.waiters

    def of_project(self, project_id: str) -> list[LiveJob]:
        with self._lock:
            return [live for live in self._jobs.values() if any(waiter[0] == project_id for waiter in live.waiters)]

    def by_scene(self, project_id: str) -> dict[str, list[LiveJob]]:
        scenes: dict[str, list[LiveJob]] = {}
        for live in self.of_project(project_id):
            for waiting_id, scene_id in live.waiters:
                if waiting_id == project_id:
                    scenes.setdefault(scene_id, []).append(live)
        return scenes


def _after(live: LiveJob, event: ProgressEvent) -> LiveJob:
    match event:
        case Queued():
            return replace(live, state="queued")
        case Started():
            return replace(live, state="running", phase="film", stage="load", step=0, left_s=None)
        case Stage():
            return replace(
                live,
                state="running",
                phase=event.phase,
                stage=event.stage,
                segment=event.segment,
                num_segments=event.num_segments,
            )
        case Step():
            return replace(
                live,
                state="running",
                phase=event.phase,
                stage=event.stage,
                step=event.step,
                num_steps=event.num_steps,
                left_s=event.left_s,
                memory_bytes=max(live.memory_bytes, event.memory_bytes),
            )
        case Preview():
            return replace(live, preview=live.preview + 1)
        case Interrupted():
            return replace(live, state="queued", stage="", left_s=None, last_error=event.reason)
        case _:
            assert_never(event)
