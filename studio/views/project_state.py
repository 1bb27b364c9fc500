"""All that there is to show of a project: what is known of it, and what changes while it is rendered.

Values only; does not know the board or the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.contract.media import MediaInfo
from engine.contract.status import EngineStatus
from studio.library.projects import Project
from studio.library.takes import Film, KnownJob, StoredTake
from studio.planning.types import Plan
from studio.rendering.progress import LiveJob


@dataclass(frozen=True, slots=True)
class ProjectState:
    """What is known of a project, as long as nothing but progress changes. ``takes``: in the order they arrived."""

    project: Project
    takes: tuple[StoredTake, ...]
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

    def outdated_choices(self) -> list[str]:
        """Ids of scenes whose chosen take is not what is written, though a take of that is there."""
        if self.plan is None:
            return []
        recipes = {shelved.take.id: shelved.take.recipe for shelved in self.takes}
        chosen = {scene.id: scene.chosen_take for scene in self.project.storyboard.scenes if scene.chosen_take}
        fresh = [scene for scene in self.plan.scenes if scene.state == "fresh" and scene.scene_id in chosen]
        return [scene.scene_id for scene in fresh if recipes.get(chosen[scene.scene_id], "") != scene.recipe]


@dataclass(frozen=True, slots=True)
class LiveState:
    """What changes while rendering. ``engine_known``: whether an engine is attached; ``absence``: why none is."""

    version: int
    live: Mapping[str, Sequence[LiveJob]]
    engine: EngineStatus | None
    engine_known: bool
    unavailable_reason: str
    last_error: str
    assembling: bool
    film_error: str
