"""The job content of all scenes, for a model that denoises a whole storyboard together, in segments of one length.

Comes in: the group of all scenes, the context of the plan. Goes out: their segments with scene tokens, the settings
they share, notes; or a ``PlanError``. Pure; does not know takes, nor how a model reads its scene tokens.

Seed, sampler, steps and guidance, which other models have for each scene, are one for all scenes here: the storyboard's
seed, and the overrides where all scenes have the same.
"""

from engine.contract.jobs import Segment
from engine.contract.scene_tokens import SegmentText, with_scene_tokens
from studio.document.prompts import full_negative_prompt, full_prompts
from studio.document.storyboard import FirstFrame, Overrides, Scene
from studio.errors import PlanError
from studio.planning.context import PlanContext
from studio.planning.groups import TOGETHER, DraftScene, JobContent, SceneGroup, num_segments, segment_s
from studio.planning.types import Note, about_all, about_scene


def joint_content(group: SceneGroup, context: PlanContext) -> JobContent:
    """Raises PlanError, about no scene in particular, for more segments than the model makes."""
    if excess := _too_many(group, context):
        raise PlanError("", excess)
    overrides = [draft.scene.overrides for draft in group.drafts]
    shared = overrides[0] if overrides.count(overrides[0]) == len(overrides) else None
    return JobContent(
        segments=_segments(group, context),
        seed=context.storyboard.seed,
        overrides=shared or Overrides(),
        notes=tuple(
            about_scene(draft.scene.id, "info", text)
            for draft in group.drafts
            for text in _unused(draft, shared is not None, context)
        ),
    )


def length_notes(group: SceneGroup, context: PlanContext) -> list[Note]:
    """About the storyboard's number of segments."""
    if excess := _too_many(group, context):
        return [about_all("error", excess)]
    total, trained = _total(group, context), context.joint.trained_num_segments
    if total in trained:
        return []
    numbers = ", ".join(str(number) for number in trained)
    text = f"no weights of {context.card.title} were trained for {total} segments (but for {numbers})"
    return [about_all("warn", text)]


def _total(group: SceneGroup, context: PlanContext) -> int:
    return sum(num_segments(draft.scene, context) for draft in group.drafts)


def _too_many(group: SceneGroup, context: PlanContext) -> str:
    """What to say of more segments than the model makes; "" where it makes them."""
    total, limit, length_s = _total(group, context), context.joint.max_num_segments, segment_s(context)
    if total <= limit:
        return ""
    most = f"{context.card.title} makes at most {limit} segments ({limit * length_s:g} s)"
    return f"the storyboard has {total} segments of {length_s:g} s, and {most}. Shorten it"


def _segments(group: SceneGroup, context: PlanContext) -> tuple[Segment, ...]:
    """The first of all has one frame more. A crossfade is a cut to the model; the film blends the two scenes."""
    scenes = [draft.scene for draft in group.drafts]
    places = [(scene, place) for scene in scenes for place in range(num_segments(scene, context))]
    texts = with_scene_tokens([text for scene in scenes for text in _texts(scene, context)])
    return tuple(
        Segment(
            scene_id=scene.id,
            prompt=prompt,
            negative_prompt=negative_prompt,
            num_frames=context.joint.segment_num_frames + (index == 0),
            num_overlap_frames=0,
            starts_scene=place == 0,
        )
        for index, ((scene, place), (prompt, negative_prompt)) in enumerate(zip(places, texts, strict=True))
    )


def _texts(scene: Scene, context: PlanContext) -> list[SegmentText]:
    starts = scene.transition != "continue"
    negative_prompt = full_negative_prompt(scene, context.storyboard, context.card)
    prompts = full_prompts(scene, context.storyboard.look, num_segments(scene, context))
    return [SegmentText(prompt, starts and place == 0, negative_prompt) for place, prompt in enumerate(prompts)]


def _unused(draft: DraftScene, same_overrides: bool, context: PlanContext) -> list[str]:
    """What the author set for this scene and this model does not use."""
    scene, texts = draft.scene, list[str]()
    if scene.conditioning is not None:
        texts.append(f"{context.card.title} starts from words alone: the scene's picture or clip is not used")
    if scene.first_frame != FirstFrame():
        texts.append("no picture model makes a first frame: its words and seed are not used")
    if scene.continue_num_frames is not None:
        texts.append(f"the number of frames that it continues from is not used: {TOGETHER}")
    if scene.seed not in (None, context.storyboard.seed):
        texts.append(f"the scene's own seed is not used: {TOGETHER}, from the storyboard's seed")
    if scene.overrides != Overrides() and not same_overrides:
        texts.append(f"the scene's own settings are not used, since other scenes have others: {TOGETHER}")
    if scene.transition == "crossfade" and draft.plan.number > 1:
        texts.append("a crossfade is a new scene to the model; the film blends the two")
    return texts
