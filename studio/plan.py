"""From wish to recipe: what would be rendered for a storyboard, why, and what it costs. Pure.

Comes in: a storyboard, presets, models with their fingerprints, the takes there are, what media there is, timings of
this machine. Goes out: a ``Plan`` whose jobs are complete and whose scenes say ``fresh``, ``stale``, ``missing`` or
``unplannable``, and why. Does not know files, queues, devices or the clock. One input always gives one plan.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.frames import chunks_for, num_frames_for
from engine.contract.jobs import Job, SamplerSettings, Segment, Take, make_job
from engine.contract.media import MediaInfo
from engine.contract.values import Identifier, Sha256, SizePx, Value
from studio.changes import Names, reasons
from studio.conditioning import Before, Start, start_of
from studio.cost import Cost, Timings, cost_of
from studio.errors import PlanError
from studio.presets import Preset
from studio.problems import suggestion
from studio.storyboard import Scene, Storyboard
from studio.vocabulary import estimated_tokens, said, unknown_words

State = Literal["fresh", "stale", "missing", "unplannable"]
Level = Literal["info", "warn", "error"]


class Note(Value):
    """What was rounded, or what the model cannot do. ``scene_id`` None: about the whole storyboard."""

    scene_id: Identifier | None
    level: Level
    text: str


class ScenePlan(Value):
    """How one scene stands. ``number`` counts from 1. ``reason`` says in words why; "" where it is fresh."""

    scene_id: Identifier
    number: int
    state: State
    reason: str
    recipe: Sha256 | None
    """Of what would be rendered now; None: unplannable."""
    take_id: Identifier | None
    """What the film shows: the take that is what is written now, else the chosen one, else the newest, else none."""
    num_frames: int
    seconds: float
    """As rounded to whole frames."""
    num_chunks: int
    seed: int
    continues: Identifier | None
    """The scene whose last frames it goes on from."""


class Plan(Value):
    """Jobs in the order of the story: one that continues another comes after it."""

    project_id: Identifier
    jobs: tuple[Job, ...]
    scenes: tuple[ScenePlan, ...]
    notes: tuple[Note, ...]
    cost: Cost

    def scene(self, scene_id: str) -> ScenePlan:
        return next(scene for scene in self.scenes if scene.scene_id == scene_id)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What all scenes of one plan share."""

    board: Storyboard
    preset: Preset
    presets: Mapping[str, Preset]
    status: ModelStatus
    takes: Sequence[Take]
    by_recipe: Mapping[str, Sequence[Take]]
    by_scene: Mapping[str, Sequence[Take]]
    media: Mapping[str, MediaInfo]
    project_id: str
    size_px: SizePx

    @property
    def card(self) -> ModelCard:
        return self.status.card


@dataclass(frozen=True, slots=True)
class _Planned:
    """One scene's answer while the plan is made; ``job`` None: unplannable."""

    plan: ScenePlan
    job: Job | None
    notes: tuple[Note, ...]


def plan(
    board: Storyboard,
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
    instead of the storyboard's. ``scene_ids``: jobs only for these and for what they continue from; all scenes are
    judged all the same. Raises PlanError for a preset or a model that is not there.
    """
    setting, notes = _setting(board, presets, models, takes, media or {}, project_id, preset or board.preset)
    planned: list[_Planned] = []
    for number, scene in enumerate(board.scenes, start=1):
        planned.append(_plan_scene(scene, number, planned[-1] if planned else None, setting))
        notes += planned[-1].notes
    jobs = _jobs_to_render(planned, scene_ids)
    return Plan(
        project_id=project_id,
        jobs=jobs,
        scenes=tuple(answer.plan for answer in planned),
        notes=tuple(notes),
        cost=cost_of(jobs, timings),
    )


def with_new_id(job: Job, attempt: int) -> Job:
    """The same recipe under another id: an engine answers an old id with the old, perhaps cancelled, job."""
    return make_job(**{**dict(job), "id": f"{job.id.split('.')[0]}.{attempt}"})


def derived_seed(storyboard_seed: int, scene_id: str) -> int:
    """The seed of a scene that has none of its own: of the storyboard's and the scene's id, wherever it stands."""
    digest = hashlib.sha256(f"{storyboard_seed}/{scene_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _setting(
    board: Storyboard,
    presets: Mapping[str, Preset],
    models: Mapping[str, ModelStatus],
    takes: Sequence[Take],
    media: Mapping[str, MediaInfo],
    project_id: str,
    preset: str,
) -> tuple[_Setting, list[Note]]:
    if preset not in presets:
        raise PlanError("", f'there is no preset "{preset}"{suggestion(preset, presets)}')
    if board.model not in models:
        raise PlanError("", f'there is no model "{board.model}"{suggestion(board.model, models)}')
    status = models[board.model]
    size_px, notes = _size_for(board, status.card)
    notes += _board_notes(board, status)
    by_recipe: dict[str, list[Take]] = {}
    by_scene: dict[str, list[Take]] = {}
    for take in takes:
        by_recipe.setdefault(take.recipe, []).append(take)
        by_scene.setdefault(take.scene_id, []).append(take)
    setting = _Setting(board, presets[preset], presets, status, takes, by_recipe, by_scene, media, project_id, size_px)
    return setting, notes


def _ratio(aspect: str) -> float:
    width, height = aspect.split(":")
    return int(width) / int(height)


def _size_for(board: Storyboard, card: ModelCard) -> tuple[SizePx, list[Note]]:
    """The model's size for the storyboard's aspect; the nearest one with a note where it has none."""
    if board.aspect in card.sizes_px:
        return card.sizes_px[board.aspect], []
    wanted = _ratio(board.aspect)
    nearest = min(card.sizes_px, key=lambda aspect: abs(_ratio(aspect) / wanted - 1))
    text = f"{card.title} makes {', '.join(card.sizes_px)}; {board.aspect} was asked for, {nearest} is rendered"
    return card.sizes_px[nearest], [Note(scene_id=None, level="warn", text=text)]


def _board_notes(board: Storyboard, status: ModelStatus) -> list[Note]:
    card, notes = status.card, list[Note]()
    if not status.available or not status.fingerprint:
        reason = status.reason or "its weights are not here"
        notes.append(Note(scene_id=None, level="error", text=f"{card.title} cannot be used: {reason}"))
    if board.fps is not None and board.fps != card.fps:
        text = f"{card.title} makes {card.fps} frames a second; the film is brought to {board.fps}"
        notes.append(Note(scene_id=None, level="info", text=text))
    if unknown := unknown_words(board.look, card):
        notes.append(Note(scene_id=None, level="warn", text=f"look: {_never_shown(unknown, card)}"))
    if board.negative_look and "negative_prompt" not in card.capabilities:
        notes.append(Note(scene_id=None, level="warn", text=f"{card.title} reads no negative look; it is left out"))
    return notes


def _never_shown(words: tuple[str, ...], card: ModelCard) -> str:
    return f"{card.title} was never shown {said(words)}. {card.vocabulary_hint}".strip()


def _plan_scene(scene: Scene, number: int, before: _Planned | None, setting: _Setting) -> _Planned:
    card = setting.card
    num_frames = num_frames_for(scene.duration_s, card.fps)
    seed = derived_seed(setting.board.seed, scene.id) if scene.seed is None else scene.seed
    continues = before.plan if before and scene.transition == "continue" else None
    blank = ScenePlan(
        scene_id=scene.id,
        number=number,
        state="unplannable",
        reason="",
        recipe=None,
        take_id=None,
        num_frames=num_frames,
        seconds=num_frames / card.fps,
        num_chunks=0,
        seed=seed,
        continues=continues.scene_id if continues else None,
    )
    try:
        _check_possible(scene, setting)
        start = start_of(scene, _before(before), card, setting.media)
    except PlanError as error:
        return _unplannable(blank, scene, str(error), setting)
    job = _job(scene, blank, start, setting)
    notes = (*_scene_notes(scene, blank, before, setting), *(_warn(scene, text) for text in start.notes))
    return _Planned(_judged(scene, blank, job, continues, setting), job, notes)


def _before(before: _Planned | None) -> Before | None:
    return Before(before.plan.number, before.plan.recipe, before.plan.num_frames) if before else None


def _check_possible(scene: Scene, setting: _Setting) -> None:
    card = setting.card
    if not setting.status.available or not setting.status.fingerprint:
        raise PlanError(scene.id, f"{card.title} cannot be used here")
    if not scene.prompt.strip():
        raise PlanError(scene.id, "has no prompt. Write what is to be seen")
    if scene.duration_s > card.max_duration_s:
        text = (
            f"{scene.duration_s:g} s is longer than {card.title} can make ({card.max_duration_s:g} s). Split the scene"
        )
        raise PlanError(scene.id, text)


def _unplannable(blank: ScenePlan, scene: Scene, reason: str, setting: _Setting) -> _Planned:
    shown = _chosen_or_newest(scene, setting)
    found = blank.model_copy(update={"reason": reason, "take_id": shown.id if shown else None})
    return _Planned(found, None, (Note(scene_id=scene.id, level="error", text=reason),))


def _job(scene: Scene, blank: ScenePlan, start: Start, setting: _Setting) -> Job:
    """The complete recipe of a scene. Its id follows from all of it, so that another body never has the same id."""
    board, card, preset = setting.board, setting.card, setting.preset
    own = scene.overrides
    sampler = SamplerSettings(
        name=own.sampler or preset.sampler,
        num_steps=own.num_steps or preset.num_steps,
        sigma_max=card.sampler.sigma_max,
        sigma_min=card.sampler.sigma_min,
        rho=card.sampler.rho,
    )
    job = make_job(
        id="draft",
        project_id=setting.project_id,
        scene_ids=(scene.id,),
        model=board.model,
        weights=setting.status.fingerprint,
        segments=_segments(scene, blank.num_frames, start, setting),
        size_px=setting.size_px,
        fps=card.fps,
        num_frames=blank.num_frames,
        seed=blank.seed,
        sampler=sampler,
        guidance_scale=preset.guidance_for(card) if own.guidance_scale is None else own.guidance_scale,
        conditioning=start.conditioning,
        speed=preset.speed_for(card),
    )
    named = json.dumps([job.recipe, job.project_id, scene.id, job.speed.model_dump()])
    return job.model_copy(update={"id": hashlib.sha256(named.encode()).hexdigest()[:16]})


def _segments(scene: Scene, num_frames: int, start: Start, setting: _Setting) -> tuple[Segment, ...]:
    card = setting.card
    chunks = chunks_for(num_frames, card.chunk_num_frames, start.num_overlap_frames, card.continue_num_frames)
    return tuple(
        Segment(
            scene_id=scene.id,
            prompt=joined(scene.prompt, setting.board.look),
            negative_prompt=_negative(scene, setting),
            num_frames=chunk.num_frames,
            num_overlap_frames=chunk.num_overlap_frames,
            starts_scene=position == 0,
        )
        for position, chunk in enumerate(chunks)
    )


def joined(prompt: str, look: str) -> str:
    """A prompt with the look behind it: a comma between them unless the prompt ends a sentence."""
    prompt, look = prompt.strip(), look.strip()
    if not prompt or not look:
        return prompt or look
    return f"{prompt} {look}" if prompt[-1] in ".,;:!?" else f"{prompt}, {look}"


def _negative(scene: Scene, setting: _Setting) -> str:
    if "negative_prompt" not in setting.card.capabilities:
        return ""
    return joined(scene.negative_prompt, setting.board.negative_look)


def _judged(scene: Scene, blank: ScenePlan, job: Job, continues: ScenePlan | None, setting: _Setting) -> ScenePlan:
    """The scene with its state: fresh where a take of this very recipe exists, whoever made it."""
    found = blank.model_copy(update={"recipe": job.recipe, "num_chunks": len(job.segments)})
    if matching := setting.by_recipe.get(job.recipe):
        take = next((take for take in matching if take.id == scene.chosen_take), matching[-1])
        return found.model_copy(update={"state": "fresh", "take_id": take.id})
    shown = _chosen_or_newest(scene, setting)
    if shown is None:
        return found.model_copy(update={"state": "missing", "reason": "not rendered yet"})
    names = Names(
        prompt=scene.prompt,
        look=setting.board.look,
        negative_prompt=scene.negative_prompt,
        negative_look=setting.board.negative_look,
        presets=setting.presets,
        card=setting.card,
        before_number=continues.number if continues else blank.number - 1,
        before_state=continues.state if continues else "",
    )
    reason = ", ".join(reasons(shown.job, job, names))
    return found.model_copy(update={"state": "stale", "reason": reason, "take_id": shown.id})


def _chosen_or_newest(scene: Scene, setting: _Setting) -> Take | None:
    own = setting.by_scene.get(scene.id, ())
    if scene.chosen_take is None:
        return own[-1] if own else None
    chosen = next((take for take in setting.takes if take.id == scene.chosen_take), None)
    return chosen or (own[-1] if own else None)


def _warn(scene: Scene, text: str) -> Note:
    return Note(scene_id=scene.id, level="warn", text=text)


def _scene_notes(scene: Scene, blank: ScenePlan, before: _Planned | None, setting: _Setting) -> list[Note]:
    card, notes = setting.card, list[Note]()
    if abs(scene.duration_s * card.fps - blank.num_frames) > 1e-6:
        frames = "1 frame" if blank.num_frames == 1 else f"{blank.num_frames} frames"
        text = f"{scene.duration_s:g} s is rounded to {frames} ({blank.seconds:g} s at {card.fps} a second)"
        notes.append(Note(scene_id=scene.id, level="info", text=text))
    if unknown := unknown_words(scene.prompt, card):
        notes.append(_warn(scene, _never_shown(unknown, card)))
    length = estimated_tokens(joined(scene.prompt, setting.board.look))
    if length > card.text.max_tokens:
        text = f"the prompt is about {length} tokens long; {card.title} reads the first {card.text.max_tokens}"
        notes.append(_warn(scene, text))
    if scene.negative_prompt and "negative_prompt" not in card.capabilities:
        notes.append(_warn(scene, f"{card.title} reads no negative prompt; it is left out"))
    if before and scene.transition == "crossfade":
        shorter = min(blank.seconds, before.plan.seconds)
        if scene.crossfade_s > shorter:
            text = f"a crossfade of {scene.crossfade_s:g} s does not fit into a scene of {shorter:g} s; shorten it"
            notes.append(_warn(scene, text))
    return notes


def _jobs_to_render(planned: Sequence[_Planned], scene_ids: Collection[str] | None) -> tuple[Job, ...]:
    """Jobs of the scenes asked for that are not fresh, with what they continue from; one job for one recipe."""
    wanted = {answer.plan.scene_id for answer in planned} if scene_ids is None else set(scene_ids)
    if missing := wanted - {answer.plan.scene_id for answer in planned}:
        raise PlanError(min(missing), f'no scene has the id "{min(missing)}"; it may have been deleted')
    for answer in reversed(planned):
        if answer.plan.scene_id in wanted and answer.plan.state != "fresh" and answer.plan.continues:
            wanted.add(answer.plan.continues)
    jobs: dict[str, Job] = {}
    for answer in planned:
        if answer.job and answer.plan.state != "fresh" and answer.plan.scene_id in wanted:
            jobs.setdefault(answer.job.recipe, answer.job)
    return tuple(jobs.values())
