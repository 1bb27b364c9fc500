"""Local assistants: refiners, guards and critics that are published models, run with transformers.

Comes in: an assistant's card. Goes out: the loaded assistant. A format is one line here and one class.
"""

import importlib
from pathlib import Path

from engine.contract.assistant_cards import AssistantCard, AssistantFormat
from engine.models.assistants.assistant import LocalAssistant

FORMATS: dict[AssistantFormat, str] = {
    **dict.fromkeys(("chat", "vision_chat", "captioner", "describer"), "chat"),
    **dict.fromkeys(("qwen3guard", "llama_guard_3", "aegis"), "text_guards"),
    "frame_classifier": "frame_classifier",
}
"""The module of each format."""


def load(card: AssistantCard, models_root: Path) -> LocalAssistant:
    """On the CPU. Raises Rejected("weights") where its files are missing or damaged."""
    module = importlib.import_module(f"{__name__}.{FORMATS[card.format]}")
    return module.load(card, models_root)
