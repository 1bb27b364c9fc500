"""All that there is to show of a project: what is known of it, and what changes while it is rendered.

Values only; does not know the board or the page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.contract.cards import ModelStatus
from engine.contract.media import MediaInfo
from engine.contract.status import EngineStatus
from studio.document.storyboard import Scene
from studio.library.critiques import StoredCritique
from studio.library.projects import Project
from studio.library.takes import Film, KnownJob, StoredTake
from studio.planning.shown_take import index_takes
from studio.planning.types import Plan
from studio.rendering.progress import LiveJob
from studio.rendering.refining import RefinerChoice, Refining
from studio.views.guarding import SHOWN, GuardSwitch, TakeGuard


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
    critiques: Mapping[str, StoredCritique] = field(default_factory=dict[str, StoredCritique])
    """By take, what a critic said of it."""
    estimates_s: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """Seconds to render what is not fresh, by preset; None: not measured."""
    cut: str | None = None
    """Hash of what the film would be made of now; None: scenes lack takes."""
    shared: tuple[tuple[str, str], ...] = ()
    """(scene id, take id) of takes that other projects rendered, that match by their recipe, and that are not recorded
    as this project's yet. They are in ``takes``."""

    guard: GuardSwitch = GuardSwitch(False, False, "")
    take_guards: Mapping[str, TakeGuard] = field(default_factory=dict[str, TakeGuard])
    """By take id, where a guard has something to say of it."""

    def withheld_files(self) -> set[str]:
        """SHA-256 of the files that only the owner of the machine may see."""
        takes = [stored for stored in self.takes if self.guard_of(stored.take.id).state == "withheld"]
        files = {each for stored in takes for each in (stored.take.media, stored.poster, stored.take.picture) if each}
        outdated = self.film is not None and self.film.cut != self.cut  # it may show one of these
        if takes and outdated and self.film is not None:
            files |= {each for each in (self.film.media, self.film.poster) if each}
        return files

    def guard_of(self, take_id: str) -> TakeGuard:
        return self.take_guards.get(take_id, SHOWN)

    def shown_take_id(self, scene: Scene) -> str | None:
        """The take that card and film show: what the plan says, else, without a plan, the chosen or newest one."""
        if self.plan is not None:
            return self.plan.scene(scene.id).take_id
        shown = index_takes(stored.take for stored in self.takes).shown(scene, None)
        return shown.id if shown else None

    def content_type(self, sha256: str) -> str | None:
        """Of a file of the takes; None for another file."""
        for stored in self.takes:
            kinds = {stored.take.media: "video/mp4", stored.poster: "image/webp", stored.take.picture: "image/png"}
            if sha256 in kinds:
                return kinds[sha256]
        return None

    def outdated_choices(self) -> list[str]:
        """Ids of scenes whose chosen take is not what is written, though a take of that is there."""
        if self.plan is None:
            return []
        recipes = {stored.take.id: stored.take.recipe for stored in self.takes}
        chosen = {scene.id: scene.chosen_take for scene in self.project.storyboard.scenes if scene.chosen_take}
        fresh = [scene for scene in self.plan.scenes if scene.state == "fresh" and scene.scene_id in chosen]
        return [scene.scene_id for scene in fresh if recipes.get(chosen[scene.scene_id], "") != scene.recipe]


@dataclass(frozen=True, slots=True)
class LiveState:
    """What changes while rendering.

    ``engine_known``: whether an engine is attached; ``unavailable_reason``: why none is.
    """

    version: int
    live: Mapping[str, Sequence[LiveJob]]
    engine: EngineStatus | None
    engine_known: bool
    unavailable_reason: str
    last_error: str
    assembling: bool
    film_error: str
    refining: Mapping[str, Refining] = field(default_factory=dict[str, Refining])
    """By scene: who is being refined, or could not be."""
    refiner_of: Callable[[ModelStatus], RefinerChoice] = lambda status: RefinerChoice()
    rounds: Mapping[str, str] = field(default_factory=dict[str, str])
    """By scene of which several takes are being made, how far that is: ``2 of 4 takes``."""
