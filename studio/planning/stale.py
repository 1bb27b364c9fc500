"""How a scene stands: fresh, stale or missing, by the takes there are.

Comes in: a scene, the recipe of the take that would be rendered now, what all scenes share. Goes out: its
``ScenePlan``. Does not know how jobs are made, nor how two of them are compared.
"""

from collections.abc import Callable, Sequence

from engine.contract.jobs import FromModel, Job, Segment
from studio.document.storyboard import Scene
from studio.planning.context import PlanContext
from studio.planning.types import PlannedScene, ScenePlan, about_scene


def blank_plan(
    scene: Scene, number: int, num_frames: int, seed: int, before: ScenePlan | None, setting: PlanContext
) -> ScenePlan:
    """What is known of a scene before anything is decided: unplannable, for no reason yet."""
    return ScenePlan(
        scene_id=scene.id,
        number=number,
        state="unplannable",
        reason="",
        recipe=None,
        take_id=None,
        num_frames=num_frames,
        seconds=num_frames / setting.fps,
        chunk_starts_s=(),
        seed=seed,
        continues=before.scene_id if before and scene.transition == "continue" else None,
        makes_first_frame=False,
    )


def unplannable(blank: ScenePlan, scene: Scene, reason: str, setting: PlanContext) -> PlannedScene:
    shown = setting.takes.shown(scene, None)
    found = blank.model_copy(update={"reason": reason, "take_id": shown.id if shown else None})
    return PlannedScene(found, None, (about_scene(scene.id, "error", reason),))


def judged(
    blank: ScenePlan,
    scene: Scene,
    job: Job,
    recipe: str,
    segments: Sequence[Segment],
    why: Callable[[Job], Sequence[str]],
    setting: PlanContext,
) -> ScenePlan:
    """Fresh where a take of this very recipe exists, whoever made it. ``segments``: the scene's. ``why``: what changed
    since the job of an older take."""
    made = isinstance(job.conditioning, FromModel)
    chunks = _starts_s(segments, job.fps)
    found = blank.model_copy(update={"recipe": recipe, "chunk_starts_s": chunks, "makes_first_frame": made})
    shown = setting.takes.shown(scene, recipe)
    if shown is None:
        return found.model_copy(update={"state": "missing", "reason": "not rendered yet"})
    if recipe in setting.takes.by_recipe:
        return found.model_copy(update={"state": "fresh", "take_id": shown.id})
    return found.model_copy(update={"state": "stale", "reason": ", ".join(why(shown.job)), "take_id": shown.id})


def _starts_s(segments: Sequence[Segment], fps: int) -> tuple[float, ...]:
    starts_s, position = list[float](), 0
    for segment in segments:
        starts_s.append(round(position / fps, 3))
        position += segment.num_frames - segment.num_overlap_frames
    return tuple(starts_s)
