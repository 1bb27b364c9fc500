"""What follows from the engine's events: a take that arrives is shown, and the film follows when all scenes are fresh.

Comes in: takes that arrived, jobs that ended, models that an engine has. Goes out: changes of projects, wanted films.
Does not know events, jobs or the page.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from engine.contract.cards import ModelStatus
from studio.errors import ProjectMissing
from studio.film.assembly import Assembly
from studio.library.projects import Library
from studio.rendering.models import ModelCatalog
from studio.rendering.progress import Waiters
from studio.services.assistants.critic import CriticService
from studio.services.assistants.host import AssistantHost
from studio.services.choices import clear_choices
from studio.services.refresher import ProjectRefresher
from studio.services.take_rounds import TakeRounds
from studio.services.tracked_takes import TrackedTakes
from studio.views.state_cache import ProjectStateCache


class Follower(Protocol):
    """Who goes on with what arrived, without holding up the thread that reads events."""

    def takes_arrived(self, project_ids: Collection[str], recipes: Collection[str]) -> None: ...
    def engine_answers(self) -> None:
        """An engine answers, for the first time or after a silence."""
        ...


class ArrivalHandler:
    """The ``Listener`` of a ``JobTracker``. ``followers``: called when the library has it, before it is shown."""

    def __init__(
        self,
        library: Library,
        states: ProjectStateCache,
        models: ModelCatalog,
        assembly: Assembly,
        refresher: ProjectRefresher,
    ) -> None:
        self._library = library
        self._states = states
        self._models = models
        self._assembly = assembly
        self._refresher = refresher
        self._host: AssistantHost | None = None
        self._critic: CriticService | None = None
        self._rounds: TakeRounds | None = None
        self._tracked: TrackedTakes | None = None
        self.followers: list[Follower] = []
        self._without_film: set[str] = set()
        """Projects for which takes arrived since their last film."""

    def connect(self, host: AssistantHost, critic: CriticService, rounds: TakeRounds, tracked: TrackedTakes) -> None:
        """Who scores takes that arrive, who waits for several of a scene, and who follows them in a tracker."""
        self._host, self._critic, self._rounds, self._tracked = host, critic, rounds, tracked

    def takes_arrived(self, waiters: Waiters, recipes: Collection[str]) -> None:
        """A take that arrives is what its scene shows from now on; that is not the author's edit.

        Other projects with a scene of the same recipe share it. Of several that were asked for together none replaces
        what the author chose.
        """
        project_ids = {project_id for project_id, _ in waiters}
        for follower in self.followers:
            follower.takes_arrived(project_ids, recipes)
        for project_id in project_ids:
            scene_ids = [scene_id for waiting_id, scene_id in waiters if waiting_id == project_id]
            if self._rounds is not None:
                scene_ids = [each for each in scene_ids if not self._rounds.holds(project_id, each)]
            try:
                clear_choices(self._library, project_id, scene_ids)
            except ProjectMissing:  # in the trash: the repository has the take all the same
                continue
            self._refresher.refresh(project_id)
            self._without_film.add(project_id)
        for project_id in self._states.wanting(recipes):
            self._refresher.refresh(project_id)
        self._assemble_complete()
        if self._critic is not None:
            self._critic.score_arrived({project_id for project_id, _ in waiters})

    def takes_scored(self, project_id: str) -> None:
        """A critic said what it can of the takes that are there."""
        self._refresher.refresh(project_id)
        if self._rounds is not None:
            self._rounds.check(project_id)
        if self._tracked is not None:
            self._tracked.check(project_id)

    def rounds_ended(self, project_id: str) -> None:
        """The best of several takes is shown now: the film may be another."""
        self._without_film.add(project_id)
        self._assemble_complete()

    def takes_judged(self, project_ids: Collection[str]) -> None:
        """A guard said what it sees in takes that are there: a film that waited for it may be made now."""
        for project_id in project_ids:
            self._refresher.refresh(project_id)
            self._without_film.add(project_id)
        self._assemble_complete()

    def job_ended(self, waiters: Waiters) -> None:
        for project_id in {project_id for project_id, _ in waiters}:
            self._refresher.refresh(project_id)
            self._check_rounds(project_id)

    def _check_rounds(self, project_id: str) -> None:
        """Behind whatever lock the end of a job was handled under."""
        if self._host is not None and self._rounds is not None:
            rounds = self._rounds
            self._host.in_background(lambda: rounds.check(project_id))

    def models_changed(self, statuses: Sequence[ModelStatus]) -> None:
        """An engine sent its models: every plan may be another."""
        if self._models.update(statuses):
            self._states.forget_all()
            self._assemble_complete()
        for follower in self.followers:
            follower.engine_answers()

    def _assemble_complete(self) -> None:
        """The film follows by itself where takes arrived and every scene is fresh."""
        for project_id in tuple(self._without_film):
            if self._states.is_complete(project_id):
                self._without_film.discard(project_id)
                self._assembly.want(project_id)
