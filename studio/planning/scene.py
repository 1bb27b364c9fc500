"""The job content of one scene, for a model that makes each scene by itself, in chunks that continue one another.

Comes in: a group of one scene, the context of the plan. Goes out: the segments (one for each chunk), what the scene
starts from, notes; or a ``PlanError``. Pure; does not know takes, nor which jobs will be rendered.
"""

from engine.contract.frames import chunks_for
from engine.contract.jobs import Segment
from studio.document.prompts import full_negative_prompt, full_prompts
from studio.document.storyboard import Scene
from studio.planning.conditioning import SceneStart, frames_taken_over, start_of
from studio.planning.context import PlanContext
from studio.planning.groups import JobContent, SceneGroup
from studio.planning.sizes import check_length, chunk_length
from studio.planning.types import about_scene


def scene_content(group: SceneGroup, context: PlanContext) -> JobContent:
    """Raises PlanError for a scene that the model cannot make."""
    (draft,) = group.drafts
    scene, plan = draft.scene, draft.plan
    check_length(scene, plan.num_frames, context.card, context.fps)
    start = start_of(scene, plan.seed, group.previous, context)
    return JobContent(
        segments=_segments(scene, plan.num_frames, start, context),
        seed=plan.seed,
        overrides=scene.overrides,
        conditioning=start.conditioning,
        reimagine=start.reimagine,
        notes=tuple(about_scene(scene.id, "warn", text) for text in start.notes),
    )


def _segments(scene: Scene, num_frames: int, start: SceneStart, context: PlanContext) -> tuple[Segment, ...]:
    card, storyboard = context.card, context.storyboard
    length = chunk_length(num_frames, card)
    chunks = chunks_for(num_frames, length, start.num_overlap_frames, frames_taken_over(scene, card))
    prompts = full_prompts(scene, storyboard.look, len(chunks))
    return tuple(
        Segment(
            scene_id=scene.id,
            prompt=prompt,
            negative_prompt=full_negative_prompt(scene, storyboard, card),
            num_frames=chunk.num_frames,
            num_overlap_frames=chunk.num_overlap_frames,
            starts_scene=position == 0,
        )
        for position, (chunk, prompt) in enumerate(zip(chunks, prompts, strict=True))
    )
