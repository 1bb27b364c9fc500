"""What follows when something about a project changed: its state is gathered again, and its watchers are notified.

Comes in: a project's id. Goes out: the takes of other projects that match its scenes, recorded as its own too. That is
done here, when takes arrive and storyboards change, and never while something is shown. Does not know what changed.
"""

import logging

from studio.errors import LibraryError
from studio.library.takes import TakeRepository
from studio.rendering.notifier import ChangeNotifier
from studio.views.state_cache import ProjectStateCache

LOG = logging.getLogger(__name__)


class ProjectRefresher:
    def __init__(self, states: ProjectStateCache, takes: TakeRepository, notifier: ChangeNotifier) -> None:
        self._states = states
        self._takes = takes
        self._notifier = notifier

    def refresh(self, project_id: str) -> None:
        self._states.forget(project_id)
        self.record_shared(project_id)
        self._notifier.notify(project_id)

    def record_shared(self, project_id: str) -> None:
        """What a scene shows stays one of its takes, whatever is written next.

        Where that cannot be written now, the take is shown all the same, and recorded at the next change.
        """
        try:
            shared = self._states.state(project_id).shared
            if shared:
                self._takes.give(project_id, shared)
                self._states.forget(project_id)
        except LibraryError as error:  # a locked database, or a project in the trash
            LOG.info("project %s: shared takes are not recorded now: %s", project_id, error)
