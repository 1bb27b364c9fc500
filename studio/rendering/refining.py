"""Which scenes a refiner is asked about right now, and which it had no answer for. In memory.

Comes in: beginnings and ends, from any thread. Goes out: the state by scene, and notified watchers; which refiner a
model has. Does not know refiners or documents: what a scene was asked with is a text that is compared.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.contract.cards import ModelStatus
from studio.rendering.notifier import ChangeNotifier


@dataclass(frozen=True, slots=True)
class RefinerChoice:
    """Which refiner a model's prompts get. ``problem``: why none; "" where there is one. ``in_engine``: an engine runs
    it."""

    name: str = ""
    problem: str = "no refiner is set up"
    in_engine: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Refining:
    """Of one scene. ``failure`` "": it is being refined. ``asked_with``: a text that changes with the scene's words."""

    asked_with: str
    failure: str = ""


class LiveRefinements:
    """Thread-safe. ``choice``: set by who chooses refiners."""

    def __init__(self, notifier: ChangeNotifier) -> None:
        self.choice: Callable[[ModelStatus], RefinerChoice] = lambda status: RefinerChoice()
        self._notifier = notifier
        self._lock = threading.Lock()
        self._scenes: dict[tuple[str, str], Refining] = {}

    def begin(self, project_id: str, scene_id: str, asked_with: str) -> Refining | None:
        """What ``end`` is called with; None where the scene is being refined with these words already."""
        begun = Refining(asked_with)
        with self._lock:
            known = self._scenes.get((project_id, scene_id))
            if known is not None and not known.failure and known.asked_with == asked_with:
                return None
            self._scenes[project_id, scene_id] = begun
        self._notifier.notify(project_id)
        return begun

    def end(self, project_id: str, scene_id: str, begun: Refining, failure: str = "") -> None:
        """``failure``: why there is no answer; "": there is one. A question that a newer one replaced leaves no
        trace."""
        with self._lock:
            if self._scenes.get((project_id, scene_id)) is not begun:
                return
            if failure:
                self._scenes[project_id, scene_id] = Refining(begun.asked_with, failure)
            else:
                del self._scenes[project_id, scene_id]
        self._notifier.notify(project_id)

    def by_scene(self, project_id: str) -> Mapping[str, Refining]:
        with self._lock:
            return {scene_id: state for (owner, scene_id), state in self._scenes.items() if owner == project_id}

    def is_busy(self, project_id: str) -> bool:
        return any(not state.failure for state in self.by_scene(project_id).values())
