"""The loop of a rank: one job after another, each with exactly one terminal event.

Comes in: commands on the link of rank 0, shared with the other ranks. Goes out: events on that link. A known error
ends the job; an unknown one ends the process (``worker``). Does not know what a job computes.
"""

import os
import queue
import time
import traceback
from pathlib import Path

import torch

from engine.contract.assistants import AssistantJob
from engine.contract.errors import AssistantFailed, Cancelled, EngineError, Rejected
from engine.contract.events import Answered, EngineEvent, Failed, Finished, JobCancelled, JobEvent, JobRejected
from engine.contract.jobs import Job
from engine.contract.wire import (
    MODEL_CARDS_VARIABLE,
    MODELS_ROOT_VARIABLE,
    SAVE_EVERY_VARIABLE,
    WORKSPACE_VARIABLE,
    RunAssistant,
    RunJob,
)
from engine.models import family
from engine.runtime.assist import answer
from engine.runtime.link import ControlFlags, Leaving, Link, connect_link, leave_hard
from engine.runtime.memory.model_cache import ModelCache
from engine.runtime.memory.residency import smaller_offload
from engine.runtime.pipeline import run
from engine.runtime.ranks import IDLE_BEAT_S, Ranks, connect
from engine.runtime.render_context import SAVE_EVERY_S, RankContext
from engine.storage.workspace import Workspace

NOTHING, JOB, LEAVE, ASSISTANT = range(4)
NO_MEMORY = "can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "alloc_failed"
"""In messages of the host's allocator, mapped files, device drivers and libraries, which have no type for it."""


def work(num_threads: int) -> None:
    """From hello to the end of this rank."""
    if not torch.cuda.is_available():
        torch.set_num_threads(num_threads)
    ranks = connect()
    workspace = Workspace.at(Path(os.environ[WORKSPACE_VARIABLE]))
    folders = Path(os.environ[MODEL_CARDS_VARIABLE]), Path(os.environ[MODELS_ROOT_VARIABLE])
    models = ModelCache(ranks, *folders, workspace.file_hashes, run_cards=workspace.cards)
    link = connect_link(device_name(ranks.device), ranks.size) if ranks.leads else None
    if ranks.leads:
        for name in models.families():
            family(name).warm_up()  # seconds of imports, while the first job is on its way
    send, flags = (link.send, link.flags) if link else (drop, ControlFlags())
    save_every_s = float(os.environ.get(SAVE_EVERY_VARIABLE, SAVE_EVERY_S))
    context = RankContext(ranks, models, workspace, send, flags, save_every_s)
    while (order := next_order(ranks, link)) is not None:
        run_job(order.job, context)


def drop(event: JobEvent | EngineEvent) -> None:
    """Where the events of ranks other than 0 go: rank 0 sends the same."""


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def next_order(ranks: Ranks, link: Link | None) -> RunJob | RunAssistant | None:
    """The next job, the same on every rank; None at shutdown. Idle ranks agree on nothing every IDLE_BEAT_S."""
    while True:
        order, kind = _received(link) if link is not None else (None, NOTHING)
        kind = ranks.agree(kind)
        if kind == LEAVE:
            return None
        if kind != NOTHING:
            text = ranks.share_text(order.model_dump_json() if order is not None else "")
            return (RunJob if kind == JOB else RunAssistant).model_validate_json(text)


def _received(link: Link) -> tuple[RunJob | RunAssistant | None, int]:
    """What comes from the service within IDLE_BEAT_S, and its kind."""
    try:
        order = link.jobs.get(timeout=IDLE_BEAT_S)
    except queue.Empty:
        return None, NOTHING
    if order is None:
        return None, LEAVE
    return order, JOB if isinstance(order, RunJob) else ASSISTANT


def run_job(job: Job | AssistantJob, context: RankContext) -> None:
    """Runs one job and reports how it ended."""
    try:
        _send_result(job, context)
    except Leaving:
        return
    except Cancelled:
        context.send(JobCancelled(time_s=time.time(), job_id=job.id))
    except Rejected as error:
        context.send(JobRejected(time_s=time.time(), job_id=job.id, code=error.code, reason=str(error)))
    except AssistantFailed as error:
        context.send(Failed(time_s=time.time(), job_id=job.id, reason=str(error)))
    except EngineError as error:
        traceback.print_exc()
        context.send(Failed(time_s=time.time(), job_id=job.id, reason=str(error)))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the tensors of what failed
        fail_for_memory(job, context)


def _send_result(job: Job | AssistantJob, context: RankContext) -> None:
    """Of rank 0; the others have none."""
    if isinstance(job, AssistantJob):
        if found := answer(job, context):
            context.send(Answered(time_s=time.time(), job_id=job.id, answer=found))
    elif takes := run(job, context):
        context.send(Finished(time_s=time.time(), job_id=job.id, takes=takes))


def is_out_of_memory(error: BaseException) -> bool:
    """Of a device or of the host."""
    message = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(phrase in message for phrase in NO_MEMORY)


def fail_for_memory(job: Job | AssistantJob, context: RankContext) -> None:
    """Reports which settings would fit. Alone, a rank continues; in a group the others may wait in a collective."""
    context.send(Failed(time_s=time.time(), job_id=job.id, reason=memory_advice(job, context.ranks.size)))
    context.models.drop()
    if context.ranks.device.type == "cuda":
        torch.cuda.empty_cache()
    if context.ranks.size > 1:
        if not context.ranks.leads:
            time.sleep(3.0)  # rank 0 reports it, if it can
        leave_hard("out of memory")


def memory_advice(job: Job | AssistantJob, num_ranks: int = 1) -> str:
    """The settings that would fit, each by the name under which a storyboard, the page and a flag have it."""
    if isinstance(job, AssistantJob):
        return f"out of memory with {job.model}. Choose a smaller assistant, an endpoint or the one built in, or none."
    width, height = job.size_px
    lengths = [segment.num_frames for segment in job.segments]
    frames = sum(lengths) if job.joint else max(lengths)
    ways: list[str] = []
    if offload := smaller_offload(job.speed.offload):
        ways.append(f"offload: {offload}")
    if job.speed.guidance == "batched" and job.guidance_scale != 1.0:
        ways.append("guidance: sequential (half the memory while denoising)")
    if job.speed.precision == "float32":
        ways.append("precision: bfloat16")
    if torch.cuda.device_count() > num_ranks:
        ways.append(f"more ranks than {num_ranks} (--ranks: {torch.cuda.device_count()} GPUs are here)")
    shorter = "a storyboard of fewer segments" if job.joint else f"chunks of fewer than {frames} frames"
    ways.append(f"a size smaller than {width} x {height} or {shorter}")
    return f"out of memory at {width} x {height}, {frames} frames. What would fit: {'; '.join(ways)}."
