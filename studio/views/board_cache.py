"""The board of each project, computed again only when something changed, and a way to wait for its next version.

Comes in: a project's id, its state, the engine's. Goes out: ``BoardView``, versions. Thread-safe. Does not know what
changed.
"""

import threading
from collections.abc import Callable, Iterator, Mapping

from studio.film.assembly import Assembly
from studio.planning.presets import Preset
from studio.rendering.job_tracker import JobTracker
from studio.rendering.models import ModelCatalog
from studio.rendering.notifier import ChangeNotifier
from studio.rendering.refining import LiveRefinements
from studio.views.board_view import board_of
from studio.views.project_state import LiveState
from studio.views.state_cache import ProjectStateCache
from studio.views.types import BoardView

BOARDS_KEPT = 32


class BoardCache:
    def __init__(
        self,
        states: ProjectStateCache,
        tracker: JobTracker,
        assembly: Assembly,
        notifier: ChangeNotifier,
        presets: Mapping[str, Preset],
        models: ModelCatalog,
        refinements: LiveRefinements,
    ) -> None:
        self._states = states
        self._tracker = tracker
        self._assembly = assembly
        self._notifier = notifier
        self._presets = presets
        self._models = models
        self._refinements = refinements
        self.rounds: Callable[[str], Mapping[str, str]] = lambda project_id: {}
        """Of a project, by scene, how far several takes that were asked for together are; set by who makes them."""
        self._keeping = threading.Lock()
        self._boards: dict[str, BoardView] = {}

    def board(self, project_id: str) -> BoardView:
        """Everything the page shows of one project. Raises ProjectMissing."""
        version = self._notifier.version(project_id)
        known = self._boards.get(project_id)
        live = self._live_state(project_id, version)  # before the state, so that no end of a job falls between them
        state = self._states.state(project_id)
        if known is None or known.version != version or known.revision != state.project.revision:
            known = board_of(state, live, self._presets, self._models.all())
            with self._keeping:
                while len(self._boards) >= BOARDS_KEPT:
                    self._boards.pop(next(iter(self._boards)))
                self._boards[project_id] = known
        return known

    def wait_for_change(self, project_id: str, version: int, timeout_s: float) -> int:
        """Blocks until the board's version is not ``version`` or the time is over; the version then."""
        return self._notifier.wait(project_id, version, timeout_s)

    def changes(self, project_id: str, after: int = 0) -> Iterator[int]:
        """Versions as they come, until the studio closes; steps are gathered, at most ten a second."""
        return self._notifier.changes(project_id, after)

    def _live_state(self, project_id: str, version: int) -> LiveState:
        assembling, film_error = self._assembly.state(project_id)
        return LiveState(
            version=version,
            live=self._tracker.live.by_scene(project_id),
            engine=self._tracker.status,
            engine_known=self._tracker.attached,
            unavailable_reason=self._tracker.unavailable_reason,
            last_error=self._tracker.last_error,
            assembling=assembling,
            film_error=film_error,
            refining=self._refinements.by_scene(project_id),
            refiner_of=self._refinements.choice,
            rounds=self.rounds(project_id),
        )
