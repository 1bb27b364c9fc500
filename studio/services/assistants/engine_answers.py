"""Assistants that the engine runs: a question goes out as a job, and whoever asked waits for its answer.

Comes in: ``AssistantJob`` values, the engine's events. Goes out: answers, or ``AssistantFailed``. A job's id is made of
its question, so that a question which was asked before a restart is found answered, or goes on. Does not know what is
asked, nor which model answers.
"""

import hashlib
import threading
from concurrent.futures import Future

from engine.contract.assistants import AssistantAnswer, AssistantJob, AssistantRequest
from engine.contract.errors import AssistantFailed, EngineError, Rejected
from engine.contract.events import Answered, Failed, JobCancelled, JobRejected, JobState
from engine.contract.status import AssistantJobStatus
from studio.rendering.engine import Engine
from studio.rendering.job_tracker import AssistantEvent, JobTracker

MOST_IDS = 1000
_ENDED: tuple[JobState, ...] = ("failed", "rejected", "cancelled")
_Waiting = dict[str, list[Future[AssistantAnswer]]]


def assistant_job(project_id: str, model: str, weights: str, request: AssistantRequest) -> AssistantJob:
    """The job of a question; the same question has the same id in every project."""
    named = hashlib.sha256(f"{model}\0{weights}\0{request.model_dump_json()}".encode()).hexdigest()
    return AssistantJob(id=f"a-{named[:20]}", project_id=project_id, model=model, weights=weights, request=request)


class EngineAnswers:
    """The ``AssistantListener`` of a tracker. Thread-safe."""

    def __init__(self, tracker: JobTracker) -> None:
        self._tracker = tracker
        self._lock = threading.Lock()
        self._waiting: _Waiting = {}
        self._closed = False
        tracker.assistants = self

    def answer(self, job: AssistantJob, timeout_s: float) -> AssistantAnswer:
        """Waits for it. Raises AssistantFailed with the engine's reason, or another EngineError."""
        for attempt in range(MOST_IDS):
            asked = job.model_copy(update={"id": f"{job.id}.{attempt}"}) if attempt else job
            status, coming = self._ask(asked)
            if status.state in _ENDED:
                continue  # it failed some time ago: the question is asked anew, under another id
            try:
                return status.answer or coming.result(timeout_s)
            except TimeoutError as error:
                reason = f"{job.model}: the engine gave no answer in {timeout_s:g} s. Wait until its queue is shorter"
                raise AssistantFailed(f"{reason}, or ask again.") from error
            finally:
                self._leave(asked.id, coming)
        raise AssistantFailed(f"{job.model}: was asked {MOST_IDS} times in vain. Look at the engine's log.")

    def _ask(self, job: AssistantJob) -> tuple[AssistantJobStatus, Future[AssistantAnswer]]:
        """Expected before it is asked, so that no answer comes too early."""
        coming: Future[AssistantAnswer] = Future()
        with self._lock:
            if self._closed:
                raise AssistantFailed("the studio is closing.")
            self._waiting.setdefault(job.id, []).append(coming)
        try:
            status = self._tracker.ask(job)
        except EngineError:
            self._leave(job.id, coming)
            raise
        if status.state in _ENDED:
            self._leave(job.id, coming)
        return status, coming

    def _leave(self, job_id: str, coming: Future[AssistantAnswer]) -> None:
        with self._lock:
            others = [each for each in self._waiting.get(job_id, []) if each is not coming]
            if others:
                self._waiting[job_id] = others
            else:
                self._waiting.pop(job_id, None)

    def assistant_event(self, event: AssistantEvent) -> None:
        match event:
            case Answered():
                self._end(event.job_id, event.answer)
            case Failed() | JobRejected():
                self._end(event.job_id, AssistantFailed(event.reason))
            case JobCancelled():
                self._end(event.job_id, AssistantFailed("was stopped before it had answered."))
            case _:
                pass

    def settle(self, engine: Engine) -> None:
        """Answers that came while no events did, and questions that were lost with the engine's database."""
        with self._lock:
            waiting = tuple(self._waiting)
        for job_id in waiting:
            try:
                status = engine.assistant_job(job_id)
            except Rejected:
                self._end(job_id, AssistantFailed("the engine no longer knows this question. Ask again."))
                continue
            if status.answer is not None:
                self._end(job_id, status.answer)
            elif status.state in _ENDED:
                self._end(job_id, AssistantFailed(status.reason or "was stopped before it had answered."))

    def close(self) -> None:
        """Who waits is let go; the engine goes on, and its answer is found when the question is asked again."""
        with self._lock:
            self._closed, waiting = True, tuple(self._waiting)
        for job_id in waiting:
            self._end(job_id, AssistantFailed("the studio is closing."))

    def _end(self, job_id: str, outcome: AssistantAnswer | AssistantFailed) -> None:
        with self._lock:
            waiting = self._waiting.pop(job_id, [])
        for each in waiting:
            if isinstance(outcome, AssistantFailed):
                each.set_exception(outcome)
            else:
                each.set_result(outcome)
