"""Local assistants: refiners, guards and critics that are published models, run with transformers.

Comes in: an assistant's card. Goes out: the loaded assistant. A format is one line here and one class.
"""

import importlib
from pathlib import Path

from engine.contract.assistant_cards import AssistantCard, AssistantFormat
from engine.contract.errors import Rejected
from engine.models.assistants.assistant import LocalAssistant

FORMATS: dict[AssistantFormat, str] = {}
"""The module of each format."""


def load(card: AssistantCard, models_root: Path) -> LocalAssistant:
    """On the CPU. Raises Rejected("weights") where its files are missing or damaged."""
    if card.format not in FORMATS:
        raise Rejected(
            "model", f"{card.name}: models of format {card.format} are not read yet. Choose another assistant."
        )
    module = importlib.import_module(f"{__name__}.{FORMATS[card.format]}")
    return module.load(card, models_root)
