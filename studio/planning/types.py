"""The values of a plan: its jobs, the state of each scene and the reason for it, notes, cost.

Does not know how any of them is decided.
"""

from typing import Literal

from pydantic import Field

from engine.contract.jobs import Job
from engine.contract.values import Identifier, Sha256, SizePx, Value
from studio.planning.cost import Cost

State = Literal["fresh", "stale", "missing", "unplannable"]
Level = Literal["info", "warn", "error"]


class Note(Value):
    """What is rounded, or what the model cannot do. ``scene_id`` None: about the whole storyboard."""

    scene_id: Identifier | None
    level: Level
    text: str


class ScenePlan(Value):
    """The state of one scene. ``number`` counts from 1. ``reason``: why it is not fresh; "" where it is."""

    scene_id: Identifier
    number: int
    state: State
    reason: str
    recipe: Sha256 | None
    """Of the take that would be rendered now; None: unplannable."""
    take_id: Identifier | None
    """What card and film show, by the rule of ``shown_take``: the author may have chosen another than the fresh one."""
    num_frames: int
    seconds: float
    """As rounded to whole frames."""
    chunk_starts_s: tuple[float, ...]
    """Where in the scene each chunk (of a jointly denoised model: segment) begins; none: unplannable."""
    seed: int
    continues: Identifier | None
    """The scene before it, where it starts from the last frames of that."""
    makes_first_frame: bool
    """Whether a picture model makes its first frame."""

    @property
    def num_chunks(self) -> int:
        return len(self.chunk_starts_s)


class Plan(Value):
    """Jobs in the order of the storyboard: one that continues another comes after it."""

    project_id: Identifier
    jobs: tuple[Job, ...]
    scenes: tuple[ScenePlan, ...]
    notes: tuple[Note, ...]
    cost: Cost
    size_px: SizePx | None
    """Of all takes; None: the model cannot make the size that was asked for."""
    fps: int
    refused: tuple[Identifier, ...] = Field(default=(), exclude=True)
    """Scenes that a guard refuses, unplannable for that reason."""

    def scene(self, scene_id: str) -> ScenePlan:
        return next(scene for scene in self.scenes if scene.scene_id == scene_id)


def about_scene(scene_id: str, level: Level, text: str) -> Note:
    return Note(scene_id=scene_id, level=level, text=text)


def about_all(level: Level, text: str) -> Note:
    return Note(scene_id=None, level=level, text=text)
