"""Notifies watchers of a project that something changed: a number that grows, and a way to wait for it.

Comes in: notifications, from any thread. Goes out: versions. Does not know what changed. Numbers begin with the clock,
so that a page which knew an earlier process never waits for a number that is long gone.
"""

import threading
import time
from collections.abc import Iterator

SHORTEST_WAIT_S = 0.1
"""Watchers are notified at most ten times a second."""


class ChangeNotifier:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._first = int(time.time() * 1000)
        self._all = 0
        self._versions: dict[str, int] = {}
        self._closed = threading.Event()

    def version(self, project_id: str) -> int:
        with self._changed:
            return self._version(project_id)

    def notify(self, *project_ids: str) -> None:
        with self._changed:
            for project_id in project_ids:
                self._versions[project_id] = self._versions.get(project_id, 0) + 1
            self._changed.notify_all()

    def notify_all(self) -> None:
        """Something changed that every project shows, such as the engine's state."""
        with self._changed:
            self._all += 1
            self._changed.notify_all()

    def wait(self, project_id: str, version: int, timeout_s: float) -> int:
        """Blocks until the version is another than ``version``, the time is over or the notifier is closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed.is_set() or self._version(project_id) != version, timeout=timeout_s
            )
            return self._version(project_id)

    def changes(self, project_id: str, after: int) -> Iterator[int]:
        """Versions as they come, gathered, until closed. The first at once where it is not ``after``."""
        while not self._closed.is_set():
            version = self.wait(project_id, after, timeout_s=15.0)
            if self._closed.is_set():
                return
            if version != after:
                yield version
                after = version
                self._closed.wait(SHORTEST_WAIT_S)

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def _version(self, project_id: str) -> int:
        return self._first + self._all + self._versions.get(project_id, 0)
