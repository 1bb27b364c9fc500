"""Critics that need no model here: measures of the frames, and any vision-language model behind an endpoint.

Comes in: a clip, its prompt, for ``continue`` the frames before it; of a small model its vocabulary and looks. Goes
out: a ``Critique``, whose score orders takes. Does not know takes, libraries or settings; the question and its answers
are ``engine.assistants.critic_answers``'.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from engine.assistants.built_in.attributes import AttributeReader, Seen, reader_of
from engine.assistants.built_in.measures import Fault, faults, quality
from engine.assistants.built_in.vocabulary import Reading, Vocabulary, vocabulary_of
from engine.assistants.critic_answers import SYSTEM, critique_of, question
from engine.assistants.endpoint import ChatEndpoint, Message, Picture, Sampling
from engine.contract.assistants import NUM_TRIALS, Critique
from engine.contract.cards import ModelCard
from engine.contract.errors import AssistantFailed
from engine.storage.card_files import BUNDLED_ROOT
from engine.storage.media import Frames, read_small

SOURCE = "built in"
MAX_SIDE_PX, MAX_FRAMES = 192, 1200
"""What is measured of a clip: enough to see every fault that is measured."""
SAMPLING = Sampling(max_tokens=4096, temperature=0.6, top_p=0.95, extra={"top_k": 50, "repetition_penalty": 1.05})
"""Cosmos-Reason1's."""
NUM_STILLS = 8
"""Frames that are sent where an endpoint takes pictures and no clips."""
_NOTED = 0.1
_RIGHT_SHARE, _WRONG_SHARE = 0.9, 0.2
"""What an attribute leaves of the score however unsure it is read: of what is right nearly all, of what is wrong
little."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the built-in critic knows of one film model beyond frames."""

    vocabulary: Vocabulary
    reader: AttributeReader


def knowledge_of(card: ModelCard | None, models_root: Path = BUNDLED_ROOT) -> Knowledge | None:
    """None for a model whose card brings nothing. Raises Rejected("model")."""
    vocabulary = vocabulary_of(card, models_root) if card else None
    reader = reader_of(card, models_root) if card else None
    return Knowledge(vocabulary, reader) if vocabulary and reader else None


def read_clip(path: Path) -> Frames:
    """The frames of a file as the built-in critic measures them. Raises Rejected("conditioning")."""
    return read_small(path, MAX_SIDE_PX, MAX_FRAMES)


def measured(
    frames: Frames,
    prompt: str = "",
    knowledge: Knowledge | None = None,
    before: Frames | None = None,
    num_prompted: int | None = None,
) -> Critique:
    """The built-in critique: the product of how free of faults the clip is and how likely each asked attribute is.

    ``num_prompted``: of how many frames the prompt speaks, where others follow with another; None: of all.
    """
    asked = knowledge.vocabulary.read(prompt) if knowledge and prompt else None
    seen = knowledge.reader.read(frames[:num_prompted]) if knowledge and asked else None
    found = [fault for fault in faults(frames, before) if not _is_asked(fault, asked)]
    score, reasons = quality(found), [(fault.severity, fault.text) for fault in found if fault.severity >= _NOTED]
    right: list[str] = []
    for attribute, value in (asked.values() if asked and seen else {}).items():
        likelihood = seen[attribute].likelihoods.get(value, 0.0) if seen else 0.0
        if seen and seen[attribute].value != value:
            score *= _WRONG_SHARE + (1 - _WRONG_SHARE) * likelihood
            reasons.append((1.0, _mismatch(attribute, value, seen[attribute])))
        else:
            score *= _RIGHT_SHARE + (1 - _RIGHT_SHARE) * likelihood
            right.append(attribute)
    texts = [text for _, text in sorted(reasons, key=lambda each: -each[0])]
    return Critique(score=min(1.0, max(0.0, score)), source=SOURCE, reasons=(*texts, *_praise(right, bool(texts))))


def asked_of_endpoint(
    endpoint: ChatEndpoint, clip: Path, prompt: str = "", num_trials: int = NUM_TRIALS, seed: int = 0
) -> Critique:
    """The question, asked ``num_trials`` times. Raises AssistantFailed where no trial is answered.

    An endpoint that refuses the clip is shown stills of it instead.
    """
    content: tuple[Picture, ...] = (Picture(clip.read_bytes(), "video/mp4"),)
    texts: list[str] = []
    problem: AssistantFailed | None = None
    for trial in range(num_trials):
        sampling = Sampling(SAMPLING.max_tokens, SAMPLING.temperature, SAMPLING.top_p, seed + trial, SAMPLING.extra)
        try:
            texts.append(endpoint.complete(_messages(content, prompt), sampling))
        except AssistantFailed as error:
            problem = error
            if trial == 0 and len(content) == 1:
                content = _stills(clip)
                texts.append(endpoint.complete(_messages(content, prompt), sampling))
    if not texts and problem is not None:
        raise problem
    return critique_of(texts, endpoint.name)


def _messages(content: Sequence[Picture], prompt: str) -> tuple[Message, ...]:
    return Message("system", (SYSTEM,)), Message("user", (*content, question(prompt)))


def _stills(clip: Path) -> tuple[Picture, ...]:
    frames = read_small(clip, 512, MAX_FRAMES)
    positions = sorted({round(i * (len(frames) - 1) / (NUM_STILLS - 1)) for i in range(NUM_STILLS)})
    return tuple(Picture(_png(frames[at]), "image/png") for at in positions)


def _png(frame: Frames) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()


def _is_asked(fault: Fault, asked: Reading | None) -> bool:
    """A scene in which nothing shall move may be still."""
    return fault.name == "frozen" and asked is not None and asked.values().get("motion") == "stay"


def _mismatch(attribute: str, value: str, seen: Seen) -> str:
    return f"the {attribute} is {seen.value or 'not to be seen'}, not {value}"


def _praise(right: Sequence[str], has_faults: bool) -> tuple[str, ...]:
    if not right:
        return () if has_faults else ("no fault was measured",)
    names = " and ".join([", ".join(right[:-1]), right[-1]] if len(right) > 1 else right)
    return (f"{names} {'are' if len(right) > 1 else 'is'} as asked",)
