"""Assistants' cards: which model a local refiner, guard or critic is, and the form it is asked in.

Comes in: the values of a card's document. Goes out: ``AssistantCard``. Does not know files, torch or how a model is
asked (``engine.models.assistants`` has a class for each format).
"""

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from engine.contract.assistants import AssistantKind
from engine.contract.card_values import Part, Precision
from engine.contract.values import Identifier, Value

AssistantFormat = Literal[
    "chat", "vision_chat", "captioner", "describer", "qwen3guard", "llama_guard_3", "aegis", "frame_classifier"
]
"""chat: any chat model of text. vision_chat: one that sees pictures and clips. captioner: makes a short caption long.
describer: writes what it sees in a picture. The others are guards, by the form of their prompts and answers."""


class AssistantParts(Value):
    """``model``: weights, settings and tokenizer in one folder, as published. ``adapter``: a LoRA that is merged into
    it. ``classifier``: a small network on its features."""

    model: Part
    adapter: Part | None = None
    classifier: Part | None = None

    def all(self) -> dict[str, Part]:
        """The card's parts by name."""
        by_name = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in by_name.items() if part is not None}


class AssistantCard(Value):
    """One assistant. A document may name a ``base`` card, as model cards do."""

    name: Identifier
    title: str
    summary: str
    kinds: tuple[AssistantKind, ...] = Field(min_length=1)
    format: AssistantFormat
    film_models: tuple[str, ...] = ()
    """Patterns of the names of the models whose prompts or takes it was made for; empty: any."""
    licence: str
    origin: str
    parts: AssistantParts
    precision: Precision = "bfloat16"
    num_parameters: int = Field(default=0, ge=0)

    def suits(self, kind: AssistantKind, model: str) -> bool:
        """Whether it is made to be this assistant of a film model."""
        named = any(fnmatchcase(model, pattern) for pattern in self.film_models)
        return kind in self.kinds and (named or not self.film_models)


class AssistantStatus(Value):
    """A card with what one machine knows of it, as ``ModelStatus``."""

    card: AssistantCard
    fingerprint: str
    available: bool
    reason: str = ""
    missing: tuple[str, ...] = ()
