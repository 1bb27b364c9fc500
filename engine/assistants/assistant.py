"""What every assistant is to its callers: one question, one answer.

Comes in: a request of ``engine.contract.assistants``. Goes out: the answer of its kind, or ``AssistantFailed``. Rules
(built in), an endpoint and a model of the engine have this one interface. Does not know who asks.
"""

from typing import Protocol

from engine.contract.assistants import AssistantAnswer, AssistantRequest


class Assistant(Protocol):
    """Thread-safe."""

    @property
    def name(self) -> str:
        """The ``source`` of its answers, as it is shown."""
        ...

    def answer(self, request: AssistantRequest) -> AssistantAnswer:
        """May take minutes. Raises AssistantFailed (or another EngineError) with a text that may be shown."""
        ...

    def close(self) -> None:
        """Ends connections; questions under way fail."""
        ...
