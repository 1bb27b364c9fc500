"""Notes about one scene: what is rounded, and what the model does not know, does not read or does not use.

Comes in: a scene, its plan, the plan of the scene before it, its segments. Goes out: ``Note`` values. Pure; does not
know how jobs are made or compared.
"""

from collections.abc import Sequence

from engine.contract.jobs import Segment
from studio.document.storyboard import Scene
from studio.planning.conditioning import frames_taken_over
from studio.planning.context import PlanContext
from studio.planning.groups import num_segments, segment_s
from studio.planning.prompts import estimated_tokens, never_shown, unknown_words
from studio.planning.types import Note, ScenePlan, about_scene


def scene_notes(
    scene: Scene,
    plan: ScenePlan,
    previous: ScenePlan | None,
    segments: Sequence[Segment],
    max_tokens: int,
    context: PlanContext,
) -> list[Note]:
    """``segments``: the scene's. ``max_tokens``: of a prompt that the model reads."""
    warnings = [
        *_prompt_warnings(scene, plan, segments, max_tokens, context),
        _crossfade_warning(scene, plan, previous),
        _taken_over_warning(scene, plan, context),
        _sampler_warning(scene, context),
    ]
    notes = [about_scene(scene.id, "info", _rounding(scene, plan, context))]
    notes += [about_scene(scene.id, "warn", text) for text in warnings]
    return [note for note in notes if note.text]


def _rounding(scene: Scene, plan: ScenePlan, context: PlanContext) -> str:
    if context.card.makes == "picture":
        return f"{context.card.title} makes pictures: the scene is 1 frame, whatever its duration"
    if context.card.joint:
        count, unit = num_segments(scene, context), segment_s(context)
        exact, rest = count * unit, f"of {unit:g} s"
        rounded = "1 segment" if count == 1 else f"{count} segments"
    else:
        exact, rest = plan.seconds, f"({plan.seconds:g} s at {context.fps} a second)"
        rounded = "1 frame" if plan.num_frames == 1 else f"{plan.num_frames} frames"
    return "" if abs(scene.duration_s - exact) <= 1e-6 else f"{scene.duration_s:g} s is rounded to {rounded} {rest}"


def _prompt_warnings(
    scene: Scene, plan: ScenePlan, segments: Sequence[Segment], max_tokens: int, context: PlanContext
) -> list[str]:
    card, texts = context.card, list[str]()
    if unknown := unknown_words(" ".join((scene.prompt, *scene.chunk_prompts)), card):
        texts.append(never_shown(unknown, card))
    longest = max(estimated_tokens(segment.prompt) for segment in segments)
    if longest > max_tokens:
        limit = f"refuses more than {max_tokens}" if card.joint else f"reads the first {max_tokens}"
        texts.append(f"the prompt is about {longest} tokens long; {card.title} {limit}")
    if scene.negative_prompt and "negative_prompt" not in card.capabilities:
        texts.append(f"{card.title} reads no negative prompt; it is left out")
    if len(scene.chunk_prompts) >= plan.num_chunks:
        unused = len(scene.chunk_prompts) - plan.num_chunks + 1
        parts = "1 part" if plan.num_chunks == 1 else f"{plan.num_chunks} parts"
        last = "the last prompt is" if unused == 1 else f"the last {unused} prompts are"
        texts.append(f"the scene is made in {parts}: {last} not used")
    return texts


def _crossfade_warning(scene: Scene, plan: ScenePlan, previous: ScenePlan | None) -> str:
    if previous is None or scene.transition != "crossfade":
        return ""
    shorter = min(plan.seconds, previous.seconds)
    if scene.crossfade_s <= shorter:
        return ""
    return f"a crossfade of {scene.crossfade_s:g} s does not fit into a scene of {shorter:g} s; shorten it"


def _taken_over_warning(scene: Scene, plan: ScenePlan, context: PlanContext) -> str:
    """Where frames are taken over, and not as many as the scene says."""
    wanted, card = scene.continue_num_frames, context.card
    if wanted is None or card.joint or (plan.continues is None and plan.num_chunks < 2):
        return ""
    used = frames_taken_over(scene, card)
    counts = ", ".join(str(count) for count in card.conditioning_num_frames)
    return (
        "" if used == wanted else f"{card.title} goes on from {counts} frames; {wanted} were asked for, {used} are used"
    )


def _sampler_warning(scene: Scene, context: PlanContext) -> str:
    requested, defaults = scene.overrides.sampler, context.card.sampler
    if requested is None or requested in defaults.allowed:
        return ""
    return f"{context.card.title} is not sampled with {requested}; {defaults.name} is used"
