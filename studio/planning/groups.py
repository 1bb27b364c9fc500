"""Which scenes are rendered by one job, and what they decide of that job.

Comes in: the context of a plan. Goes out: the scenes of each ``SceneGroup``: one scene, or all scenes of a model that
denoises a storyboard jointly. Pure; does not know takes, recipes or costs.
"""

import hashlib
from dataclasses import dataclass

from engine.contract.frames import num_segments_for
from engine.contract.jobs import JobConditioning, Reimagine, Segment
from studio.document.storyboard import Overrides, Scene
from studio.planning.context import PlanContext
from studio.planning.sizes import num_frames_of
from studio.planning.types import Note, ScenePlan

TOGETHER = "this model denoises all scenes together"


@dataclass(frozen=True, slots=True)
class DraftScene:
    """A scene with what is known of its plan before there is a job: ``unplannable``, for no reason yet."""

    scene: Scene
    plan: ScenePlan


@dataclass(frozen=True, slots=True)
class SceneGroup:
    """The scenes of one job, in order, at least one. ``previous``: the plan of the scene before them."""

    drafts: tuple[DraftScene, ...]
    previous: ScenePlan | None


@dataclass(frozen=True, slots=True)
class JobContent:
    """What the scenes of a group decide of their job; the context decides the rest."""

    segments: tuple[Segment, ...]
    seed: int
    overrides: Overrides
    conditioning: JobConditioning | None = None
    reimagine: Reimagine | None = None
    notes: tuple[Note, ...] = ()


def scenes_by_job(context: PlanContext) -> list[tuple[DraftScene, ...]]:
    """The scenes of the storyboard in order, in one tuple for each job."""
    scenes = context.storyboard.scenes
    drafts = [
        DraftScene(scene, _draft(scene, number, previous, context))
        for number, (scene, previous) in enumerate(zip(scenes, (None, *scenes), strict=False), start=1)
    ]
    if context.card.joint:
        return [tuple(drafts)] if drafts else []
    return [(draft,) for draft in drafts]


def num_segments(scene: Scene, context: PlanContext) -> int:
    """Of a scene of a joint model."""
    return num_segments_for(scene.duration_s, segment_s(context))


def segment_s(context: PlanContext) -> float:
    """Seconds of a joint model's segment."""
    return context.joint.segment_num_frames / context.fps


def derived_seed(storyboard_seed: int, scene_id: str) -> int:
    """The seed of a scene without one: from the storyboard's seed and the scene's id, not from its position."""
    digest = hashlib.sha256(f"{storyboard_seed}/{scene_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _draft(scene: Scene, number: int, previous: Scene | None, context: PlanContext) -> ScenePlan:
    num_frames = _num_frames(scene, number, context)
    return ScenePlan(
        scene_id=scene.id,
        number=number,
        state="unplannable",
        reason="",
        recipe=None,
        take_id=None,
        num_frames=num_frames,
        seconds=num_frames / context.fps,
        chunk_starts_s=(),
        seed=_seed(scene, context),
        continues=previous.id if previous and scene.transition == "continue" else None,
        makes_first_frame=False,
    )


def _num_frames(scene: Scene, number: int, context: PlanContext) -> int:
    """A joint model's first segment has one frame more than the others."""
    if context.card.joint is None:
        return num_frames_of(scene, context.card, context.fps)
    return num_segments(scene, context) * context.joint.segment_num_frames + (number == 1)


def _seed(scene: Scene, context: PlanContext) -> int:
    """Of the scene's take; a joint model has one seed for all scenes."""
    if context.card.joint:
        return context.storyboard.seed
    return derived_seed(context.storyboard.seed, scene.id) if scene.seed is None else scene.seed
