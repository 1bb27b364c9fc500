"""What is known of each project, gathered once and kept until something changes: takes, media, plan, film.

Comes in: the library, takes, models and presets. Goes out: ``ProjectState``, plans, and what a film is made of. Takes
that another project rendered are matched by recipe here. Only reads: recording that a take is shared is
``services/refresher.py``'s part. Does not know the engine, progress or the page.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.contract.jobs import Job, Take
from engine.contract.media import MediaInfo
from engine.storage.media import MediaStore
from studio.document.formats.yaml_file import to_text
from studio.document.storyboard import Storyboard
from studio.errors import FilmError, PlanError, ProjectMissing
from studio.film.assembly import FilmSource
from studio.film.film import Join, cut_hash, edit_list
from studio.library.critiques import CritiqueRepository
from studio.library.projects import Library, Project
from studio.library.takes import StoredTake, TakeRepository
from studio.planning.cost import Timings, timings_of
from studio.planning.plan import Plan, plan
from studio.planning.presets import Preset
from studio.rendering.models import ModelCatalog
from studio.rendering.progress import Waiters, job_makes
from studio.views.guarding import Guarding
from studio.views.project_state import ProjectState


@dataclass
class _Entry:
    project_state: ProjectState
    plans: dict[tuple[str | None, tuple[str, ...] | None], Plan] = field(
        default_factory=dict[tuple[str | None, tuple[str, ...] | None], Plan]
    )


class ProjectStateCache:
    def __init__(
        self,
        library: Library,
        takes: TakeRepository,
        critiques: CritiqueRepository,
        store: MediaStore,
        models: ModelCatalog,
        presets: Mapping[str, Preset],
        guards: Guarding,
    ) -> None:
        self._library = library
        self._takes = takes
        self._critiques = critiques
        self._store = store
        self._models = models
        self._presets = presets
        self._guards = guards
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        self._timings: Timings | None = None

    def state(self, project_id: str) -> ProjectState:
        """Raises ProjectMissing."""
        return self._entry(project_id).project_state

    def forget(self, project_id: str) -> None:
        with self._lock:
            self._entries.pop(project_id, None)
            self._timings = None

    def forget_all(self) -> None:
        with self._lock:
            self._entries.clear()
            self._timings = None

    def plan(self, project_id: str, preset: str | None, scene_ids: Sequence[str] | None) -> Plan:
        """Raises PlanError for a preset, a model or a scene that is not there."""
        with self._lock:
            entry = self._entry(project_id)
            if preset is None and scene_ids is None and entry.project_state.plan is not None:
                return entry.project_state.plan
            key = (preset, tuple(scene_ids) if scene_ids is not None else None)
            if key not in entry.plans:
                entry.plans[key] = self._plan(entry.project_state, preset, scene_ids)
            return entry.plans[key]

    def plan_words(self, project_id: str, storyboard: Storyboard, media: Mapping[str, MediaInfo]) -> Plan:
        """The plan of a storyboard that is in no project, or not yet as it is there."""
        own = [stored.take for stored in self._takes.takes_of(project_id) if self._store.has(stored.take.media)]
        first = self._plan_of(storyboard, own, media, project_id, None, None)
        scenes = {scene.recipe: scene.scene_id for scene in first.scenes if scene.recipe}
        by_recipe = self._takes.takes_by_recipe(scenes.keys(), self._store)
        here = [by_recipe[recipe].of_scene(scenes[recipe]).take for recipe in by_recipe]
        return self._plan_of(storyboard, [*own, *here], media, project_id, None, None)

    def plan_variant(self, project_id: str, storyboard: Storyboard, scene_ids: Sequence[str]) -> Plan:
        """The plan of a project's storyboard with something changed, such as a seed; jobs for these scenes only."""
        state = self.state(project_id)
        takes = [stored.take for stored in state.takes]
        first = self._plan_of(storyboard, takes, state.media, project_id, None, scene_ids)
        wanted = _wanted_recipes(first)
        by_recipe = self._takes.takes_by_recipe(set(wanted.values()), self._store)
        found = [by_recipe[recipe].of_scene(scene).take for scene, recipe in wanted.items() if recipe in by_recipe]
        return self._plan_of(storyboard, [*takes, *found], state.media, project_id, None, scene_ids) if found else first

    def is_joint(self, project_id: str) -> bool:
        """Whether the project's model denoises all scenes together."""
        status = self._models.all().get(self.state(project_id).project.storyboard.model)
        return status is not None and status.card.joint is not None

    def waiters_for(self, project_id: str, plan: Plan, job: Job) -> Waiters:
        """All scenes of the project that a job is for: two scenes may ask for the very same."""
        return tuple((project_id, scene.scene_id) for scene in plan.scenes if job_makes(job, scene.recipe))

    def refuse_unplannable(self, plan: Plan, scene_ids: Sequence[str] | None) -> None:
        """Raises PlanError where nothing that was asked for can be rendered, and something should be."""
        asked = [scene for scene in plan.scenes if scene_ids is None or scene.scene_id in scene_ids]
        if not asked:
            raise PlanError("", "the storyboard has no scenes. Add one.")
        stuck = [scene for scene in asked if scene.state == "unplannable"]
        if stuck and not plan.jobs:
            general = [note.text for note in plan.notes if note.level == "error" and note.scene_id is None]
            reason = general[0] if general else stuck[0].reason
            raise PlanError(stuck[0].scene_id, f"scene {stuck[0].number}: {reason}.")

    def is_complete(self, project_id: str) -> bool:
        """Whether every scene is fresh; False for a project that is not there (any more)."""
        try:
            project_state = self.state(project_id)
        except ProjectMissing:
            return False
        return project_state.plan is not None and all(scene.state == "fresh" for scene in project_state.plan.scenes)

    def film_source(self, project_id: str) -> FilmSource:
        """What the film is made of now. Raises FilmError for scenes without a take."""
        return _film_source(self.state(project_id), self._store)

    def wanting(self, recipes: Collection[str]) -> list[str]:
        """Ids of projects that are held here and have scenes without a take of one of these recipes."""
        with self._lock:
            plans = [(project_id, entry.project_state.plan) for project_id, entry in self._entries.items()]
        return [name for name, plan in plans if plan and not set(recipes).isdisjoint(_wanted_recipes(plan).values())]

    def _entry(self, project_id: str) -> _Entry:
        with self._lock:
            project = self._library.open(project_id)
            known = self._entries.get(project_id)
            if known is None or known.project_state.project.revision != project.revision:
                known = _Entry(self._gathered(project))
                self._entries[project_id] = known
            return known

    def _gathered(self, project: Project) -> ProjectState:
        project_state = self._stored(project)
        try:
            whole = self._plan(project_state, None, None)
            if matches := self._matches(whole):
                shared = tuple((stored.take.scene_id, stored.take.id) for stored in matches)
                project_state = replace(project_state, takes=(*project_state.takes, *matches), shared=shared)
                whole = self._plan(project_state, None, None)
            project_state = replace(project_state, plan=whole, estimates_s=self._estimates(project_state, whole))
        except PlanError as error:
            project_state = replace(project_state, problem=str(error))
        guards = self._guards.of_takes([stored.take for stored in project_state.takes])
        project_state = replace(project_state, take_guards=guards)
        return replace(project_state, cut=self._cut(project_state))

    def _stored(self, project: Project) -> ProjectState:
        return ProjectState(
            project=project,
            takes=tuple(stored for stored in self._takes.takes_of(project.id) if self._store.has(stored.take.media)),
            guard=self._guards.switch_of(project.storyboard.model, project.id),
            jobs=tuple(self._takes.jobs_of_project(project.id)),
            media=self._takes.media_of(project.id),
            media_names=self._takes.media_names(project.id),
            film=self._takes.film_of(project.id),
            critiques=self._critiques.of_project(project.id),
            plan=None,
            problem="",
        )

    def _plan(self, project_state: ProjectState, preset: str | None, scene_ids: Sequence[str] | None) -> Plan:
        takes = [stored.take for stored in project_state.takes]
        return self._plan_of(
            project_state.project.storyboard, takes, project_state.media, project_state.project.id, preset, scene_ids
        )

    def _plan_of(
        self,
        storyboard: Storyboard,
        takes: Sequence[Take],
        media: Mapping[str, MediaInfo],
        project_id: str,
        preset: str | None,
        scene_ids: Sequence[str] | None,
    ) -> Plan:
        if self._timings is None:
            self._timings = timings_of(self._takes.newest_takes())
        whole = plan(
            storyboard,
            presets=self._presets,
            models=self._models.all(),
            takes=takes,
            media=media,
            timings=self._timings,
            project_id=project_id,
            preset=preset,
            scene_ids=scene_ids,
        )
        return self._guards.guarded(whole, storyboard, self._timings)

    def _matches(self, whole: Plan) -> list[StoredTake]:
        """Takes of other projects, or from before, that match scenes which are not fresh by their recipe."""
        wanted = _wanted_recipes(whole)
        by_recipe = self._takes.takes_by_recipe(set(wanted.values()), self._store)
        return [by_recipe[recipe].of_scene(scene_id) for scene_id, recipe in wanted.items() if recipe in by_recipe]

    def _estimates(self, project_state: ProjectState, whole: Plan) -> dict[str, float | None]:
        chosen = project_state.project.storyboard.preset
        return {
            name: whole.cost.seconds if name == chosen else self._plan(project_state, name, None).cost.seconds
            for name in self._presets
        }

    def _cut(self, project_state: ProjectState) -> str | None:
        try:
            return cut_hash(_film_source(project_state, self._store).edits)
        except FilmError:
            return None


def _wanted_recipes(plan: Plan) -> dict[str, str]:
    """By scene id, the recipes that scenes which are not fresh would be rendered with."""
    return {scene.scene_id: scene.recipe for scene in plan.scenes if scene.recipe and scene.state != "fresh"}


def _film_source(project_state: ProjectState, store: MediaStore) -> FilmSource:
    storyboard = project_state.project.storyboard
    takes = _shown_takes(storyboard, project_state)
    missing = [str(number) for number, take in enumerate(takes, start=1) if take is None]
    if missing:
        which = ("scene " if len(missing) == 1 else "scenes ") + ", ".join(missing)
        raise FilmError(f"{which}: not rendered yet. Render first, then the film can be put together.")
    whole = tuple(take for take in takes if take is not None)
    for number, take in enumerate(whole, start=1):
        if project_state.guard_of(take.id).state == "withheld":
            reason = project_state.guard_of(take.id).text.rstrip(".")
            raise FilmError(f"scene {number}: its take is withheld ({reason}). Render another one, or choose one.")
    joins = [
        Join(take, store.path(take.media), scene.crossfade_s if scene.transition == "crossfade" else 0.0)
        for take, scene in zip(whole, storyboard.scenes, strict=True)
    ]
    return FilmSource(edit_list(joins, storyboard.fps), to_text(storyboard), whole)


def _shown_takes(storyboard: Storyboard, project_state: ProjectState) -> list[Take | None]:
    by_id = {stored.take.id: stored.take for stored in project_state.takes}
    return [by_id.get(project_state.shown_take_id(scene) or "") for scene in storyboard.scenes]
