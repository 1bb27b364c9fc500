"""One request to an assistant: rank 0 loads the model and answers, the other ranks wait for it.

Comes in: an ``AssistantJob`` and the context of this rank. Goes out: the answer on rank 0, with events on the way. A
model that one device cannot hold is not split over several: it fails for memory, and says so. Does not know sockets,
queues or how a model is asked.
"""

import time
import traceback
from collections.abc import Callable

import torch

from engine.contract.assistants import AssistantAnswer, AssistantJob
from engine.contract.errors import AssistantFailed
from engine.contract.events import Stage, StageName, Step
from engine.models.assistants.assistant import LocalAssistant, Work
from engine.runtime.link import CANCEL, GO, LEAVE, Leaving, raise_for_action
from engine.runtime.memory.model_cache import assistant_key
from engine.runtime.memory.residency import KeepResident
from engine.runtime.progress import memory_bytes
from engine.runtime.render_context import PAUSE_POLL_S, RankContext
from engine.storage.media import MediaStore

FOREIGN_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ImportError, OSError)
"""How code of published models fails at a request; the device is sound after these, and the rank goes on."""
REPORT_EVERY_S = 0.25
WORKING, DONE, LEAVING = range(3)
"""What rank 0 tells the waiting ranks."""


def answer(job: AssistantJob, context: RankContext) -> AssistantAnswer | None:
    """-> the answer on rank 0, None on the others. Raises Rejected, Cancelled, AssistantFailed or Leaving, the same on
    every rank."""
    key = assistant_key(job)
    if not context.models.holds(key):
        _begin(job, context, "load")
    assistant = context.models.assistant(key)
    context.models.prepare(KeepResident(context.ranks.device))
    answers: list[AssistantAnswer] = []
    _lead(context, lambda: answers.append(_answered(job, context, assistant)))
    return answers[0] if answers else None


def _lead(context: RankContext, work: Callable[[], None]) -> None:
    """``Ranks.lead`` for work that may take longer than a collective waits: rank 0 speaks with the others meanwhile."""
    ranks = context.ranks
    if not ranks.leads:
        while (word := ranks.agree(WORKING)) == WORKING:
            pass
        if word == LEAVING:
            raise Leaving
        return ranks.lead(work)
    try:
        ranks.lead(lambda: _until_done(context, work))
    except Leaving:
        ranks.agree(LEAVING)
        raise


def _until_done(context: RankContext, work: Callable[[], None]) -> None:
    try:
        work()
    except Leaving:
        raise
    except Exception:
        context.ranks.agree(DONE)
        raise
    context.ranks.agree(DONE)


def _answered(job: AssistantJob, context: RankContext, assistant: LocalAssistant | None) -> AssistantAnswer:
    assert assistant is not None, "rank 0 has the assistant"
    progress = _Progress(job, context)
    _begin(job, context, "write")
    media = MediaStore(context.workspace.media)
    KeepResident(context.ranks.device).acquire_all(assistant.components)
    work = Work(media.path, context.models.model_card, progress.step)
    try:
        with torch.inference_mode():
            return assistant.answer(job.request, work)
    except FOREIGN_ERRORS as error:
        traceback.print_exc()
        reason = f"{assistant.card.title}: failed at this request ({type(error).__name__}: {error})"
        raise AssistantFailed(f"{reason}. See logs/ranks.log at the engine, or choose another.") from error


class _Progress:
    """Of one answer. A token may take milliseconds: not every one is worth an event."""

    def __init__(self, job: AssistantJob, context: RankContext) -> None:
        self._job, self._context = job, context
        self._since_s, self._reported_s, self._step = time.monotonic(), 0.0, 0

    def step(self, step: int, num_steps: int) -> None:
        """After a step: reports it, then heeds what the author asked for. Raises Cancelled or Leaving."""
        if time.monotonic() - self._reported_s >= REPORT_EVERY_S or step == num_steps:
            self._report(step, num_steps)
        self._heed()

    def _report(self, step: int, num_steps: int) -> None:
        now_s = time.monotonic()
        step_s = (now_s - self._since_s) / max(1, step - self._step)
        self._since_s = self._reported_s = now_s
        self._step = step
        self._context.send(
            Step(
                time_s=time.time(),
                job_id=self._job.id,
                stage="write",
                step=min(step, num_steps),
                num_steps=num_steps,
                step_s=step_s,
                left_s=max(0, num_steps - step) * step_s,
                memory_bytes=memory_bytes(self._context.ranks.device),
            )
        )

    def _heed(self) -> None:
        while True:
            action = self._context.flags.requested_action(self._job.id)
            if action in (CANCEL, LEAVE):
                raise_for_action(action)
            self._context.ranks.agree(WORKING)
            if action == GO:
                return
            time.sleep(PAUSE_POLL_S)


def _begin(job: AssistantJob, context: RankContext, stage: StageName) -> None:
    context.send(Stage(time_s=time.time(), job_id=job.id, stage=stage, segment=0, num_segments=1))
