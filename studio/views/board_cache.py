"""The board of each project, painted anew only where something changed.

Comes in: a project's id, and what is known when. Goes out: ``BoardView``. Thread-safe. Does not know what changed.
"""

import threading
from collections.abc import Mapping

from studio.film.assembly import Assembly
from studio.planning.presets import Preset
from studio.rendering.job_tracker import JobTracker
from studio.rendering.models import ModelCatalog
from studio.rendering.notifier import ChangeNotifier
from studio.views.board_view import board_of
from studio.views.project_state import LiveState
from studio.views.state_cache import ProjectStateCache
from studio.views.types import BoardView

BOARDS_KEPT = 32


class BoardCache:
    def __init__(
        self,
        facts: ProjectStateCache,
        rendering: JobTracker,
        assembly: Assembly,
        bell: ChangeNotifier,
        presets: Mapping[str, Preset],
        models: ModelCatalog,
    ) -> None:
        self._facts = facts
        self._rendering = rendering
        self._assembly = assembly
        self._bell = bell
        self._presets = presets
        self._models = models
        self._keeping = threading.Lock()
        self._boards: dict[str, BoardView] = {}

    def board(self, project_id: str) -> BoardView:
        """Raises ProjectMissing."""
        version = self._bell.version(project_id)
        known = self._boards.get(project_id)
        moment = self._moment(project_id, version)  # before the facts, so that no end of a job falls between them
        facts = self._facts.facts(project_id)
        if known is None or known.version != version or known.revision != facts.project.revision:
            known = board_of(facts, moment, self._presets, self._models.all())
            with self._keeping:
                while len(self._boards) >= BOARDS_KEPT:
                    self._boards.pop(next(iter(self._boards)))
                self._boards[project_id] = known
        return known

    def _moment(self, project_id: str, version: int) -> LiveState:
        assembling, film_error = self._assembly.state(project_id)
        rendering = self._rendering
        return LiveState(
            version=version,
            live=rendering.live.by_scene(project_id),
            engine=rendering.status,
            engine_known=rendering.attached,
            unavailable_reason=rendering.unavailable_reason,
            last_error=rendering.last_error,
            assembling=assembling,
            film_error=film_error,
        )
