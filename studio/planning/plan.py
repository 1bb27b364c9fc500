"""From storyboard to recipes: what would be rendered, why, and what it costs. Pure: one input always gives one plan.

Comes in: a storyboard, presets, models with their fingerprints, the project's takes and media, timings of this machine.
Goes out: a ``Plan`` whose jobs are complete and whose scenes are ``fresh``, ``stale``, ``missing`` or ``unplannable``,
and why. Does not know files, queues, devices or the clock.

Scenes are planned in groups, one for each job. A group gives its content (segments, seed, start), the content and the
context give the job, and the job is compared with the takes there are.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.contract.cards import ModelStatus
from engine.contract.jobs import Job, Take, make_job
from engine.contract.media import MediaInfo
from studio.document.refinement import outdated_refinements, storyboard_to_render
from studio.document.storyboard import Scene, Storyboard
from studio.errors import PlanError
from studio.planning.context import PlanContext, plan_context
from studio.planning.cost import Timings, cost_of
from studio.planning.groups import TOGETHER, JobContent, SceneGroup, scenes_by_job
from studio.planning.joint import joint_content, length_notes
from studio.planning.joint_cost import cost_text
from studio.planning.presets import Preset
from studio.planning.scene import scene_content
from studio.planning.scene_notes import scene_notes
from studio.planning.stale import state_of
from studio.planning.types import Note, Plan, ScenePlan, about_all, about_scene

OUTDATED = "the refined prompt was made from other words, so yours are used. Refine again, or accept it as it is"


@dataclass(frozen=True, slots=True)
class _PlannedGroup:
    """``job`` None: the scenes are unplannable."""

    scenes: tuple[ScenePlan, ...]
    job: Job | None
    notes: tuple[Note, ...]


def plan(
    storyboard: Storyboard,
    *,
    presets: Mapping[str, Preset],
    models: Mapping[str, ModelStatus],
    takes: Sequence[Take] = (),
    media: Mapping[str, MediaInfo] | None = None,
    timings: Timings | None = None,
    project_id: str = "project",
    preset: str | None = None,
    scene_ids: Collection[str] | None = None,
) -> Plan:
    """What would be rendered, and why.

    ``takes``: all of the project, oldest first. ``media``: by what scenes name as ``conditioning.media``. ``preset``:
    instead of the storyboard's. ``scene_ids``: jobs only for these and for what they continue from; the state of every
    scene is in the plan all the same. Raises PlanError for a preset, a model or a scene that is not there.
    """
    preset = preset or storyboard.preset
    context, notes = plan_context(storyboard, presets, models, takes, media or {}, project_id, preset)
    style = context.card.traits.prompt_style
    notes += [about_scene(scene.id, "warn", OUTDATED) for scene in outdated_refinements(storyboard, style)]
    context = replace(context, storyboard=storyboard_to_render(storyboard, style))
    groups: list[_PlannedGroup] = []
    for drafts in scenes_by_job(context):
        previous = groups[-1].scenes[-1] if groups else None
        groups.append(_plan_group(SceneGroup(drafts, previous), context))
    jobs = _jobs_to_render(groups, scene_ids)
    notes += [note for group in groups for note in group.notes]
    return Plan(
        project_id=project_id,
        jobs=jobs,
        scenes=tuple(scene for group in groups for scene in group.scenes),
        notes=(*notes, *_scope_notes(jobs, scene_ids, context)),
        cost=cost_of(jobs, timings),
        size_px=context.size_px if min(context.size_px) else None,
        fps=context.fps,
    )


def with_new_id(job: Job, attempt: int) -> Job:
    """The same recipe under another id: an engine answers an old id with the old, perhaps cancelled, job."""
    return make_job(**{**dict(job), "id": f"{job.id.split('.')[0]}.{attempt}"})


def _plan_group(group: SceneGroup, context: PlanContext) -> _PlannedGroup:
    notes = length_notes(group, context) if context.card.joint else []
    problems = {draft.scene.id: text for draft in group.drafts if (text := _problem(draft.scene, context))}
    if problems:
        return _unplannable(group, problems, notes, context)
    try:
        content = joint_content(group, context) if context.card.joint else scene_content(group, context)
    except PlanError as error:
        return _unplannable(group, {draft.scene.id: str(error) for draft in group.drafts}, notes, context)
    job = _job(group, content, context)
    notes += _cost_notes(job, context)
    scenes: list[ScenePlan] = []
    for draft, span in zip(group.drafts, job.spans, strict=True):
        previous = scenes[-1] if scenes else group.previous
        scenes.append(state_of(draft, span, job, group, context))
        segments = [segment for segment in job.segments if segment.scene_id == draft.scene.id]
        notes += scene_notes(draft.scene, scenes[-1], previous, segments, _max_tokens(job, context), context)
        notes += [note for note in content.notes if note.scene_id == draft.scene.id]
    return _PlannedGroup(tuple(scenes), job, tuple(notes))


def _problem(scene: Scene, context: PlanContext) -> str:
    """Why there is nothing to render, or nothing to render it with; "" where there is."""
    if context.refusal:
        return context.refusal
    if scene.prompt.strip():
        return ""
    from_picture = ", or let a refiner write it from the picture" if scene.conditioning else ""
    return f"has no prompt. Write what is to be seen{from_picture}"


def _unplannable(
    group: SceneGroup, problems: Mapping[str, str], notes: Sequence[Note], context: PlanContext
) -> _PlannedGroup:
    """``problems``: by scene, at least one; the other scenes of the group wait for these."""
    first = next(draft.plan.number for draft in group.drafts if draft.scene.id in problems)
    waiting = f"scene {first} cannot be rendered, and {TOGETHER}. Mend that one first"
    reasons = [problems.get(draft.scene.id, waiting) for draft in group.drafts]
    shown = [context.takes.shown(draft.scene, None) for draft in group.drafts]
    scenes = [
        draft.plan.model_copy(update={"reason": reason, "take_id": take.id if take else None})
        for draft, reason, take in zip(group.drafts, reasons, shown, strict=True)
    ]
    errors = [about_scene(scene.scene_id, "error", scene.reason) for scene in scenes]
    return _PlannedGroup(tuple(scenes), None, (*notes, *errors))


def _job(group: SceneGroup, content: JobContent, context: PlanContext) -> Job:
    card, preset, overrides = context.card, context.preset, content.overrides
    guidance_scale = preset.guidance_for(card) if overrides.guidance_scale is None else overrides.guidance_scale
    return _with_id(
        make_job(
            id="draft",
            project_id=context.project_id,
            scene_ids=tuple(draft.scene.id for draft in group.drafts),
            model=card.name,
            weights=context.status.fingerprint,
            segments=content.segments,
            size_px=context.size_px,
            fps=context.fps,
            num_frames=sum(draft.plan.num_frames for draft in group.drafts),
            seed=content.seed,
            sampler=preset.sampler_for(card, overrides.sampler, overrides.num_steps),
            guidance_scale=guidance_scale,
            guidance_schedule=card.guidance_schedule,
            conditioning=content.conditioning,
            reimagine=content.reimagine,
            joint=card.joint is not None,
            speed=preset.speed_for(card),
        )
    )


def _with_id(job: Job) -> Job:
    """The id is a hash of the job, so that two jobs that differ never have the same id."""
    scene_ids = job.scene_ids[0] if len(job.scene_ids) == 1 else list(job.scene_ids)
    hashed = json.dumps([job.recipe, job.project_id, scene_ids, job.speed.model_dump()])
    return job.model_copy(update={"id": hashlib.sha256(hashed.encode()).hexdigest()[:16]})


def _max_tokens(job: Job, context: PlanContext) -> int:
    """Of a prompt; a joint model reads fewer for each segment of a longer film."""
    card = context.card
    return card.traits.text_length(len(job.segments), context.size_px) if job.joint else card.text.max_tokens


def _cost_notes(job: Job, context: PlanContext) -> list[Note]:
    """What a step of a joint model needs, since it grows with the whole storyboard."""
    if not job.joint:
        return []
    num_branches = 2 if job.speed.guidance == "batched" and job.guidance_scale != 1 else 1
    cost = context.card.traits.joint_cost(context.size_px, len(job.segments), num_branches)
    return [about_all("info", cost_text(cost))] if cost is not None else []


def _scope_notes(jobs: Sequence[Job], scene_ids: Collection[str] | None, context: PlanContext) -> list[Note]:
    """Where more scenes are rendered than were asked for."""
    if scene_ids is None or not any(job.joint and set(job.scene_ids) - set(scene_ids) for job in jobs):
        return []
    return [about_all("info", f"{context.card.title} denoises all scenes together, so all are rendered")]


def _jobs_to_render(groups: Sequence[_PlannedGroup], scene_ids: Collection[str] | None) -> tuple[Job, ...]:
    """Jobs of the requested scenes that are not fresh, after those that they continue from; one job for one recipe."""
    scenes = [scene for group in groups for scene in group.scenes]
    requested = {scene.scene_id for scene in scenes} if scene_ids is None else set(scene_ids)
    if unknown := requested - {scene.scene_id for scene in scenes}:
        raise PlanError(min(unknown), f'no scene has the id "{min(unknown)}"; it may have been deleted')
    due = set[str]()
    for scene in reversed(scenes):
        if scene.scene_id in requested and scene.state != "fresh":
            due.add(scene.scene_id)
            requested |= {scene.continues} if scene.continues else set()
    jobs: dict[str, Job] = {}
    for group in groups:
        if group.job and any(scene.scene_id in due for scene in group.scenes):
            jobs.setdefault(group.job.recipe, group.job)
    return tuple(jobs.values())
