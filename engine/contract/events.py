"""Events: what happens at the engine, in order, each once.

Comes out of the ranks (by way of the service, which gives ``seq``). Exactly one terminal event per job: Finished (of an
assistant's: Answered), Failed, JobRejected or JobCancelled. Does not know who reads them. A client ignores types that
it does not know (``EVENT_TYPES``): a newer engine may send them; from a rank, an unknown type is a fault of the
protocol.

Events of an ``AssistantJob`` are the same, with its id, and ``Answered`` in place of Finished; its stages are load,
encode (reading the request) and write (writing the answer, a step for each token).
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter

from engine.contract.assistants import AssistantAnswer
from engine.contract.jobs import Take
from engine.contract.values import Identifier, Value

StageName = Literal["load", "encode", "denoise", "decode", "write"]


Phase = Literal["first_frame", "film"]
"""first_frame: a picture model is at work; film: the job's own model."""


class JobEvent(Value):
    """``seq`` grows by one per event of a service (0: not yet numbered); ``time_s`` is seconds since the epoch."""

    seq: int = 0
    time_s: float
    job_id: Identifier


class EngineEvent(Value):
    seq: int = 0
    time_s: float


class Queued(JobEvent):
    type: Literal["queued"] = "queued"


class Started(JobEvent):
    type: Literal["started"] = "started"
    attempt: int = Field(ge=1)


class Stage(JobEvent):
    """A stage of one segment begins."""

    type: Literal["stage"] = "stage"
    phase: Phase = "film"
    stage: StageName
    segment: int = Field(ge=0)
    num_segments: int = Field(ge=1)


class Step(JobEvent):
    """One denoiser evaluation (or one decoded latent frame) is done: ``step`` of ``num_steps``, over all
    segments of the phase."""

    type: Literal["step"] = "step"
    phase: Phase = "film"
    stage: StageName
    step: int = Field(ge=0)
    num_steps: int = Field(ge=1)
    step_s: float = Field(ge=0)
    """Seconds of this step."""
    left_s: float = Field(ge=0)
    """Estimated seconds until the job is finished."""
    memory_bytes: int = Field(ge=0)
    """Memory in use on the device (on a CPU: of the process)."""


class Preview(JobEvent):
    """A new preview picture is at ``GET /jobs/{id}/preview`` (animated WebP); only the newest is kept."""

    type: Literal["preview"] = "preview"
    step: int = Field(ge=0)


class Interrupted(JobEvent):
    """The group died under the job; the queue tries it again unless a Failed follows."""

    type: Literal["interrupted"] = "interrupted"
    reason: str
    attempt: int


class Finished(JobEvent):
    type: Literal["finished"] = "finished"
    takes: tuple[Take, ...]


class Answered(JobEvent):
    """What an assistant made of the request of an ``AssistantJob``."""

    type: Literal["answered"] = "answered"
    answer: AssistantAnswer


class Failed(JobEvent):
    type: Literal["failed"] = "failed"
    reason: str
    """What went wrong, where, and what to do."""


class JobRejected(JobEvent):
    type: Literal["rejected"] = "rejected"
    code: str
    reason: str


class JobCancelled(JobEvent):
    type: Literal["cancelled"] = "cancelled"


class EngineUp(EngineEvent):
    type: Literal["engine_up"] = "engine_up"
    num_ranks: int
    device: str


class EngineDown(EngineEvent):
    type: Literal["engine_down"] = "engine_down"
    reason: str


Event = Annotated[
    Queued
    | Started
    | Stage
    | Step
    | Preview
    | Interrupted
    | Finished
    | Answered
    | Failed
    | JobRejected
    | JobCancelled
    | EngineUp
    | EngineDown,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads and writes any event as JSON: ``EVENT.validate_json(line)``, ``EVENT.dump_json(event)``."""

EVENT_TYPES = frozenset(str(kind.model_fields["type"].default) for kind in get_args(get_args(Event)[0]))
"""Every value of ``type`` that this version knows."""

TERMINAL = (Finished, Answered, Failed, JobRejected, JobCancelled)


JobState = Literal["queued", "running", "finished", "failed", "rejected", "cancelled"]
