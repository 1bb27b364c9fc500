"""What follows when something about a project changed: its state is gathered anew, and who watches it is notified.

Comes in: a project's id. Goes out: nothing. Does not know what changed.
"""

from studio.rendering.notifier import ChangeNotifier
from studio.views.state_cache import ProjectStateCache


class ProjectRefresher:
    def __init__(self, states: ProjectStateCache, notifier: ChangeNotifier) -> None:
        self._states = states
        self._notifier = notifier

    def refresh(self, project_id: str) -> None:
        self._states.forget(project_id)
        self._notifier.notify(project_id)
