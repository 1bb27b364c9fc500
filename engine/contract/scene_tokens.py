"""Where a scene begins and ends, marked in the texts of a model that reads a storyboard by segments (TTT-Video).

Comes in: the segments of one film, in order. Goes out: their texts with the model's scene tokens in place. Pure. Does
not know storyboards, files, tokenizers or how long a text may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

END_SCENE, START_SCENE = "<end_scene>", "<start_scene>"
"""In the order in which the model's tokenizer learned them. The model's guide spells them differently; these are what
the weights were trained with."""


@dataclass(frozen=True, slots=True)
class SegmentText:
    """``starts_scene``: a new scene begins with this segment, rather than the one before going on."""

    text: str
    starts_scene: bool
    negative: str = ""


def with_scene_tokens(segments: Sequence[SegmentText]) -> tuple[tuple[str, str], ...]:
    """(text, negative) of each segment, as they are encoded.

    Where a scene begins, the text before ends with END_SCENE and its own begins with START_SCENE, without spaces. The
    film's first segment has no token before it, whatever it says. Negatives carry none.
    """
    starts = [segment.starts_scene and index > 0 for index, segment in enumerate(segments)]
    ends = [*starts[1:], False]
    return tuple(
        (START_SCENE * start + segment.text + END_SCENE * end, segment.negative)
        for segment, start, end in zip(segments, starts, ends, strict=False)
    )
