"""Why takes of a jointly denoised storyboard are not what is written now: two jobs of all scenes, compared in words.

Comes in: the job of a take, the job that the plan would give now, the storyboard. Goes out: reasons such as ``scene 3's
prompt changed``. A change anywhere changes every scene, and the last of the reasons says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.contract.cards import ModelCard
from engine.contract.jobs import Job, Segment
from engine.contract.scene_tokens import END_SCENE, START_SCENE
from studio.document.storyboard import Scene, Storyboard
from studio.planning.presets import Preset
from studio.planning.stale_reasons import frame_reasons, model_reasons, setting_reasons, which

TOGETHER = "this model denoises all scenes together"


@dataclass(frozen=True, slots=True)
class JointReasonScope:
    """What is not in a job: the words as the author wrote them, and presets."""

    board: Storyboard
    presets: Mapping[str, Preset]
    card: ModelCard


def joint_reasons(old: Job, new: Job, names: JointReasonScope) -> tuple[str, ...]:
    """What changed from the take's job to the one that would be rendered now, in one text with why it matters here."""
    found = [*model_reasons(old, new), *_scenes(old, new, names), *frame_reasons(old, new)]
    found += setting_reasons(old, new, names.presets, names.card)
    return (f"{', '.join(dict.fromkeys(found)) or 'its settings changed'}; {TOGETHER}",)


def _scenes(old: Job, new: Job, names: JointReasonScope) -> Iterator[str]:
    if not old.joint:
        return
    if old.scene_ids != new.scene_ids:
        yield "scenes came, went or moved"
        return
    for number, scene in enumerate(names.board.scenes, start=1):
        yield from _scene(number, scene, _of(old, scene.id), _of(new, scene.id), names.board)


def _of(job: Job, scene_id: str) -> list[Segment]:
    return [segment for segment in job.segments if segment.scene_id == scene_id]


def _scene(number: int, scene: Scene, old: list[Segment], new: list[Segment], storyboard: Storyboard) -> Iterator[str]:
    own = f"scene {number}'s "
    before, now = [_bare(segment.prompt) for segment in old], [_bare(segment.prompt) for segment in new]
    if before[0] != now[0]:
        word = which(before[0], scene.prompt.strip(), storyboard.look.strip(), "prompt", "look")
        yield f"{'' if word == 'look' else own}{word} changed"
    elif any(first != second for first, second in zip(before, now, strict=False)):
        yield f"{own}prompts changed"
    if old[0].negative_prompt != new[0].negative_prompt:
        words = "negative prompt", "negative look"
        word = which(old[0].negative_prompt, scene.negative_prompt.strip(), storyboard.negative_look.strip(), *words)
        yield f"{'' if word == 'negative look' else own}{word} changed"
    if len(old) != len(new):
        yield f"{own}duration changed"
    if old[0].prompt.startswith(START_SCENE) != new[0].prompt.startswith(START_SCENE):
        yield f"{own}transition changed"


def _bare(prompt: str) -> str:
    return prompt.removeprefix(START_SCENE).removesuffix(END_SCENE)
