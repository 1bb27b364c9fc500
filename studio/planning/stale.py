"""Whether a scene is fresh, stale or missing, and why it is stale: two jobs compared field by field, in words.

Comes in: a scene of a group, the job that would be rendered now, the takes there are. Goes out: the ``ScenePlan``, with
reasons such as ``prompt changed`` or ``preset changed (draft -> balanced)``. Does not know how jobs are made, nor which
of them will be rendered.
"""

from collections.abc import Iterator, Mapping, Sequence

from engine.contract.cards import ModelCard
from engine.contract.jobs import FromMedia, FromModel, FromTake, Job, JobConditioning, Segment, Span
from engine.contract.scene_tokens import END_SCENE, START_SCENE
from studio.document.prompts import join_look
from studio.document.storyboard import Scene
from studio.planning.context import PlanContext
from studio.planning.groups import TOGETHER, DraftScene, SceneGroup
from studio.planning.presets import Preset
from studio.planning.types import ScenePlan


def state_of(draft: DraftScene, span: Span, job: Job, group: SceneGroup, context: PlanContext) -> ScenePlan:
    """The scene's plan: fresh where a take of its recipe exists. ``span``: the scene's in ``job``."""
    plan = draft.plan.model_copy(
        update={
            "recipe": span.recipe,
            "chunk_starts_s": _starts_s([each for each in job.segments if each.scene_id == span.scene_id], job.fps),
            "makes_first_frame": isinstance(job.conditioning, FromModel),
        }
    )
    shown = context.takes.shown(draft.scene, span.recipe)
    if shown is None:
        return plan.model_copy(update={"state": "missing", "reason": "not rendered yet"})
    if span.recipe in context.takes.by_recipe:
        return plan.model_copy(update={"state": "fresh", "take_id": shown.id})
    reason = stale_reason(shown.job, job, group, context)
    return plan.model_copy(update={"state": "stale", "reason": reason, "take_id": shown.id})


def stale_reason(old: Job, new: Job, group: SceneGroup, context: PlanContext) -> str:
    """What changed from a take's job to the one that would be rendered now; never empty where recipes differ.

    A take of a joint model is compared with all scenes; a take of the other kind of model, by its settings alone.
    """
    reasons = [*_model_reasons(old, new)]
    same_kind = old.joint == new.joint
    if same_kind:
        reasons += _scene_reasons(old, new, group, context)
    reasons += _frame_reasons(old, new)
    if same_kind:
        reasons += _start_reasons(old, new, group.previous)
    reasons += _setting_reasons(old, new, context.presets, context.card)
    text = ", ".join(dict.fromkeys(reasons)) or "its settings changed"
    return f"{text}; {TOGETHER}" if new.joint else text


def _starts_s(segments: Sequence[Segment], fps: int) -> tuple[float, ...]:
    starts_s, position = list[float](), 0
    for segment in segments:
        starts_s.append(round(position / fps, 3))
        position += segment.num_frames - segment.num_overlap_frames
    return tuple(starts_s)


def _model_reasons(old: Job, new: Job) -> Iterator[str]:
    if old.model != new.model:
        yield f"model changed ({old.model} -> {new.model})"
    elif old.weights != new.weights:
        yield "the model's weights changed"
    if old.pipeline != new.pipeline:
        yield "the engine draws differently since an update"


def _scene_reasons(old: Job, new: Job, group: SceneGroup, context: PlanContext) -> Iterator[str]:
    """Of every scene of the job. The take of a single scene may come from another scene of the same recipe."""
    if new.joint and old.scene_ids != new.scene_ids:
        yield "scenes came, went or moved"
        return
    segments = zip(_segments_by_scene(old), _segments_by_scene(new), strict=True)
    spans = zip(old.spans, new.spans, strict=True)
    for draft, (before, now), (old_span, new_span) in zip(group.drafts, segments, spans, strict=True):
        prefix = f"scene {draft.plan.number}'s " if new.joint else ""
        yield from _prompt_reasons(prefix, draft.scene, before, now, context)
        old_s, new_s = _seconds(old_span, old), _seconds(new_span, new)
        if old_s != new_s:
            yield f"{prefix}duration changed ({old_s:.3g} s -> {new_s:.3g} s)"
        if before[0].prompt.startswith(START_SCENE) != now[0].prompt.startswith(START_SCENE):
            yield f"{prefix}transition changed"


def _segments_by_scene(job: Job) -> list[list[Segment]]:
    scenes: list[list[Segment]] = []
    for segment in job.segments:
        if segment.starts_scene:
            scenes.append([])
        scenes[-1].append(segment)
    return scenes


def _seconds(span: Span, job: Job) -> float:
    return (span.end - span.start) / job.fps


def _prompt_reasons(
    prefix: str, scene: Scene, old: Sequence[Segment], new: Sequence[Segment], context: PlanContext
) -> Iterator[str]:
    """``prefix``: names the scene; the look belongs to none."""
    look, negative_look = context.storyboard.look, context.storyboard.negative_look
    before, now = _without_tokens(old), _without_tokens(new)
    later = [number for number, pair in enumerate(zip(before, now, strict=False), start=1) if pair[0] != pair[1]]
    if before[0] != now[0] and scene.refinement and _is_prompt(before[0], scene.refinement.of.prompt, look):
        yield f"{prefix}refined prompt is used now"
    elif before[0] != now[0]:
        label = "refined prompt" if scene.refinement else "prompt"
        yield _changed(prefix, before[0], scene.prompt, look, label, "look")
    elif later:
        parts = "part" if len(later) == 1 else "parts"
        yield f"{prefix}prompt of {parts} {', '.join(map(str, later))} changed"
    if old[0].negative_prompt != new[0].negative_prompt:
        labels = "negative prompt", "negative look"
        yield _changed(prefix, old[0].negative_prompt, scene.negative_prompt or "", negative_look, *labels)


def _is_prompt(text: str, prompt: str, look: str) -> bool:
    """Whether a segment's text is this prompt of the author's."""
    return bool(prompt.strip()) and text == join_look(prompt, look)


def _without_tokens(segments: Sequence[Segment]) -> list[str]:
    return [segment.prompt.removeprefix(START_SCENE).removesuffix(END_SCENE) for segment in segments]


def _changed(prefix: str, before: str, prompt: str, look: str, prompt_label: str, look_label: str) -> str:
    """Which of prompt and look changed, from both together before and each alone now."""
    prompt, look = prompt.strip(), look.strip()
    rest = before.removeprefix(prompt)
    other_prompt = not before.startswith(prompt) or (prompt and rest and rest[0] not in ", ")
    if other_prompt or (look and before.endswith(look)):
        return f"{prefix}{prompt_label} changed"
    return f"{look_label} changed" if look else f"{prefix}{prompt_label} or {look_label} changed"


def _frame_reasons(old: Job, new: Job) -> Iterator[str]:
    if old.size_px != new.size_px:
        yield f"size changed ({_size(old)} -> {_size(new)})"
    if old.fps != new.fps:
        yield f"frames a second changed ({old.fps} -> {new.fps})"


def _size(job: Job) -> str:
    return f"{job.size_px[0]} x {job.size_px[1]}"


def _start_reasons(old: Job, new: Job, previous: ScenePlan | None) -> Iterator[str]:
    if isinstance(old.conditioning, FromModel) and isinstance(new.conditioning, FromModel):
        yield from _first_frame_reasons(old, old.conditioning, new, new.conditioning)
    elif isinstance(new.conditioning, FromTake) and previous is not None:
        if old.conditioning != new.conditioning:
            yield _continued(old.conditioning, new.conditioning, previous)
    elif old.conditioning != new.conditioning:
        yield _conditioning(old.conditioning, new.conditioning)
    yield from _reimagine_reasons(old, new)


def _first_frame_reasons(old: Job, before: FromModel, new: Job, now: FromModel) -> Iterator[str]:
    """What changed of a made first frame, unless the scene's own prompt, seed or size says it."""
    if (before.model, before.weights) != (now.model, now.weights):
        yield "the first frame's model changed"
    if before.prompt != now.prompt and (before.prompt, now.prompt) != (old.segments[0].prompt, new.segments[0].prompt):
        yield "first frame's words changed"
    same_negative = old.segments[0].negative_prompt == new.segments[0].negative_prompt
    if before.negative_prompt != now.negative_prompt and same_negative:
        yield "first frame's negative words changed"
    if before.seed != now.seed and (before.seed, now.seed) != (old.seed, new.seed):
        yield "first frame re-rolled"
    if before.size_px != now.size_px and old.size_px == new.size_px:
        yield "first frame's size changed"
    if before.source != now.source and _clip(old) == _clip(new):
        yield "what the first frame is made from changed"
    if before.strength != now.strength:
        yield f"first frame's strength changed ({before.strength:g} -> {now.strength:g})"
    settings = [(each.sampler, each.guidance_scale, each.precision) for each in (before, now)]
    if settings[0] != settings[1]:
        yield "first frame's settings changed"


def _clip(job: Job) -> str:
    return job.reimagine.media if job.reimagine else ""


def _reimagine_reasons(old: Job, new: Job) -> Iterator[str]:
    match old.reimagine, new.reimagine:
        case None, None:
            return
        case None, _:
            yield "a clip is re-imagined now"
        case _, None:
            yield "no clip is re-imagined any more"
        case before, now:
            if before.media != now.media:
                yield "the re-imagined clip changed"
            if before.strength != now.strength:
                yield f"strength changed ({before.strength:g} -> {now.strength:g})"


def _continued(old: JobConditioning | None, new: FromTake, previous: ScenePlan) -> str:
    if not isinstance(old, FromTake):
        return f"continues scene {previous.number} now"
    if old.recipe == new.recipe:
        return f"takes over {new.num_frames} frames of scene {previous.number}, not {old.num_frames}"
    if previous.state == "fresh":
        return f"continues scene {previous.number}, which changed"
    return f"continues scene {previous.number}, which is {previous.state}"


def _conditioning(old: JobConditioning | None, new: JobConditioning | None) -> str:
    match old, new:
        case FromTake(), _:
            return "no longer continues the scene before it"
        case _, FromModel():
            return "a picture model makes its first frame now"
        case FromModel(), None:
            return "no picture model makes its first frame any more"
        case ((None | FromModel()), FromMedia()):
            return f"{_kind(new)} added"
        case FromMedia(), None:
            return f"{_kind(old)} taken away"
        case _:
            return f"{_kind(new)} changed" if isinstance(new, FromMedia) else "conditioning changed"


def _kind(conditioning: FromMedia) -> str:
    if conditioning.taken_from == "start":
        return "first frame of the clip"
    return "picture" if conditioning.kind == "image" else "clip"


def _setting_reasons(old: Job, new: Job, presets: Mapping[str, Preset], card: ModelCard) -> Iterator[str]:
    if old.seed != new.seed:
        yield "seed changed"
    if _quality(old) != _quality(new):
        before, now = _preset_of(old, presets, card), _preset_of(new, presets, card)
        if before and now and before != now:
            yield f"preset changed ({before} -> {now})"
        else:
            yield from _quality_reasons(old, new)
    if _noise(old) != _noise(new):
        yield "the model's noise levels changed"
    if old.guidance_schedule != new.guidance_schedule:
        yield "how guidance follows the steps changed"


def _quality(job: Job) -> tuple[object, ...]:
    return (job.sampler.name, job.sampler.num_steps, job.guidance_scale, job.speed.precision)


def _noise(job: Job) -> tuple[object, ...]:
    return (job.sampler.schedule, job.sampler.sigma_max, job.sampler.sigma_min, job.sampler.rho)


def _preset_of(job: Job, presets: Mapping[str, Preset], card: ModelCard) -> str:
    """The preset whose settings a job has; "" where none has them."""
    for preset in presets.values():
        sampler, precision = preset.sampler_for(card), preset.speed_for(card).precision
        if _quality(job) == (sampler.name, sampler.num_steps, preset.guidance_for(card), precision):
            return preset.name
    return ""


def _quality_reasons(old: Job, new: Job) -> Iterator[str]:
    if old.sampler.name != new.sampler.name:
        yield f"sampler changed ({old.sampler.name} -> {new.sampler.name})"
    if old.sampler.num_steps != new.sampler.num_steps:
        yield f"steps changed ({old.sampler.num_steps} -> {new.sampler.num_steps})"
    if old.guidance_scale != new.guidance_scale:
        yield f"guidance changed ({old.guidance_scale:g} -> {new.guidance_scale:g})"
    if old.speed.precision != new.speed.precision:
        yield f"precision changed ({old.speed.precision} -> {new.speed.precision})"
