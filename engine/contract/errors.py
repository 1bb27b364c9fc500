"""Errors of the engine, as the studio and the command line meet them.

EngineError
  Rejected(code)      refused before work; the group stays up
  Cancelled           an outcome, not a fault
  Interrupted         the group died: tried again, then failed
  Unreachable         no engine answers at the address
  Conflict            the same job id with another body
  AssistantFailed     a refiner, guard or critic gave no answer that can be used

Every message says what, where and what to do. Does not know HTTP, torch or the page.
"""


class EngineError(Exception):
    """Anything the engine can answer instead of a take."""


class Rejected(EngineError):
    """Refused before work. ``code`` is a stable word: weights, conditioning, size, sampler, preset, media ..."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Cancelled(EngineError):
    """The author stopped the job."""


class Interrupted(EngineError):
    """The group died under the job."""


class Unreachable(EngineError):
    """No engine answers."""


class Conflict(EngineError):
    """The same id came with another body."""


class AssistantFailed(EngineError):
    """A refiner, guard or critic gave no answer that can be used: it is out of reach, refused, or sent nonsense."""
