"""Computes one scene's card: its texts, its takes, its state and the reason. Pure.

Comes in: a scene, how it is planned, the state of its project, its live jobs. Goes out: a ``SceneCard``. Does not know
the database, the engine or the page; texts about a scene's state are written here, except
the plan's reasons and notes, which are shown as they are.
"""

from collections.abc import Mapping, Sequence

from engine.contract.cards import ModelStatus
from studio.document.refinement import asked_with, refinement_state
from studio.document.storyboard import Scene
from studio.library.critiques import StoredCritique
from studio.library.takes import KnownJob, StoredTake
from studio.planning.types import ScenePlan
from studio.rendering.progress import LiveJob, job_makes
from studio.rendering.refining import Refining
from studio.views.durations import clock
from studio.views.project_state import LiveState, ProjectState
from studio.views.types import (
    ConditioningView,
    CritiqueView,
    FirstFrameView,
    ProgressView,
    RefinementView,
    SceneCard,
    SceneState,
    TakeGuardView,
    TakeView,
)

STAGES = {
    "load": "loading the model",
    "encode": "reading the prompt",
    "denoise": "denoising",
    "decode": "decoding frames",
    "write": "writing the take",
}

JOB_STATES: Mapping[str, SceneState] = {"running": "rendering", "checking": "checking"}


def scene_card(
    number: int,
    scene: Scene,
    plan: ScenePlan | None,
    project_state: ProjectState,
    live_state: LiveState,
    models: Mapping[str, ModelStatus],
) -> SceneCard:
    refining = live_state.refining.get(scene.id)
    live, round_text = live_state.live.get(scene.id, ()), live_state.rounds.get(scene.id, "")
    takes = _takes(scene, plan, project_state)
    job = _job_shown(plan, live)
    take = next((take for take in takes if take.chosen), None)
    status = models.get(project_state.project.storyboard.model)
    state, reason = _state(scene, plan, project_state, job, takes)
    if job is not None:
        reason = _job_reason(job, plan, round_text)
    if state == "unplannable" and status is not None and not status.available:
        state, reason = "without_model", f"{status.card.title} is not here"
    return SceneCard(
        number=number,
        id=scene.id,
        prompt=scene.prompt,
        chunk_prompts=scene.chunk_prompts,
        num_chunks=plan.num_chunks if plan else 0,
        chunk_starts_s=plan.chunk_starts_s if plan else (),
        negative_prompt=scene.negative_prompt,
        duration_s=scene.duration_s,
        duration_text=clock(plan.seconds if plan else scene.duration_s),
        planned_s=plan.seconds if plan else scene.duration_s,
        transition=scene.transition,
        crossfade_s=scene.crossfade_s,
        continues=plan is not None and plan.continues is not None,
        conditioning=_conditioning(scene, project_state),
        first_frame=_first_frame(scene, plan, take, status, models),
        seed=scene.seed,
        effective_seed=plan.seed if plan else scene.seed,
        overrides=scene.overrides.model_dump(exclude_none=True),
        refinement=_refinement(scene, status, refining),
        notes=scene.notes,
        plan_notes=_notes(scene, plan, project_state),
        state=state,
        reason=reason,
        job_id=job.job.id if job else None,
        progress=_progress(job) if job and job.state == "running" else None,
        preview=f"{job.job.id}/{job.preview}" if job and job.preview else None,
        take=take,
        takes=takes,
        round_text=round_text,
    )


def _refinement(scene: Scene, status: ModelStatus | None, refining: Refining | None) -> RefinementView:
    """A failure is shown as long as the scene says what the refiner was asked about."""
    style = status.card.traits.prompt_style if status else ""
    refinement = scene.refinement
    is_about_this = refining is not None and refining.asked_with == asked_with(scene, style)
    return RefinementView(
        state=refinement_state(scene, style),
        text=refinement.text if refinement else "",
        chunk_texts=refinement.chunk_texts if refinement else (),
        source=refinement.source if refinement else "",
        notes=refinement.notes if refinement else (),
        busy=refining is not None and not refining.failure,
        failure=refining.failure if refining and is_about_this else "",
    )


def _notes(scene: Scene, plan: ScenePlan | None, project_state: ProjectState) -> tuple[str, ...]:
    """The plan's notes on the scene, without the one that repeats its reason."""
    reason = plan.reason if plan else ""
    notes = project_state.plan.notes if project_state.plan else ()
    return tuple(note.text for note in notes if note.scene_id == scene.id and note.text != reason)


def _takes(scene: Scene, plan: ScenePlan | None, project_state: ProjectState) -> tuple[TakeView, ...]:
    shown = project_state.shown_take_id(scene)
    own = {stored.take.id: stored for stored in project_state.takes if stored.take.scene_id == scene.id}
    if shown is not None and shown not in own:  # another scene's take of the very same recipe
        own.update({stored.take.id: stored for stored in project_state.takes if stored.take.id == shown})
    recipe = plan.recipe if plan else None
    newest_first = tuple(reversed(own.values()))
    critiques = {one.take.id: project_state.critiques.get(one.take.id) for one in newest_first}
    scored = [(-one.critique.grade, take_id != shown, take_id) for take_id, one in critiques.items() if one]
    best_first = sorted(scored, key=lambda each: each[:2])
    ranks = {take_id: rank for rank, (_, _, take_id) in enumerate(best_first, start=1)}
    views = (_take(one, shown, recipe, critiques[one.take.id], ranks.get(one.take.id)) for one in newest_first)
    return tuple(_guarded(view, project_state) for view in views)


def _guarded(view: TakeView, project_state: ProjectState) -> TakeView:
    guard = project_state.guard_of(view.id)
    return view.model_copy(update={"guard": TakeGuardView(state=guard.state, text=guard.text)})


def _take(
    stored: StoredTake, shown: str | None, recipe: str | None, critique: StoredCritique | None, rank: int | None
) -> TakeView:
    take = stored.take
    return TakeView(
        id=take.id,
        recipe=take.recipe,
        media=take.media,
        poster=stored.poster,
        picture=take.picture,
        seed=take.seed,
        duration_s=take.num_frames / take.fps,
        render_s=take.render_s,
        made_s=stored.made_s,
        critique=_critique(critique),
        rank=rank,
        chosen=take.id == shown,
        matches=take.recipe == recipe,
        guard=TakeGuardView(state="", text=""),
    )


def _critique(stored: StoredCritique | None) -> CritiqueView | None:
    if stored is None:
        return None
    critique = stored.critique
    text = f"{round(100 * critique.score)}%"
    return CritiqueView(score=critique.score, text=text, source=critique.source, reasons=critique.reasons)


def _job_shown(plan: ScenePlan | None, live: Sequence[LiveJob]) -> LiveJob | None:
    """The job that a card shows: the one for what is written now, else a running one, else the newest."""
    if plan is not None and plan.state == "fresh":  # its take was found before the engine's word of it came
        live = [job for job in live if not job_makes(job.job, plan.recipe)]
    ranked = sorted(live, key=lambda job: (job_makes(job.job, plan and plan.recipe), job.state == "running"))
    return ranked[-1] if ranked else None


def _state(
    scene: Scene, plan: ScenePlan | None, project_state: ProjectState, job: LiveJob | None, takes: Sequence[TakeView]
) -> tuple[SceneState, str]:
    if job is not None:
        return JOB_STATES.get(job.state, "queued"), ""
    if plan is None:
        return "unplannable", project_state.problem
    chosen = next((take for take in takes if take.chosen), None)
    if plan.state == "fresh" and chosen is not None and not chosen.matches:
        return "stale", "the chosen take was made from other words; render to return to what is written"
    if plan.state in ("stale", "missing") and (failed := _failure(plan, project_state.jobs)):
        return "failed", failed
    return plan.state, plan.reason


def _job_reason(job: LiveJob, plan: ScenePlan | None, round_text: str) -> str:
    """``round_text``: of several takes that are made together, whose seeds are not the scene's own."""
    changed = plan is not None and not job_makes(job.job, plan.recipe) and not round_text
    parts = ["changed since: this take shows the words before" if changed else round_text]
    parts.append(f"tried again: {job.last_error}" if job.last_error else "")
    return "; ".join(part for part in parts if part)


def _failure(plan: ScenePlan, jobs: Sequence[KnownJob]) -> str:
    """Why the newest job for what is written now brought no take; "" if none failed."""
    newest = next((known for known in reversed(jobs) if job_makes(known.job, plan.recipe)), None)
    return newest.reason if newest and newest.state in ("failed", "rejected") else ""


def _progress(job: LiveJob) -> ProgressView:
    stage = STAGES.get(job.stage, job.stage)
    stage = f"first frame: {stage}" if job.phase == "first_frame" else stage
    parts = [stage, f"step {job.step} of {job.num_steps}" if job.num_steps else ""]
    if job.left_s is not None:
        parts.append(f"{clock(round(job.left_s))} left")
    return ProgressView(
        stage=job.stage,
        step=job.step,
        num_steps=job.num_steps,
        left_s=job.left_s,
        memory_bytes=job.memory_bytes,
        text=", ".join(part for part in parts if part),
        stage_text=stage,
        is_first_frame=job.phase == "first_frame",
    )


def _conditioning(scene: Scene, project_state: ProjectState) -> ConditioningView | None:
    conditioning = scene.conditioning
    if conditioning is None:
        return None
    info = project_state.media.get(conditioning.media)
    name = project_state.media_names.get(conditioning.media, conditioning.media)
    size = f", {info.size_px[0]} x {info.size_px[1]}" if info else ", not there"
    return ConditioningView(
        media=conditioning.media,
        kind=info.kind if info else "",
        num_frames=conditioning.num_frames,
        num_frames_of_clip=info.num_frames if info else 0,
        strength=conditioning.strength,
        first_frame_strength=conditioning.first_frame_strength,
        text=f"{name}{size}",
    )


def _first_frame(
    scene: Scene,
    plan: ScenePlan | None,
    take: TakeView | None,
    status: ModelStatus | None,
    models: Mapping[str, ModelStatus],
) -> FirstFrameView:
    name = status.card.first_frame if status else None
    maker = models[name].card.title if name is not None and name in models else name or ""
    can_make = plan is not None and plan.makes_first_frame
    return FirstFrameView(
        prompt=scene.first_frame.prompt,
        seed=scene.first_frame.seed,
        media=take.picture if take else None,
        can_make=can_make,
        text=f"made by {maker}" if can_make else _why_none(scene, plan) if maker else "",
    )


def _why_none(scene: Scene, plan: ScenePlan | None) -> str:
    if plan is None or plan.state == "unplannable":
        return ""
    if plan.continues is not None:
        return "goes on from the scene before it"
    return "starts from the scene's own picture or clip" if scene.conditioning else ""
