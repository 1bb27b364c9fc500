"""Takes of this process, sent to the host's experiment trackers once a critic has said what it can.

Comes in: projects whose takes were scored. Goes out: takes with their critique, each once. Does not know trackers.
"""

from engine.storage.media import MediaStore
from studio.library.critiques import CritiqueRepository
from studio.library.takes import TakeRepository
from studio.tracking.tracking import Tracking


class TrackedTakes:
    def __init__(
        self, takes: TakeRepository, critiques: CritiqueRepository, store: MediaStore, tracking: Tracking
    ) -> None:
        self._takes = takes
        self._critiques = critiques
        self._store = store
        self._tracking = tracking

    def check(self, project_id: str) -> None:
        if self._tracking.is_off:
            return
        critiques = self._critiques.of_project(project_id)
        for stored in self._takes.takes_of(project_id):
            kept = critiques.get(stored.take.id)
            film = self._store.path(stored.take.media)
            self._tracking.take_scored(stored.take, kept.critique if kept else None, film)
