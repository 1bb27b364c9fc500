"""What a scene starts from, as a job says it: the take before, a picture, the last frames of a clip, or nothing.

Comes in: a scene, how the scene before it is planned, a model card, what is known of the media. Goes out: a
``JobConditioning`` and notes in words, or a ``PlanError``. Pure; does not know files or frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.contract.cards import ModelCard
from engine.contract.jobs import FromMedia, FromTake, JobConditioning
from engine.contract.media import MediaInfo
from studio.errors import PlanError
from studio.storyboard import Conditioning, Scene

_NOTHING_BEFORE = "is the first scene: there is nothing to continue, so it starts anew"
"""A note, not an error: a scene may be moved to the front and back again without losing how it joins."""


@dataclass(frozen=True, slots=True)
class Before:
    """The scene before this one: ``recipe`` None where it cannot be rendered."""

    number: int
    recipe: str | None
    num_frames: int


@dataclass(frozen=True, slots=True)
class Start:
    """``num_overlap_frames``: how many of the first chunk's frames repeat the scene before and are dropped."""

    conditioning: JobConditioning | None
    num_overlap_frames: int
    notes: tuple[str, ...]


def start_of(scene: Scene, before: Before | None, card: ModelCard, media: Mapping[str, MediaInfo]) -> Start:
    """Raises PlanError in words that say what to do."""
    if scene.transition == "continue" and before is not None:
        return _from_take(scene, before, card)
    notes = (_NOTHING_BEFORE,) if scene.transition == "continue" else ()
    if scene.conditioning is None:
        return Start(None, 0, notes)
    start = _from_media(scene.id, scene.conditioning, card, media)
    return replace(start, notes=(*notes, *start.notes))


def _from_take(scene: Scene, before: Before, card: ModelCard) -> Start:
    if "continue" not in card.capabilities:
        raise PlanError(scene.id, f"{card.title} cannot continue a scene. Join it by a cut")
    if before.recipe is None:
        raise PlanError(scene.id, f"continues scene {before.number}, which cannot be rendered. Mend that one first")
    num_frames = _allowed(card, min(card.continue_num_frames, before.num_frames))
    notes: list[str] = []
    if scene.conditioning is not None:
        notes.append("continues the scene before it, so its picture or clip is not used")
    if num_frames < card.continue_num_frames:
        said = "its last frame" if num_frames == 1 else f"its last {num_frames} frames"
        notes.append(f"scene {before.number} is so short that only {said} can be taken over: movement may not go on")
    return Start(FromTake(recipe=before.recipe, num_frames=num_frames), num_frames, tuple(notes))


def _from_media(scene_id: str, wish: Conditioning, card: ModelCard, media: Mapping[str, MediaInfo]) -> Start:
    info = media.get(wish.media)
    if info is None:
        raise PlanError(scene_id, f"the picture or clip {wish.media} is not there. Choose it again, or take it out")
    if wish.strength is not None:
        raise PlanError(scene_id, f"{card.title} cannot re-imagine a clip. Take the strength out")
    if info.kind not in card.capabilities:
        kind = "a picture" if info.kind == "image" else "a clip"
        raise PlanError(scene_id, f"{card.title} cannot start from {kind}. Take it out, or use another model")
    if wish.num_frames > info.num_frames and info.kind == "clip":
        has = f"{wish.num_frames} frames were asked for and the clip has {info.num_frames}"
        raise PlanError(scene_id, f"{has}. Ask for fewer, or choose a longer clip")
    num_frames = 1 if info.kind == "image" else _allowed(card, wish.num_frames)
    conditioning = FromMedia(kind=info.kind, media=info.sha256, num_frames=num_frames)
    return Start(conditioning, 0, _media_notes(wish, num_frames, info, card))


def _media_notes(wish: Conditioning, num_frames: int, info: MediaInfo, card: ModelCard) -> tuple[str, ...]:
    if num_frames == wish.num_frames:
        return ()
    if info.kind == "image":
        return (f"a picture is 1 frame; {wish.num_frames} were asked for",)
    counts = ", ".join(str(count) for count in card.conditioning_num_frames)
    return (f"{card.title} starts from {counts} frames; {wish.num_frames} were asked for, {num_frames} are used",)


def _allowed(card: ModelCard, num_frames: int) -> int:
    """The largest number of conditioning frames the model takes that is not above ``num_frames``; else its smallest."""
    return max((count for count in card.conditioning_num_frames if count <= num_frames), default=1)
