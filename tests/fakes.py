"""Small working stand-ins. ``FakeEngine``: an engine in this process that draws little real clips instead of sampling.

Comes in: jobs, by the calls of ``EngineClient``. Goes out: events in order, previews, and real mp4 takes with their
``take.json`` in the workspace. It can be slow, be held at a step, fail, be interrupted, and be out of reach. Does not
know HTTP, torch or the studio.
"""

import io
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from engine.contract.assistant_cards import AssistantStatus
from engine.contract.assistants import AssistantJob, CheckTakeRequest, Finding, Verdict
from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.errors import Conflict, Rejected, Unreachable
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
from engine.contract.jobs import FromMedia, FromModel, FromTake, Job
from engine.contract.status import AssistantJobStatus, EngineStatus, JobStatus
from engine.service.fake_worker import answer_to
from engine.storage.media import MediaStore
from engine.storage.workspace import Workspace
from studio.planning.presets import load_cards
from tests.take_files import write_takes

ATTEMPTS = 3


class FakeEngine:
    """``step_s``: seconds of each step. ``num_steps``: told per job (None: the job's own). ``media``: its own store."""

    def __init__(
        self,
        workspace: Workspace,
        step_s: float = 0.0,
        cards: dict[str, ModelCard] | None = None,
        media: MediaStore | None = None,
    ) -> None:
        self.workspace = workspace
        self.step_s = step_s
        self.media = media or MediaStore(workspace.media)
        self.cards = load_cards() if cards is None else cards
        self.submitted: list[Job] = []
        self.assistant_statuses: list[AssistantStatus] = []
        self.asked: dict[str, AssistantJobStatus] = {}
        self.sees: Finding | None = None
        """What its classifier finds in every take."""
        self.weights = "f" * 64
        """Of every model; a job for others is rejected."""
        self.reachable = True
        self.fetch_troubles: list[OSError] = []
        """Raised one by one by ``fetch_media``, as a full disk would."""
        self.late: list[threading.Event] = []
        """The next answers to ``status`` are on their way until these are set, one by one."""
        self.streams: set[FakeStream] = set()
        """Those that are open."""
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._states: dict[str, JobStatus] = {}
        self._queue: list[str] = []
        self._failures: list[str] = []
        self._interruptions: list[str] = []
        self._cancelled: set[str] = set()
        self._running: str | None = None
        self._held_at = 0
        self._deaf = self._paused = self._closed = False
        self._tell(EngineUp, num_ranks=1, device="fake")
        self._worker = threading.Thread(target=self._work, name="fake-engine", daemon=True)
        self._worker.start()

    # ---- what a test may do to it
    def fail_next(self, reason: str) -> None:
        self._failures.append(reason)

    def interrupt_next(self, reason: str) -> None:
        """The group dies under the next attempt."""
        self._interruptions.append(reason)

    def hold(self, at_step: int = 1, deaf: bool = False) -> None:
        """Stands still before a step and all after it, until ``release``. ``deaf``: no cancel is heeded till then, as
        amid a long step."""
        self._set(_held_at=at_step, _deaf=deaf)

    def release(self) -> None:
        self._set(_held_at=0)

    # ---- the engine's interface
    def submit(self, job: Job) -> JobStatus:
        self._reached()
        with self._changed:
            known = self._states.get(job.id)
            if known is not None and known.job != job:
                raise Conflict(f"job {job.id}: this id has another body already. Give the job another id.")
            if known is None:
                self.submitted.append(job)
                self._queue.append(job.id)
                self._states[job.id] = JobStatus(job=job, state="queued", position=0, attempt=0)
                self._tell(Queued, job_id=job.id)
            return self.job(job.id)

    def jobs(self) -> list[JobStatus]:
        self._reached()
        with self._changed:
            return [self.job(job_id) for job_id in self._states]

    def job(self, job_id: str) -> JobStatus:
        self._reached()
        with self._changed:
            if job_id not in self._states:
                raise Rejected("job", f"job {job_id}: is not known here.")
            position = self._queue.index(job_id) if job_id in self._queue else -1
            return self._states[job_id].model_copy(update={"position": position})

    def cancel(self, job_id: str) -> JobStatus:
        with self._changed:
            self.job(job_id)
            if job_id in self._queue:
                self._queue.remove(job_id)
                self._end(JobCancelled, job_id, "cancelled")
            elif job_id == self._running:
                self._cancelled.add(job_id)
                self._changed.notify_all()
            return self.job(job_id)

    def move(self, job_id: str, position: int) -> JobStatus:
        with self._changed:
            self.job(job_id)
            self._queue.remove(job_id)
            self._queue.insert(position, job_id)
            return self.job(job_id)

    def ask(self, job: AssistantJob) -> AssistantJobStatus:
        """Answers at once, as the fake group does; a failure that was ordered comes in its place."""
        self._reached()
        with self._changed:
            if job.id not in self.asked:
                self._tell(Queued, job_id=job.id)
                self._tell(Started, job_id=job.id, attempt=1)
                self.asked[job.id] = self._answered(job)
            return self.asked[job.id]

    def _answered(self, job: AssistantJob) -> AssistantJobStatus:
        if self._failures:
            reason = self._failures.pop(0)
            self._tell(Failed, job_id=job.id, reason=reason)
            return AssistantJobStatus(job=job, state="failed", position=-1, attempt=1, reason=reason)
        answer = answer_to(job)
        if self.sees is not None and isinstance(job.request, CheckTakeRequest):
            answer = Verdict(safe=False, source=job.model, findings=(self.sees,))
        self._tell(Answered, job_id=job.id, answer=answer)
        return AssistantJobStatus(job=job, state="finished", position=-1, attempt=1, answer=answer)

    def assistant_job(self, job_id: str) -> AssistantJobStatus:
        self._reached()
        if job_id not in self.asked:
            raise Rejected("unknown_job", f"job {job_id}: is not known here.")
        return self.asked[job_id]

    def cancel_assistant_job(self, job_id: str) -> AssistantJobStatus:
        return self.assistant_job(job_id)

    def pause(self) -> EngineStatus:
        self._set(_paused=True)
        return self._status()

    def resume(self) -> EngineStatus:
        self._set(_paused=False)
        return self._status()

    def events(self, after: int) -> "FakeStream":
        stream = FakeStream(self, after)
        self.streams.add(stream)
        return stream

    def put_media(self, path: Path) -> str:
        self._reached()
        return self.media.put_file(path)

    def fetch_media(self, sha256: str, to: Path) -> None:
        self._reached()
        if self.fetch_troubles:
            raise self.fetch_troubles.pop(0)
        if not self.media.has(sha256):
            raise Rejected("media", f"{sha256}: is not stored here.")
        shutil.copyfile(self.media.path(sha256), to)

    def preview(self, job_id: str) -> bytes | None:
        path = self.workspace.job_folder(job_id) / "preview.webp"
        return path.read_bytes() if path.exists() else None

    def assistants(self) -> list[AssistantStatus]:
        self._reached()
        return self.assistant_statuses

    def models(self) -> list[ModelStatus]:
        self._reached()
        return [ModelStatus(card=card, fingerprint=self.weights, available=True) for card in self.cards.values()]

    def status(self) -> EngineStatus:
        said = self._status()
        if self.late:
            self.late.pop(0).wait(10)
        return said

    def _status(self) -> EngineStatus:
        self._reached()
        with self._changed:
            return EngineStatus(
                version="fake",
                group="busy" if self._running else "ready",
                device="fake",
                num_ranks=1,
                paused=self._paused,
                running_job_id=self._running,
                num_waiting=len(self._queue),
                last_seq=len(self._events),
            )

    def healthy(self) -> bool:
        return self.reachable and not self._closed

    def close(self) -> None:
        self._set(_closed=True)
        self._worker.join(timeout=20)

    # ---- inside
    def _reached(self) -> None:
        if not self.reachable:
            raise Unreachable("fake://engine: no engine answers. Start one (storyboard engine), or check the address.")

    def _set(self, **values: int) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._changed.notify_all()

    def _tell(self, kind: type[Any], **values: Any) -> None:
        with self._changed:
            self._events.append(kind(seq=len(self._events) + 1, time_s=time.time(), **values))
            self._changed.notify_all()

    def _end(self, kind: type[Any], job_id: str, state: Any, reason: str = "", **values: Any) -> None:
        with self._changed:
            self._states[job_id] = self._states[job_id].model_copy(update={"state": state, "reason": reason})
            assert kind in TERMINAL
            self._tell(kind, job_id=job_id, **({"reason": reason} if reason else {}), **values)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (self._queue and not self._paused))
                if self._closed:
                    return
                self._running = self._queue.pop(0)
                job = self._states[self._running].job
            self._run(job)
            with self._changed:
                self._running = None

    def _run(self, job: Job) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            with self._changed:
                update = {"state": "running", "attempt": attempt}
                self._states[job.id] = self._states[job.id].model_copy(update=update)
            self._tell(Started, job_id=job.id, attempt=attempt)
            if self._attempt(job, attempt):
                return
        self._end(Failed, job.id, "failed", f"scene {job.scene_ids[0]}: the group died {ATTEMPTS} times.")

    def _attempt(self, job: Job, attempt: int) -> bool:
        """Whether the job ended."""
        if self._failures:
            self._end(Failed, job.id, "failed", self._failures.pop(0))
            return True
        if job.weights != self.weights:
            reason = "the model's weights changed since the job was planned. Render again."
            self._end(JobRejected, job.id, "rejected", reason, code="weights")
            return True
        if missing := self._missing_conditioning(job):
            self._end(JobRejected, job.id, "rejected", missing, code="conditioning")
            return True
        begun = time.monotonic()
        if not self._steps(job):
            if not self._closed:
                self._end(JobCancelled, job.id, "cancelled")
            return True
        if self._interruptions:
            reason = self._interruptions.pop(0)
            self._tell(Interrupted, job_id=job.id, reason=reason, attempt=attempt)
            self._tell(EngineDown, reason=reason)
            self._tell(EngineUp, num_ranks=1, device="fake")
            return False
        self._tell(Stage, job_id=job.id, stage="write", segment=0, num_segments=len(job.segments))
        takes = write_takes(self.workspace, job, time.monotonic() - begun)
        for take in takes:
            self.media.put_file(self.workspace.take_folder(take.recipe) / "take.mp4")
        if isinstance(job.conditioning, FromModel):
            self.media.put_file(self.workspace.picture(job.conditioning.recipe))
        self._end(Finished, job.id, "finished", takes=takes)
        return True

    def _missing_conditioning(self, job: Job) -> str:
        match job.conditioning:
            case FromTake(recipe=recipe) if not self.workspace.take_folder(recipe).exists():
                return "the take that this scene continues is not there. Render that scene first."
            case FromMedia(media=sha256) | FromModel(source=str(sha256)) if not self.media.has(sha256):
                return "the picture or clip is not stored here. Send it first."
            case _:
                return ""

    def _steps(self, job: Job) -> bool:
        """Whether all steps were done."""
        num_steps = _num_steps(job)
        if isinstance(job.conditioning, FromModel):
            self._tell(Stage, job_id=job.id, phase="first_frame", stage="denoise", segment=0, num_segments=1)
        self._tell(Stage, job_id=job.id, stage="denoise", segment=0, num_segments=len(job.segments))
        for step in range(1, num_steps + 1):
            if not self._may_step(job, step):
                return False
            left_s = (num_steps - step) * self.step_s
            numbers = {"step": step, "num_steps": num_steps, "step_s": self.step_s, "left_s": left_s}
            self._tell(Step, job_id=job.id, stage="denoise", memory_bytes=1, **numbers)
            if step % job.speed.preview_every == 0:
                self._show_preview(job, step)
        return True

    def _holds(self, job: Job, step: int) -> bool:
        return 0 < self._held_at <= step and (self._deaf or job.id not in self._cancelled)

    def _may_step(self, job: Job, step: int) -> bool:
        """Waits before a step; False where the job was cancelled meanwhile, or the engine closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._holds(job, step))
            if self.step_s:
                self._changed.wait_for(lambda: self._closed or job.id in self._cancelled, timeout=self.step_s)
            return not self._closed and job.id not in self._cancelled

    def _show_preview(self, job: Job, step: int) -> None:
        shade = 255 * step // _num_steps(job)
        data = io.BytesIO()
        Image.new("RGB", (48, 32), (shade, shade, 255 - shade)).save(data, "WEBP")
        path = self.workspace.job_folder(job.id) / "preview.webp"
        draft = path.with_suffix(".tmp")
        draft.write_bytes(data.getvalue())
        draft.replace(path)
        self._tell(Preview, job_id=job.id, step=step)


class FakeStream(Iterator[Event]):
    """Events above ``after`` until it or the engine is closed; waits while the engine is out of reach."""

    def __init__(self, engine: FakeEngine, after: int) -> None:
        self._engine = engine
        self._next = after if after <= len(engine._events) else 0  # this engine is younger than who asks
        self._closed = False

    def __next__(self) -> Event:
        engine = self._engine
        with engine._changed:
            engine._changed.wait_for(lambda: self._ended or (engine.reachable and len(engine._events) > self._next))
            if self._ended:
                raise StopIteration
            event = engine._events[self._next]
        self._next += 1
        return event

    @property
    def _ended(self) -> bool:
        return self._closed or self._engine._closed

    def close(self) -> None:
        with self._engine._changed:
            self._closed = True
            self._engine.streams.discard(self)
            self._engine._changed.notify_all()


def _num_steps(job: Job) -> int:
    return job.sampler.num_steps * (1 if job.joint else len(job.segments))
