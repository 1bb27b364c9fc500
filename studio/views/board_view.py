"""Computes a ``BoardView`` from the state of a project, its plan and its live jobs. Pure.

Does not know the database, the engine or the page.
"""

from collections.abc import Mapping

from engine.contract.cards import ModelStatus
from engine.contract.frames import num_segments_for
from studio.planning.presets import Preset, prompt_tips
from studio.views.bars_view import engine_view, film_view, render_bar
from studio.views.durations import about, clock
from studio.views.project_state import LiveState, ProjectState
from studio.views.scene_view import scene_card
from studio.views.types import BoardView, GuardView, JointView, ModelView, NoteView, PresetView, RefinerView


def board_of(
    project_state: ProjectState, live_state: LiveState, presets: Mapping[str, Preset], models: Mapping[str, ModelStatus]
) -> BoardView:
    project, storyboard = project_state.project, project_state.project.storyboard
    plans = {plan.scene_id: plan for plan in project_state.plan.scenes} if project_state.plan else {}
    cards = tuple(
        scene_card(number, scene, plans.get(scene.id), project_state, live_state, models)
        for number, scene in enumerate(storyboard.scenes, start=1)
    )
    status = models.get(storyboard.model)
    return BoardView(
        version=live_state.version,
        project_id=project.id,
        title=storyboard.title,
        revision=project.revision,
        can_undo=project.can_undo,
        can_redo=project.can_redo,
        aspect=storyboard.aspect,
        aspects=tuple(status.card.sizes_px) if status else (storyboard.aspect,),
        size_px=storyboard.size_px,
        rendered_size_px=project_state.plan.size_px if project_state.plan else None,
        fps=storyboard.fps or (status.card.fps if status else 0),
        look=storyboard.look,
        negative_look=storyboard.negative_look,
        refiner=_refiner(status, live_state),
        speed=storyboard.speed.model_dump(exclude_none=True),
        prompt_tips=prompt_tips(status.card.family, bool(status.card.vocabulary)) if status else (),
        seed=storyboard.seed,
        model=storyboard.model,
        models=tuple(_model(one) for one in models.values()),
        preset=storyboard.preset,
        presets=tuple(_preset(preset, project_state) for preset in presets.values()),
        duration_text=clock(sum(card.duration_s for card in cards)),
        joint=_joint(project_state, status),
        notes=_notes(project_state, status),
        render=render_bar(project_state, live_state, cards),
        scenes=cards,
        film=film_view(project_state, live_state, cards),
        guard=_guard(project_state),
        engine=engine_view(live_state),
        problem=project_state.problem,
    )


def _refiner(status: ModelStatus | None, live_state: LiveState) -> RefinerView:
    if status is None:
        return RefinerView(name="", problem="the storyboard's model is not known", style="")
    choice = live_state.refiner_of(status)
    return RefinerView(name=choice.name, problem=choice.problem, style=status.card.traits.prompt_style)


def _guard(project_state: ProjectState) -> GuardView:
    guard = project_state.guard
    return GuardView(on=guard.on, can_switch=guard.can_switch, withholds=guard.withholds, text=guard.text)


def _joint(project_state: ProjectState, status: ModelStatus | None) -> JointView | None:
    if status is None or status.card.joint is None or project_state.plan is None:
        return None
    joint, plan = status.card.joint, project_state.plan
    segment_s = joint.segment_num_frames / plan.fps
    num_segments = sum(
        num_segments_for(scene.duration_s, segment_s) for scene in project_state.project.storyboard.scenes
    )
    return JointView(segment_s=segment_s, num_segments=num_segments)


def _notes(project_state: ProjectState, status: ModelStatus | None) -> tuple[NoteView, ...]:
    """Of the whole storyboard. What the model field says already is left out."""
    reason = status.reason if status else ""
    notes = [note for note in (project_state.plan.notes if project_state.plan else ()) if note.scene_id is None]
    return tuple(NoteView(level=note.level, text=note.text) for note in notes if not reason or reason not in note.text)


def _model(status: ModelStatus) -> ModelView:
    card = status.card
    return ModelView(
        name=card.name,
        title=card.title,
        family=card.traits.title,
        summary=card.summary,
        available=status.available,
        reason=status.reason,
        command=_command(status),
        aspects=tuple(card.sizes_px),
        sizes_px=card.sizes_px,
        grid_px=card.grid_px,
        vocabulary_hint=card.vocabulary_hint,
        negative_prompt=card.negative_prompt,
        num_steps=card.num_steps,
        guidance_scale=card.guidance_scale,
        capabilities=card.capabilities,
        makes=card.makes,
        first_frame=card.first_frame,
        joint=card.joint is not None,
        conditioning_num_frames=card.conditioning_num_frames,
        samplers=card.sampler.allowed,
    )


def _command(status: ModelStatus) -> str:
    parts = status.card.parts.all()
    published = bool(status.missing) and all(parts[name].repository for name in status.missing)
    return f"storyboard models get {status.card.name}" if published else ""


def _preset(preset: Preset, project_state: ProjectState) -> PresetView:
    return PresetView(
        name=preset.name,
        title=preset.title,
        summary=preset.summary,
        estimate_text=about(project_state.estimates_s.get(preset.name)),
    )
