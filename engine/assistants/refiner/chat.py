"""The refiner by a chat model: asks with the style's template, and reads the answer as a prompt.

Comes in: refine requests, a way to ask a model. Goes out: ``Refinement``s. The same for an endpoint and for a model of
the engine: only ``Ask`` differs. Does not know HTTP or torch.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.assistants.endpoint import Message, Picture, QuestionRefused, Sampling
from engine.assistants.refiner.cleaning import cleaned
from engine.assistants.refiner.templates import MAX_WORDS, messages_for, sampling_for, writes_from_picture
from engine.contract.assistants import PromptStyle, Refinement, RefineRequest

WORDS_PER_TOKEN = 0.7
"""Of English in the tokens of T5, with some room for the look."""
LONG_ENOUGH_WORDS = 250
"""NVIDIA's upsampler for Predict1 was trained on short captions; a longer one stays as it is."""
FEWEST_WORDS = 8


class Ask(Protocol):
    """One question to a chat model. Raises AssistantFailed."""

    def __call__(self, messages: Sequence[Message], sampling: Sampling) -> str: ...


def refined(
    request: RefineRequest,
    style: PromptStyle,
    max_tokens: int,
    ask: Ask,
    picture: Callable[[], Picture],
    source: str,
) -> Refinement:
    """``max_tokens``: of a prompt that the film's model reads. ``picture``: of the request's media. Raises
    AssistantFailed, Rejected."""
    if style == "predict1" and request.media is None and len(request.prompt.split()) > LONG_ENOUGH_WORDS:
        return Refinement(text=request.prompt, source=source, notes=("It is long enough as it is.",))
    from_picture, blind = writes_from_picture(request, style), False
    sampling = sampling_for(request, style)
    try:
        answer = ask(messages_for(request, style, picture() if request.media else None), sampling)
    except QuestionRefused:
        if request.media is None or from_picture:
            raise
        answer, blind = ask(messages_for(request, style, None), sampling), True
    max_words = max(FEWEST_WORDS, min(MAX_WORDS.get(style, 220), int(max_tokens * WORDS_PER_TOKEN)))
    result = cleaned(answer, "" if from_picture else request.prompt, max_words)
    return Refinement(text=result.text, source=source, notes=(*_notes(request, from_picture, blind), *result.notes))


def _notes(request: RefineRequest, from_picture: bool, blind: bool) -> list[str]:
    if not from_picture:
        return ["The refiner takes no pictures: it was written from your words alone."] if blind else []
    what = "the clip's last frame" if request.media_kind == "clip" else "the picture"
    if request.prompt.strip():
        return [f"Written from {what} alone, as this model's prompts are; your words were not sent."]
    return [f"Written from {what}."]
