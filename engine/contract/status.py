"""What the service answers about itself and its queue. Values only."""

from engine.contract.assistants import AssistantAnswer, AssistantJob
from engine.contract.events import JobState
from engine.contract.jobs import Job
from engine.contract.values import Value


class JobStatus(Value):
    """A job with its state. ``position`` counts waiting jobs from 0; -1 where it does not wait."""

    job: Job
    state: JobState
    position: int
    attempt: int
    reason: str = ""


class AssistantJobStatus(Value):
    """An assistant's job with its state, and its answer once that is ``finished``. Otherwise as ``JobStatus``."""

    job: AssistantJob
    state: JobState
    position: int
    attempt: int
    reason: str = ""
    answer: AssistantAnswer | None = None


class EngineStatus(Value):
    """``group``: down, starting, ready or busy. ``last_seq`` is the newest event's number."""

    version: str
    group: str
    device: str
    num_ranks: int
    paused: bool
    running_job_id: str | None
    num_waiting: int
    last_seq: int
