"""Follows finished takes in the trackers that the host asked for, behind the renders.

Comes in: which trackers, takes as they are scored. Goes out: records to each tracker, one after another, in a thread of
its own. A tracker that fails is logged and costs no take. Does not know how a tracker keeps anything.
"""

import logging
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.contract.assistants import Critique
from engine.contract.jobs import Take
from studio.errors import PresetError
from studio.tracking.record import TakeRecord, record_of
from studio.tracking.tensorboard import TensorBoardTracker
from studio.tracking.wandb import WandbTracker

LOG = logging.getLogger("studio.tracking")
DEFAULT_PROJECT = "storyboard-studio"


class ExperimentTracker(Protocol):
    def record(self, record: TakeRecord) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """``trackers``: ``tensorboard`` or ``wandb``, perhaps with ``=FOLDER`` or ``=PROJECT``. ``prompts``: whether what
    authors write is recorded too."""

    trackers: tuple[str, ...] = ()
    prompts: bool = False


def tracker_of(name: str, folder: Path) -> ExperimentTracker:
    """``folder``: of a workspace's own runs. Raises PresetError for an unknown name, or what is not installed."""
    kind, _, value = name.partition("=")
    if kind == "tensorboard":
        return TensorBoardTracker(Path(value) if value else folder / "tensorboard")
    if kind == "wandb":
        return WandbTracker(value or DEFAULT_PROJECT, folder)
    raise PresetError("--track", kind, "no such tracker; known: tensorboard, wandb")


class Tracking:
    """``known``: takes that were there before, which are not recorded. Raises PresetError as ``tracker_of`` does."""

    def __init__(self, settings: TrackingSettings, folder: Path, known: set[str]) -> None:
        self._trackers = [tracker_of(name, folder) for name in settings.trackers]
        self._recorded = known
        self._with_prompts = settings.prompts
        self._waiting: queue.SimpleQueue[TakeRecord | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        if self._trackers:
            self._thread.start()

    @property
    def is_off(self) -> bool:
        return not self._trackers

    def take_scored(self, take: Take, critique: Critique | None, film: Path) -> None:
        """Each take once; returns at once."""
        if self._trackers and take.id not in self._recorded:
            self._recorded.add(take.id)
            self._waiting.put(record_of(take, critique, film, self._with_prompts))

    def close(self) -> None:
        """After everything that waits is recorded."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(timeout=60)

    def _work(self) -> None:
        while (record := self._waiting.get()) is not None:
            for tracker in self._trackers:
                try:
                    tracker.record(record)
                except Exception:  # a tracker's own errors are of any kind, and no reason to lose another's record
                    LOG.exception("%s: take %s was not recorded", type(tracker).__name__, record.take_id)
        for tracker in self._trackers:
            tracker.close()
