"""What a scene starts from, as a job says it: the take before, a picture, a clip's frames, a made frame, or nothing.

Comes in: a scene, the plan of the scene before it, the context of the plan. Goes out: a ``SceneStart`` with notes, or
a ``PlanError``. Pure; does not know files or frames.
"""

from dataclasses import dataclass, replace

from engine.contract.cards import ModelCard
from engine.contract.jobs import FromMedia, FromModel, FromTake, JobConditioning, Reimagine
from engine.contract.media import MediaInfo
from studio.document.storyboard import Conditioning, FirstFrame, Scene
from studio.errors import PlanError
from studio.planning.context import PlanContext
from studio.planning.first_frames import DEFAULT_STRENGTH, made_frame
from studio.planning.types import ScenePlan

_NOTHING_BEFORE = "is the first scene: there is nothing to continue, so it starts anew"
"""A note, not an error: a scene may be moved to the front and back again without losing how it joins."""


@dataclass(frozen=True, slots=True)
class SceneStart:
    """``num_overlap_frames``: how many of the first chunk's frames repeat the scene before and are dropped."""

    conditioning: JobConditioning | None
    num_overlap_frames: int
    notes: tuple[str, ...]
    reimagine: Reimagine | None = None


def start_of(scene: Scene, seed: int, previous: ScenePlan | None, context: PlanContext) -> SceneStart:
    """Raises PlanError where the model cannot start like this; the message says what to do instead."""
    if scene.transition == "continue" and previous is not None:
        return _with_unused_note(_from_take(scene, previous, context.card), scene)
    notes = (_NOTHING_BEFORE,) if scene.transition == "continue" else ()
    if scene.conditioning is None:
        start = _from_prompt(scene, seed, context)
    elif scene.conditioning.strength is None:
        start = _from_media(scene.id, scene.conditioning, context)
    else:
        start = _reimagined(scene, scene.conditioning, scene.conditioning.strength, seed, context)
    return _with_unused_note(replace(start, notes=(*notes, *start.notes)), scene)


def _with_unused_note(start: SceneStart, scene: Scene) -> SceneStart:
    """With a note where what the author set for a made first frame is not used."""
    if scene.first_frame == FirstFrame() or isinstance(start.conditioning, FromModel):
        return start
    unused = "no picture model makes its first frame, so the first frame's own words and seed are not used"
    return replace(start, notes=(*start.notes, unused))


def _from_prompt(scene: Scene, seed: int, context: PlanContext) -> SceneStart:
    if context.card.first_frame is not None:
        return SceneStart(made_frame(scene, seed, context), 0, ())
    if "text" not in context.card.capabilities:
        raise PlanError(scene.id, f"{context.card.title} does not start from words alone. Give the scene a picture")
    return SceneStart(None, 0, ())


def _from_take(scene: Scene, previous: ScenePlan, card: ModelCard) -> SceneStart:
    if "continue" not in card.capabilities:
        raise PlanError(scene.id, f"{card.title} cannot continue a scene. Join it by a cut")
    if previous.recipe is None:
        raise PlanError(scene.id, f"continues scene {previous.number}, which cannot be rendered. Mend that one first")
    wanted = frames_taken_over(scene, card)
    num_frames = _allowed_num_frames(card, min(wanted, previous.num_frames))
    notes: list[str] = []
    if scene.conditioning is not None:
        notes.append("continues the scene before it, so its picture or clip is not used")
    if num_frames < wanted:
        frames = "its last frame" if num_frames == 1 else f"its last {num_frames} frames"
        short = f"scene {previous.number} is so short that only {frames} can be taken over"
        notes.append(f"{short}: movement may not go on")
    return SceneStart(FromTake(recipe=previous.recipe, num_frames=num_frames), num_frames, tuple(notes))


def _stored_media(scene_id: str, requested: Conditioning, context: PlanContext) -> MediaInfo:
    info = context.media.get(requested.media)
    if info is None:
        missing = f"the picture or clip {requested.media} is not there"
        raise PlanError(scene_id, f"{missing}. Choose it again, or take it out")
    return info


def _from_media(scene_id: str, requested: Conditioning, context: PlanContext) -> SceneStart:
    info, card = _stored_media(scene_id, requested, context), context.card
    if info.kind not in card.capabilities:
        kind = "a picture" if info.kind == "image" else "a clip"
        raise PlanError(scene_id, f"{card.title} cannot start from {kind}. Take it out, or use another model")
    if requested.num_frames > info.num_frames and info.kind == "clip":
        has = f"{requested.num_frames} frames were asked for and the clip has {info.num_frames}"
        raise PlanError(scene_id, f"{has}. Ask for fewer, or choose a longer clip")
    num_frames = 1 if info.kind == "image" else _allowed_num_frames(card, requested.num_frames)
    conditioning = FromMedia(kind=info.kind, media=info.sha256, num_frames=num_frames)
    return SceneStart(conditioning, 0, tuple(_media_notes(requested, num_frames, info, card)))


def _media_notes(requested: Conditioning, num_frames: int, info: MediaInfo, card: ModelCard) -> list[str]:
    notes: list[str] = []
    if requested.first_frame_strength is not None:
        notes.append("the first frame's strength is only for a clip that is re-imagined; it is not used")
    if num_frames != requested.num_frames and info.kind == "image":
        notes.append(f"a picture is 1 frame; {requested.num_frames} were asked for")
    elif num_frames != requested.num_frames:
        counts = ", ".join(str(count) for count in card.conditioning_num_frames)
        asked = f"{requested.num_frames} were asked for, {num_frames} are used"
        notes.append(f"{card.title} starts from {counts} frames; {asked}")
    return notes


def _reimagined(scene: Scene, requested: Conditioning, strength: float, seed: int, context: PlanContext) -> SceneStart:
    info, card = _stored_media(scene.id, requested, context), context.card
    if info.kind == "image":
        raise PlanError(scene.id, "only a clip can be re-imagined, not a picture. Take the strength out")
    if "sdedit" not in card.capabilities:
        raise PlanError(scene.id, f"{card.title} cannot re-imagine a clip. Take the strength out")
    conditioning, notes = _first_frame_of_clip(scene, requested, info, seed, context)
    length_s = info.num_frames / context.fps
    if scene.duration_s > length_s + 1e-6:
        notes.append(f"the clip lasts {length_s:.3g} s; after that its last frame is what is re-imagined")
    if abs(info.fps - context.fps) > 0.01:
        speed = f"it is taken frame by frame at {context.fps}, and so changes its speed"
        notes.append(f"the clip has {info.fps:g} frames a second; {speed}")
    if requested.num_frames != 1:
        notes.append("a clip that is re-imagined is taken whole: the number of frames is not used")
    return SceneStart(conditioning, 0, tuple(notes), Reimagine(media=info.sha256, strength=strength))


def _first_frame_of_clip(
    scene: Scene, requested: Conditioning, info: MediaInfo, seed: int, context: PlanContext
) -> tuple[JobConditioning | None, list[str]]:
    """The first frame of a clip that is re-imagined: kept, made by a picture model, or left to the video model."""
    card, strength = context.card, requested.first_frame_strength
    if strength == 0:
        if 1 in card.conditioning_num_frames:
            return FromMedia(kind="clip", media=info.sha256, num_frames=1, taken_from="start"), []
        return None, [f"{card.title} cannot be given a first frame: the clip's is re-imagined with the rest"]
    if card.first_frame is not None:
        strength = DEFAULT_STRENGTH if strength is None else strength
        instead = "Or set the first frame's strength to 0: the clip's own is kept"
        return made_frame(scene, seed, context, info.sha256, strength, instead), []
    if strength is None:
        return None, []
    return None, [f"{card.title} has no picture model: the first frame is re-imagined with the rest of the clip"]


def frames_taken_over(scene: Scene, card: ModelCard) -> int:
    """From the scene before by one that continues it, and from each chunk by the next."""
    if scene.continue_num_frames is None:
        return card.continue_num_frames
    return _allowed_num_frames(card, scene.continue_num_frames)


def _allowed_num_frames(card: ModelCard, num_frames: int) -> int:
    """The largest number of conditioning frames the model takes that is not above ``num_frames``; else its smallest."""
    return max((count for count in card.conditioning_num_frames if count <= num_frames), default=1)
