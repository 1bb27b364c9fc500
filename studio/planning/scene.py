"""One scene's job, for a model that makes each scene by itself, in chunks that go on from one another.

Comes in: a scene, how the one before it is planned, what all scenes share. Goes out: an ``PlannedScene`` with its job
and notes in words. Pure; does not know which jobs will be rendered.
"""

import hashlib
import json

from engine.contract.frames import chunks_for
from engine.contract.jobs import Job, Segment, make_job
from studio.document.prompts import full_negative_prompt, full_prompts
from studio.document.storyboard import Scene
from studio.errors import PlanError
from studio.planning.conditioning import PreviousScene, SceneStart, start_of
from studio.planning.context import PlanContext
from studio.planning.prompts import estimated_tokens, never_shown, unknown_words
from studio.planning.sizes import check_length, chunk_length, num_frames_of
from studio.planning.stale import blank_plan, judged, unplannable
from studio.planning.stale_reasons import ReasonScope, reasons
from studio.planning.types import Note, PlannedScene, ScenePlan, about_scene


def derived_seed(storyboard_seed: int, scene_id: str) -> int:
    """The seed of a scene that has none of its own: of the storyboard's and the scene's id, wherever it stands."""
    digest = hashlib.sha256(f"{storyboard_seed}/{scene_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def plan_scene(scene: Scene, number: int, before: ScenePlan | None, setting: PlanContext) -> PlannedScene:
    num_frames = num_frames_of(scene, setting.card, setting.fps)
    seed = derived_seed(setting.storyboard.seed, scene.id) if scene.seed is None else scene.seed
    blank = blank_plan(scene, number, num_frames, seed, before, setting)
    try:
        check_possible(scene, setting)
        check_length(scene, num_frames, setting.card, setting.fps)
        earlier = PreviousScene(before.number, before.recipe, before.num_frames) if before else None
        start = start_of(scene, seed, earlier, setting)
    except PlanError as error:
        return unplannable(blank, scene, str(error), setting)
    job = _job(scene, blank, start, setting)
    names = _names(scene, blank, before, setting)
    found = judged(blank, scene, job, job.recipe, job.segments, lambda old: reasons(old, job, names), setting)
    notes = scene_notes(scene, found, before, job.segments, setting.card.text.max_tokens, setting)
    notes += [*(_warn(scene, text) for text in start.notes), *_sampler_notes(scene, setting)]
    return PlannedScene(found, job, tuple(notes))


def check_possible(scene: Scene, setting: PlanContext) -> None:
    """Raises PlanError where there is nothing to render, or nothing to render it with."""
    if setting.refusal:
        raise PlanError(scene.id, setting.refusal)
    if not scene.prompt.strip():
        raise PlanError(scene.id, "has no prompt. Write what is to be seen")


def with_id(job: Job) -> Job:
    """The id follows from all of a job, so that another body never has the same id."""
    names = job.scene_ids[0] if len(job.scene_ids) == 1 else list(job.scene_ids)
    named = json.dumps([job.recipe, job.project_id, names, job.speed.model_dump()])
    return job.model_copy(update={"id": hashlib.sha256(named.encode()).hexdigest()[:16]})


def _job(scene: Scene, blank: ScenePlan, start: SceneStart, setting: PlanContext) -> Job:
    """The complete recipe of a scene."""
    card, preset, own = setting.card, setting.preset, scene.overrides
    job = make_job(
        id="draft",
        project_id=setting.project_id,
        scene_ids=(scene.id,),
        model=card.name,
        weights=setting.status.fingerprint,
        segments=_segments(scene, blank.num_frames, start, setting),
        size_px=setting.size_px,
        fps=setting.fps,
        num_frames=blank.num_frames,
        seed=blank.seed,
        sampler=preset.sampler_for(card, own.sampler, own.num_steps),
        guidance_scale=preset.guidance_for(card) if own.guidance_scale is None else own.guidance_scale,
        guidance_schedule=card.guidance_schedule,
        conditioning=start.conditioning,
        reimagine=start.reimagine,
        speed=preset.speed_for(card),
    )
    return with_id(job)


def _segments(scene: Scene, num_frames: int, start: SceneStart, setting: PlanContext) -> tuple[Segment, ...]:
    card = setting.card
    length = chunk_length(num_frames, card)
    chunks = chunks_for(num_frames, length, start.num_overlap_frames, card.continue_num_frames)
    return tuple(
        Segment(
            scene_id=scene.id,
            prompt=prompt,
            negative_prompt=full_negative_prompt(scene, setting.storyboard, card),
            num_frames=chunk.num_frames,
            num_overlap_frames=chunk.num_overlap_frames,
            starts_scene=position == 0,
        )
        for position, (chunk, prompt) in enumerate(
            zip(chunks, full_prompts(scene, setting.storyboard.look, len(chunks)), strict=True)
        )
    )


def _names(scene: Scene, blank: ScenePlan, before: ScenePlan | None, setting: PlanContext) -> ReasonScope:
    continues = before if before and scene.transition == "continue" else None
    return ReasonScope(
        prompt=scene.prompt,
        look=setting.storyboard.look,
        negative_prompt=scene.negative_prompt,
        negative_look=setting.storyboard.negative_look,
        presets=setting.presets,
        card=setting.card,
        before_number=continues.number if continues else blank.number - 1,
        before_state=continues.state if continues else "",
    )


def _warn(scene: Scene, text: str) -> Note:
    return about_scene(scene.id, "warn", text)


def scene_notes(
    scene: Scene,
    found: ScenePlan,
    before: ScenePlan | None,
    segments: tuple[Segment, ...],
    max_tokens: int,
    setting: PlanContext,
) -> list[Note]:
    """What was rounded, what the model was never shown or reads no further than (``max_tokens``)."""
    card, notes = setting.card, [*_rounding_notes(scene, found, setting)]
    if unknown := unknown_words(" ".join((scene.prompt, *scene.chunk_prompts)), card):
        notes.append(_warn(scene, never_shown(unknown, card)))
    longest = max(estimated_tokens(segment.prompt) for segment in segments)
    if longest > max_tokens:
        limit = f"refuses more than {max_tokens}" if card.joint else f"reads the first {max_tokens}"
        notes.append(_warn(scene, f"the prompt is about {longest} tokens long; {card.title} {limit}"))
    if scene.negative_prompt and "negative_prompt" not in card.capabilities:
        notes.append(_warn(scene, f"{card.title} reads no negative prompt; it is left out"))
    if len(scene.chunk_prompts) >= found.num_chunks:
        unused = len(scene.chunk_prompts) - found.num_chunks + 1
        said = "1 part" if found.num_chunks == 1 else f"{found.num_chunks} parts"
        last = "the last prompt is" if unused == 1 else f"the last {unused} prompts are"
        notes.append(_warn(scene, f"the scene is made in {said}: {last} not used"))
    if before and scene.transition == "crossfade":
        shorter = min(found.seconds, before.seconds)
        if scene.crossfade_s > shorter:
            text = f"a crossfade of {scene.crossfade_s:g} s does not fit into a scene of {shorter:g} s; shorten it"
            notes.append(_warn(scene, text))
    return notes


def _rounding_notes(scene: Scene, found: ScenePlan, setting: PlanContext) -> list[Note]:
    if setting.card.makes == "picture":
        text = f"{setting.card.title} makes pictures: the scene is 1 frame, whatever its duration"
        return [about_scene(scene.id, "info", text)]
    if abs(scene.duration_s * setting.fps - found.num_frames) <= 1e-6:
        return []
    frames = "1 frame" if found.num_frames == 1 else f"{found.num_frames} frames"
    text = f"{scene.duration_s:g} s is rounded to {frames} ({found.seconds:g} s at {setting.fps} a second)"
    return [about_scene(scene.id, "info", text)]


def _sampler_notes(scene: Scene, setting: PlanContext) -> list[Note]:
    wish, own = scene.overrides.sampler, setting.card.sampler
    if wish is None or wish in own.allowed:
        return []
    return [_warn(scene, f"{setting.card.title} is not sampled with {wish}; {own.name} is used")]
