"""Paints the board: facts of a project, its plan and its live jobs in, one ``Board`` out. Pure.

Does not know the database, the engine or the page; all words that the page shows about states are written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.contract.cards import ModelStatus
from engine.contract.media import MediaInfo
from engine.contract.status import EngineStatus
from studio.board import (
    Board,
    ConditioningView,
    EngineView,
    FilmView,
    ModelView,
    PresetView,
    ProgressView,
    RenderBar,
    SceneCard,
    SceneState,
    TakeView,
)
from studio.library import Project
from studio.live import LiveJob
from studio.plan import Plan, ScenePlan
from studio.presets import Preset
from studio.shelf import Film, KnownJob, ShelvedTake
from studio.storyboard import Scene

STAGES = {
    "load": "loading the model",
    "encode": "reading the prompt",
    "denoise": "denoising",
    "decode": "decoding frames",
    "write": "writing the take",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a project, as long as nothing but progress changes. ``takes``: in the order they arrived."""

    project: Project
    takes: tuple[ShelvedTake, ...]
    jobs: tuple[KnownJob, ...]
    media: Mapping[str, MediaInfo]
    media_names: Mapping[str, str]
    film: Film | None
    plan: Plan | None
    problem: str
    """Why there is no plan."""
    estimates_s: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """Seconds to render what is not fresh, by preset; None: not measured."""
    cut: str | None = None
    """Hash of what the film would be made of now; None: scenes lack takes."""

    def odd_choices(self) -> list[str]:
        """Ids of scenes whose chosen take is not what is written, though a take of that is there."""
        if self.plan is None:
            return []
        recipes = {shelved.take.id: shelved.take.recipe for shelved in self.takes}
        chosen = {scene.id: scene.chosen_take for scene in self.project.storyboard.scenes if scene.chosen_take}
        fresh = [scene for scene in self.plan.scenes if scene.state == "fresh" and scene.scene_id in chosen]
        return [scene.scene_id for scene in fresh if recipes.get(chosen[scene.scene_id], "") != scene.recipe]


@dataclass(frozen=True, slots=True)
class Moment:
    """What changes while rendering. ``engine_known``: whether an engine is attached; ``absence``: why none is."""

    version: int
    live: Mapping[str, Sequence[LiveJob]]
    engine: EngineStatus | None
    engine_known: bool
    absence: str
    trouble: str
    assembling: bool
    film_error: str


def board_of(facts: Facts, moment: Moment, presets: Mapping[str, Preset], models: Mapping[str, ModelStatus]) -> Board:
    project, words = facts.project, facts.project.storyboard
    plans = {plan.scene_id: plan for plan in facts.plan.scenes} if facts.plan else {}
    cards = tuple(
        _card(number, scene, plans.get(scene.id), facts, moment.live.get(scene.id, ()))
        for number, scene in enumerate(words.scenes, start=1)
    )
    status = models.get(words.model)
    return Board(
        version=moment.version,
        project_id=project.id,
        title=words.title,
        revision=project.revision,
        can_undo=project.can_undo,
        can_redo=project.can_redo,
        aspect=words.aspect,
        aspects=tuple(status.card.sizes_px) if status else (words.aspect,),
        fps=words.fps or (status.card.fps if status else 0),
        look=words.look,
        negative_look=words.negative_look,
        seed=words.seed,
        model=words.model,
        models=tuple(_model(one) for one in models.values()),
        preset=words.preset,
        presets=tuple(_preset(preset, facts) for preset in presets.values()),
        duration_text=clock(sum(card.duration_s for card in cards)),
        render=_render_bar(facts, moment, cards),
        scenes=cards,
        film=_film(facts, moment, cards),
        engine=_engine(moment),
        problem=facts.problem,
    )


def clock(seconds: float) -> str:
    """``2.5 s``, ``1 min 05 s``, ``1 h 02 min``."""
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def about(seconds: float | None) -> str:
    """An estimate in words."""
    if seconds is None:
        return "not measured yet"
    return "less than a second" if seconds < 1 else f"about {clock(round(seconds))}"


def shown_take_id(scene: Scene, plan: ScenePlan | None, takes: Sequence[ShelvedTake]) -> str | None:
    """The take that the film shows: the author's choice, else what the plan finds, else the newest."""
    own = [shelved.take.id for shelved in takes if shelved.take.scene_id == scene.id]
    if scene.chosen_take in own:
        return scene.chosen_take
    if plan is not None:
        return plan.take_id
    return own[-1] if own else None


def _card(number: int, scene: Scene, plan: ScenePlan | None, facts: Facts, live: Sequence[LiveJob]) -> SceneCard:
    takes = _takes(scene, plan, facts)
    job = _job_shown(plan, live)
    state, reason = _state(scene, plan, facts, job, takes)
    notes = facts.plan.notes if facts.plan else ()
    return SceneCard(
        number=number,
        id=scene.id,
        prompt=scene.prompt,
        negative_prompt=scene.negative_prompt,
        duration_s=scene.duration_s,
        duration_text=clock(plan.seconds if plan else scene.duration_s),
        transition=scene.transition,
        crossfade_s=scene.crossfade_s,
        continues=plan is not None and plan.continues is not None,
        conditioning=_conditioning(scene, facts),
        seed=scene.seed,
        effective_seed=plan.seed if plan else scene.seed,
        overrides=scene.overrides.model_dump(exclude_none=True),
        notes=scene.notes,
        plan_notes=tuple(note.text for note in notes if note.scene_id == scene.id and note.text != reason),
        state=state,
        reason=reason,
        job_id=job.job.id if job else None,
        progress=_progress(job) if job and job.state == "running" else None,
        preview=f"{job.job.id}/{job.preview}" if job and job.preview else None,
        take=next((take for take in takes if take.chosen), None),
        takes=takes,
    )


def _takes(scene: Scene, plan: ScenePlan | None, facts: Facts) -> tuple[TakeView, ...]:
    shown = shown_take_id(scene, plan, facts.takes)
    own = {shelved.take.id: shelved for shelved in facts.takes if shelved.take.scene_id == scene.id}
    if shown is not None and shown not in own:  # another scene's take of the very same recipe
        own.update({shelved.take.id: shelved for shelved in facts.takes if shelved.take.id == shown})
    recipe = plan.recipe if plan else None
    return tuple(_take(shelved, shown, recipe) for shelved in reversed(own.values()))


def _take(shelved: ShelvedTake, shown: str | None, recipe: str | None) -> TakeView:
    take = shelved.take
    return TakeView(
        id=take.id,
        recipe=take.recipe,
        media=take.media,
        poster=shelved.poster,
        seed=take.seed,
        duration_s=take.num_frames / take.fps,
        render_s=take.render_s,
        made_s=shelved.made_s,
        chosen=take.id == shown,
        matches=take.recipe == recipe,
    )


def _job_shown(plan: ScenePlan | None, live: Sequence[LiveJob]) -> LiveJob | None:
    """The job that a card tells of: the one for what is written now, else a running one, else the newest."""
    if plan is not None and plan.state == "fresh":  # its take was found before the engine's word of it came
        live = [job for job in live if job.job.recipe != plan.recipe]
    ranked = sorted(live, key=lambda job: (plan is not None and job.job.recipe == plan.recipe, job.state == "running"))
    return ranked[-1] if ranked else None


def _state(
    scene: Scene, plan: ScenePlan | None, facts: Facts, job: LiveJob | None, takes: Sequence[TakeView]
) -> tuple[SceneState, str]:
    if job is not None:
        return ("rendering" if job.state == "running" else "queued"), _job_reason(job, plan)
    if plan is None:
        return "unplannable", facts.problem
    chosen = next((take for take in takes if take.chosen), None)
    if plan.state == "fresh" and chosen is not None and not chosen.matches:
        return "stale", "the chosen take was made from other words; render to return to what is written"
    if plan.state in ("stale", "missing") and (failed := _failure(plan, facts.jobs)):
        return "failed", failed
    return plan.state, plan.reason


def _job_reason(job: LiveJob, plan: ScenePlan | None) -> str:
    changed = plan is not None and job.job.recipe != plan.recipe
    parts = ["changed since: this take shows the words before"] if changed else []
    return "; ".join([*parts, *([f"tried again: {job.trouble}"] if job.trouble else [])])


def _failure(plan: ScenePlan, jobs: Sequence[KnownJob]) -> str:
    """Why the newest job for what is written now brought no take; "" if none failed."""
    newest = next((known for known in reversed(jobs) if known.job.recipe == plan.recipe), None)
    return newest.reason if newest and newest.state in ("failed", "rejected") else ""


def _progress(job: LiveJob) -> ProgressView:
    stage = STAGES.get(job.stage, job.stage)
    parts = [stage, f"step {job.step} of {job.num_steps}" if job.num_steps else ""]
    if job.left_s is not None:
        parts.append(f"{clock(round(job.left_s))} left")
    return ProgressView(
        stage=job.stage,
        step=job.step,
        num_steps=job.num_steps,
        left_s=job.left_s,
        text=", ".join(part for part in parts if part),
    )


def _conditioning(scene: Scene, facts: Facts) -> ConditioningView | None:
    wish = scene.conditioning
    if wish is None:
        return None
    info = facts.media.get(wish.media)
    name = facts.media_names.get(wish.media, wish.media)
    size = f", {info.size_px[0]} x {info.size_px[1]}" if info else ", not there"
    return ConditioningView(
        media=wish.media,
        kind=info.kind if info else "",
        num_frames=wish.num_frames,
        strength=wish.strength,
        text=f"{name}{size}",
    )


def _model(status: ModelStatus) -> ModelView:
    card = status.card
    return ModelView(
        name=card.name,
        title=card.title,
        summary=card.summary,
        available=status.available,
        reason=status.reason,
        aspects=tuple(card.sizes_px),
        vocabulary_hint=card.vocabulary_hint,
        capabilities=card.capabilities,
    )


def _preset(preset: Preset, facts: Facts) -> PresetView:
    return PresetView(
        name=preset.name,
        title=preset.title,
        summary=preset.summary,
        estimate_text=about(facts.estimates_s.get(preset.name)),
    )


def _render_bar(facts: Facts, moment: Moment, cards: Sequence[SceneCard]) -> RenderBar:
    jobs = facts.plan.jobs if facts.plan else ()
    waiting = [card for card in cards if card.state in ("queued", "rendering")]
    wanted = {scene_id for job in jobs for scene_id in job.scene_ids}
    due = [card for card in cards if card.id in wanted or (card.state == "stale" and not _matches(card))]
    problem = _problem(facts, moment, cards)
    seconds = facts.plan.cost.seconds if facts.plan and jobs else None
    return RenderBar(
        num_scenes=len(due),
        text=_what(due, cards),
        why=tuple(f"scene {card.number}: {card.reason or card.state}" for card in due if card not in waiting),
        estimate_s=seconds,
        estimate_text=about(seconds) if jobs else "",
        can_render=not problem and bool(cards),
        busy=bool(waiting),
        paused=moment.engine is not None and moment.engine.paused,
        problem=problem,
    )


def _matches(card: SceneCard) -> bool:
    return card.take is not None and card.take.matches


def _what(due: Sequence[SceneCard], cards: Sequence[SceneCard]) -> str:
    waiting = [card for card in cards if card.state in ("queued", "rendering")]
    stuck = [card for card in cards if card.state == "unplannable"]
    cannot = f"{_scenes(stuck)} cannot be rendered" if stuck else ""
    if not cards:
        return "add a scene to begin"
    if waiting:
        return f"{len(waiting)} of {len(cards)} scenes in the queue"
    if not due:
        return cannot or "nothing to render: every scene is fresh"
    if len(due) == len(cards):
        return "renders all scenes" if len(cards) > 1 else "renders the scene"
    num_fresh = len(cards) - len(due) - len(stuck)
    fresh = f"{num_fresh} {'is' if num_fresh == 1 else 'are'} fresh" if num_fresh else ""
    return "; ".join(part for part in (f"renders {_scenes(due)}", fresh, cannot) if part)


def _scenes(cards: Sequence[SceneCard]) -> str:
    return f"scene{'s' if len(cards) > 1 else ''} " + ", ".join(str(card.number) for card in cards)


def _problem(facts: Facts, moment: Moment, cards: Sequence[SceneCard]) -> str:
    if facts.problem:
        return facts.problem
    if not moment.engine_known:
        return moment.absence
    if moment.engine is None:
        return "the engine does not answer; waiting jobs go on when it is back"
    if moment.trouble:
        return moment.trouble
    general = [note.text for note in (facts.plan.notes if facts.plan else ()) if note.level == "error"]
    if cards and all(card.state == "unplannable" for card in cards):
        return general[0] if general else cards[0].reason
    return ""


def _film(facts: Facts, moment: Moment, cards: Sequence[SceneCard]) -> FilmView:
    film = facts.film
    missing = tuple(card.number for card in cards if card.take is None)
    stale = tuple(card.number for card in cards if card.take is not None and not card.take.matches)
    up_to_date = film is not None and film.cut == facts.cut and not stale
    return FilmView(
        media=film.media if film else None,
        poster=film.poster if film else None,
        duration_s=film.duration_s if film else 0.0,
        up_to_date=up_to_date,
        assembling=moment.assembling,
        missing=missing,
        stale=stale,
        text=_film_text(film, up_to_date, moment.assembling, missing, stale),
        error=moment.film_error,
    )


def _film_text(
    film: Film | None, up_to_date: bool, assembling: bool, missing: tuple[int, ...], stale: tuple[int, ...]
) -> str:
    if assembling:
        return "putting the film together"
    if missing:
        which = ", ".join(map(str, missing))
        return f"{'scene' if len(missing) == 1 else 'scenes'} {which} not rendered yet"
    if film is None:
        return "no film yet"
    if stale:
        which = ", ".join(map(str, stale))
        return f"shows an earlier version of {'scene' if len(stale) == 1 else 'scenes'} {which}"
    return f"{clock(film.duration_s)}, up to date" if up_to_date else "not put together again since the last change"


def _engine(moment: Moment) -> EngineView:
    status = moment.engine
    if status is None:
        state = "unreachable" if moment.engine_known else "absent"
        text = "the engine does not answer" if moment.engine_known else moment.absence
        return EngineView(state=state, device="", num_ranks=0, text=text)
    group = status.group if status.group in ("down", "starting", "ready", "busy") else "down"
    words = {"down": "the group is down", "starting": "loading the model", "ready": "ready", "busy": "rendering"}
    ranks = f"{status.num_ranks} rank" + ("s" if status.num_ranks != 1 else "")
    where = f", {status.device}, {ranks}" if status.device else ""
    text = "paused" if status.paused else words[group]
    return EngineView(state=group, device=status.device, num_ranks=status.num_ranks, text=text + where)
