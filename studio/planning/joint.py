"""All scenes in one job, for a model that denoises a whole storyboard together, in segments of one length.

Comes in: what all scenes share. Goes out: an ``PlannedScene`` for each scene, all with the same job, and notes about
the whole. Pure; does not know which jobs will be rendered, nor how a model reads its scene tokens.

What belongs to one scene alone elsewhere (seed, sampler, steps, guidance) is one for all here: the storyboard's seed,
and the settings that all scenes agree on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.contract.cards import Joint
from engine.contract.frames import num_segments_for
from engine.contract.jobs import Job, Segment, make_job
from engine.contract.scene_tokens import SegmentText, with_scene_tokens
from studio.document.prompts import full_negative_prompt, full_prompts
from studio.document.storyboard import FirstFrame, Overrides, Scene
from studio.errors import PlanError
from studio.planning.context import PlanContext
from studio.planning.joint_cost import joint_cost
from studio.planning.joint_reasons import TOGETHER, JointReasonScope, joint_reasons
from studio.planning.scene import check_possible, scene_notes, with_id
from studio.planning.stale import blank_plan, judged, unplannable
from studio.planning.types import Note, PlannedScene, ScenePlan, about_all, about_scene


@dataclass(frozen=True, slots=True)
class _Part:
    """A scene, how many segments it has, and what is wrong with it ("" if nothing)."""

    scene: Scene
    num_segments: int
    blank: ScenePlan
    problem: str


def plan_jointly(setting: PlanContext) -> tuple[list[PlannedScene], list[Note]]:
    """An answer for each scene, and notes about the storyboard."""
    parts = _parts(setting)
    num_segments = sum(part.num_segments for part in parts)
    joint, notes = _joint(setting), list[Note]()
    refusal = ""
    if num_segments > joint.max_num_segments:
        most = f"{setting.card.title} makes at most {joint.max_num_segments} segments ({_length(joint, setting)})"
        refusal = f"the storyboard has {num_segments} segments of {_segment_s(setting):g} s, and {most}. Shorten it"
        notes.append(about_all("error", refusal))
    elif num_segments and num_segments not in joint.trained_num_segments:
        trained = ", ".join(str(number) for number in joint.trained_num_segments)
        text = f"no weights of {setting.card.title} were trained for {num_segments} segments (but for {trained})"
        notes.append(about_all("warn", text))
    stuck = [part for part in parts if part.problem]
    if refusal or stuck:
        return [_stuck(part, stuck, refusal, setting) for part in parts], notes
    if not parts:
        return [], notes
    job = _job(parts, setting)
    num_branches = 2 if job.speed.guidance == "batched" and job.guidance_scale != 1 else 1
    cost = joint_cost(setting.card, setting.size_px, num_segments, num_branches)
    return _answers(parts, job, setting), [*notes, about_all("info", cost.text)]


def _joint(setting: PlanContext) -> Joint:
    assert setting.card.joint is not None
    return setting.card.joint


def _segment_s(setting: PlanContext) -> float:
    return _joint(setting).segment_num_frames / setting.fps


def _length(joint: Joint, setting: PlanContext) -> str:
    return f"{joint.max_num_segments * _segment_s(setting):g} s"


def _parts(setting: PlanContext) -> list[_Part]:
    parts: list[_Part] = []
    for number, scene in enumerate(setting.storyboard.scenes, start=1):
        num_segments = num_segments_for(scene.duration_s, _segment_s(setting))
        num_frames = num_segments * _joint(setting).segment_num_frames + (number == 1)
        before = parts[-1].blank if parts else None
        blank = blank_plan(scene, number, num_frames, setting.storyboard.seed, before, setting)
        try:
            check_possible(scene, setting)
            problem = ""
        except PlanError as error:
            problem = str(error)
        parts.append(_Part(scene, num_segments, blank, problem))
    return parts


def _stuck(part: _Part, stuck: Sequence[_Part], refusal: str, setting: PlanContext) -> PlannedScene:
    others = f"scene {stuck[0].blank.number} cannot be rendered, and {TOGETHER}. Mend that one first" if stuck else ""
    return unplannable(part.blank, part.scene, part.problem or refusal or others, setting)


def _job(parts: Sequence[_Part], setting: PlanContext) -> Job:
    card, preset, own = setting.card, setting.preset, _overrides(parts)
    segments = _segments(parts, setting)
    job = make_job(
        id="draft",
        project_id=setting.project_id,
        scene_ids=tuple(part.scene.id for part in parts),
        model=card.name,
        weights=setting.status.fingerprint,
        segments=segments,
        size_px=setting.size_px,
        fps=setting.fps,
        num_frames=sum(segment.num_frames for segment in segments),
        seed=setting.storyboard.seed,
        sampler=preset.sampler_for(card, own.sampler, own.num_steps),
        guidance_scale=preset.guidance_for(card) if own.guidance_scale is None else own.guidance_scale,
        guidance_schedule=card.guidance_schedule,
        conditioning=None,
        joint=True,
        speed=preset.speed_for(card),
    )
    return with_id(job)


def _overrides(parts: Sequence[_Part]) -> Overrides:
    """What all scenes override alike; nothing where they differ."""
    return parts[0].scene.overrides if _agree(parts) else Overrides()


def _agree(parts: Sequence[_Part]) -> bool:
    return all(part.scene.overrides == parts[0].scene.overrides for part in parts)


def _segments(parts: Sequence[_Part], setting: PlanContext) -> tuple[Segment, ...]:
    """The first scene's first segment has one frame more. Crossfades are cuts to the model; the film blends them."""
    owners = [(part, place) for part in parts for place in range(part.num_segments)]
    texts = with_scene_tokens([text for part in parts for text in _texts(part, setting)])
    return tuple(
        Segment(
            scene_id=part.scene.id,
            prompt=text,
            negative_prompt=negative,
            num_frames=_joint(setting).segment_num_frames + (index == 0),
            num_overlap_frames=0,
            starts_scene=place == 0,
        )
        for index, ((part, place), (text, negative)) in enumerate(zip(owners, texts, strict=True))
    )


def _texts(part: _Part, setting: PlanContext) -> list[SegmentText]:
    begins = part.scene.transition != "continue"
    negative = full_negative_prompt(part.scene, setting.storyboard, setting.card)
    prompts = full_prompts(part.scene, setting.storyboard.look, part.num_segments)
    return [SegmentText(prompt, begins and place == 0, negative) for place, prompt in enumerate(prompts)]


def _answers(parts: Sequence[_Part], job: Job, setting: PlanContext) -> list[PlannedScene]:
    names = JointReasonScope(setting.storyboard, setting.presets, setting.card)
    answers: list[PlannedScene] = []
    alike = _agree(parts)
    max_tokens = setting.card.text_length(len(job.segments), setting.size_px)

    def why(old: Job) -> tuple[str, ...]:
        return joint_reasons(old, job, names)

    for part, span in zip(parts, job.spans, strict=True):
        own = tuple(segment for segment in job.segments if segment.scene_id == part.scene.id)
        found = judged(part.blank, part.scene, job, span.recipe, own, why, setting)
        before = answers[-1].plan if answers else None
        texts = [*_rounding(part, setting), *_unused(part, alike, setting)]
        said = scene_notes(part.scene, found, before, own, max_tokens, setting)
        notes = [note for note in said if note.level != "info"]
        notes += [about_scene(part.scene.id, "info", text) for text in texts]
        answers.append(PlannedScene(found, job, tuple(notes)))
    return answers


def _rounding(part: _Part, setting: PlanContext) -> list[str]:
    length_s = part.num_segments * _segment_s(setting)
    if abs(part.scene.duration_s - length_s) <= 1e-6:
        return []
    segments = "1 segment" if part.num_segments == 1 else f"{part.num_segments} segments"
    return [f"{part.scene.duration_s:g} s is rounded to {segments} of {_segment_s(setting):g} s"]


def _unused(part: _Part, alike: bool, setting: PlanContext) -> list[str]:
    """What the author wrote for this scene and what has no meaning with this model."""
    scene, texts = part.scene, list[str]()
    if scene.conditioning is not None:
        texts.append(f"{setting.card.title} starts from words alone: the scene's picture or clip is not used")
    if scene.first_frame != FirstFrame():
        texts.append("no picture model makes a first frame: its words and seed are not used")
    if scene.seed not in (None, setting.storyboard.seed):
        texts.append(f"the scene's own seed is not used: {TOGETHER}, from the storyboard's seed")
    if scene.overrides != Overrides() and not alike:
        texts.append(f"the scene's own settings are not used, since other scenes have others: {TOGETHER}")
    if scene.transition == "crossfade" and part.blank.number > 1:
        texts.append("a crossfade is a new scene to the model; the film blends the two")
    return texts
