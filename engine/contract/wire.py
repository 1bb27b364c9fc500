"""The lines between the service and rank 0: one JSON object per line, UTF-8, over one loopback socket.

Up (rank 0 to service): ``Hello`` first, then events (seq 0). Down: ``Command``. End of file is the other side's death.
Does not know sockets, queues or tensors.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from engine.contract.assistants import AssistantJob
from engine.contract.jobs import FromModel, Job
from engine.contract.values import Identifier, Value

MAX_LINE_BYTES = 8 * 2**20
"""A longer line is a broken peer."""

SOCKET_VARIABLE = "STORYBOARD_ENGINE_SOCKET"
"""host:port of the service's socket."""
SECRET_VARIABLE = "STORYBOARD_ENGINE_SECRET"
WORKSPACE_VARIABLE = "STORYBOARD_WORKSPACE"
MODEL_CARDS_VARIABLE = "STORYBOARD_MODEL_CARDS"
"""Folder of model cards (yaml)."""
MODEL_MEMORY_VARIABLE = "STORYBOARD_MODEL_MEMORY_GB"
"""Most gigabytes of models that a rank keeps loaded; unset: by what is free."""
MODELS_ROOT_VARIABLE = "STORYBOARD_MODELS_ROOT"
"""Folder that a card's ``folder`` is relative to."""
SAVE_EVERY_VARIABLE = "STORYBOARD_SAVE_EVERY_S"
"""Seconds of sampling between two saved states of a running job; 2 where it is not set."""


class Hello(Value):
    """Rank 0's first line, sent once the group is able to take a job."""

    type: Literal["hello"] = "hello"
    secret: str
    device: str
    """As it is shown: ``cpu``, or the device's name."""
    num_ranks: int = Field(ge=1)
    pid: int


class RunJob(Value):
    """Render this. Sent only while no other job is running; answered by events up to one terminal one."""

    type: Literal["job"] = "job"
    job: Job
    attempt: int = Field(ge=1)
    """1 for the first; later ones go on from the state saved in the job's folder, if there is one."""


class RunAssistant(Value):
    """Answer this, under the same rules as a job: one at a time, up to one terminal event (``Answered``)."""

    type: Literal["assistant"] = "assistant"
    job: AssistantJob
    attempt: int = Field(ge=1)


class Upcoming(Value):
    """First frames of jobs that wait behind this one. They are made with its own where the picture model would
    otherwise be loaded again for each. Sent as the queue changes; the last one counts."""

    type: Literal["upcoming"] = "upcoming"
    job_id: Identifier
    pictures: tuple[FromModel, ...]


class CancelJob(Value):
    """Stop at the next step boundary and answer JobCancelled. Without effect on a job that is not running."""

    type: Literal["cancel"] = "cancel"
    job_id: Identifier


class Pause(Value):
    """Wait at the next step boundary, until ``Resume`` (a cancel still takes effect)."""

    type: Literal["pause"] = "pause"


class Resume(Value):
    type: Literal["resume"] = "resume"


class Shutdown(Value):
    """Leave, all ranks together; a running job is saved, not finished."""

    type: Literal["shutdown"] = "shutdown"


Command = Annotated[
    RunJob | RunAssistant | Upcoming | CancelJob | Pause | Resume | Shutdown, Field(discriminator="type")
]

COMMAND: TypeAdapter[Command] = TypeAdapter(Command)
"""Reads a line on the ranks' side: ``COMMAND.validate_json(line)``."""


def line(message: Value) -> bytes:
    """Any message or event as one line, newline included."""
    return message.model_dump_json().encode() + b"\n"
