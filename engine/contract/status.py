"""What the service answers about itself and its queue. Values only."""

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
