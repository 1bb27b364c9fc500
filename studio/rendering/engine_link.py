"""One engine, followed by two threads: one reads its events, one asks from time to time for its state.

Comes in: an ``Engine``, and the number of the newest event that is known. Goes out: each event, and each change of the
engine's state, to an ``EngineObserver``. An event that cannot be handled now is read again later. Does not know what an
event means, nor takes or projects.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from engine.contract.cards import ModelStatus
from engine.contract.errors import EngineError
from engine.contract.events import TERMINAL, EngineDown, EngineUp, Event, JobRejected, Started
from engine.contract.status import EngineStatus
from studio.errors import DatabaseTrouble
from studio.rendering.engine import Engine

LOG = logging.getLogger(__name__)
POLL_EVERY_S = 5.0
"""How often an engine that sends no events is asked for its state."""
RETRY_S = (0.2, 1.0, 3.0, 10.0)
RETRYABLE_ERRORS = (EngineError, OSError, DatabaseTrouble)
"""Errors that pass: no connection, no room on the disk, a locked database. No take may be lost to them."""


class EngineObserver(Protocol):
    """Who is called by both threads. ``handle_event`` raises one of ``RETRYABLE_ERRORS`` to get the event again."""

    def handle_event(self, event: Event, name: str) -> None: ...
    def on_status(self, status_changed: bool, models: Sequence[ModelStatus] | None) -> None: ...
    def settle(self, engine: Engine) -> None: ...


class EngineLink:
    """Begins with ``start``, ends with ``close``. ``status`` is None while the engine does not answer."""

    def __init__(self, engine: Engine, name: str, cursor: int, observer: EngineObserver) -> None:
        self.engine = engine
        self.name = name
        self.status: EngineStatus | None = None
        self.last_error = ""
        self._asking = threading.Lock()
        """Held while the engine is asked for its state, so that no older answer replaces a newer one."""
        self._cursor = cursor
        self._observer = observer
        self._models_known = False
        """Whether the engine has sent its models; they are asked for again when it refuses a job."""
        self._closed = threading.Event()
        self._poke = threading.Event()
        self._stream = engine.events(cursor)
        self._threads = [
            threading.Thread(target=self._follow, name="studio-follow", daemon=True),
            threading.Thread(target=self._poll, name="studio-look", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._closed.set()
        self._poke.set()
        self._stream.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    def pause(self, paused: bool) -> None:
        with self._asking:
            self.status = self.engine.pause() if paused else self.engine.resume()

    def _follow(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                for event in self._stream:
                    self._handle_event(event)
                    failures = 0
                    self._clear_error()
            except RETRYABLE_ERRORS as error:
                LOG.warning("event %d of the engine is handled again later: %s", self._cursor + 1, error)
                self.last_error = str(error)
                self._observer.on_status(True, None)
            self._stream.close()
            self._closed.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
            failures += 1
            if not self._closed.is_set():
                self._stream = self.engine.events(self._cursor)

    def _clear_error(self) -> None:
        if self.last_error:
            self.last_error = ""
            self._observer.on_status(True, None)

    def _handle_event(self, event: Event) -> None:
        try:
            self._observer.handle_event(event, self.name)
        except RETRYABLE_ERRORS:
            raise
        except Exception:
            LOG.exception("event %d is skipped: %s", event.seq, event)
        self._cursor = event.seq
        if isinstance(event, JobRejected):
            self._models_known = False
        if isinstance(event, (EngineUp, EngineDown, Started, *TERMINAL)):
            self._poke.set()

    def _poll(self) -> None:
        while not self._closed.is_set():
            try:
                self._poll_once()
            except DatabaseTrouble as error:
                self._models_known = False
                LOG.warning("the engine is asked again later: %s", error)
            self._poke.wait(POLL_EVERY_S)
            self._poke.clear()

    def _poll_once(self) -> None:
        models: Sequence[ModelStatus] | None = None
        was_silent = self.status is None
        try:
            with self._asking:
                self._set_status(self.engine.status())
            if not self._models_known or was_silent:
                self._models_known = True
                models = self.engine.models()
                self._observer.settle(self.engine)
        except EngineError as error:
            self._models_known = False
            self._set_status(None)
            LOG.info("the engine does not answer: %s", error)
        except RuntimeError as error:  # a client that was closed under us
            self._set_status(None)
            LOG.warning("the engine cannot be asked: %s", error)
        self._observer.on_status(False, models)

    def _set_status(self, status: EngineStatus | None) -> None:
        """Reported at once: an engine may end between this answer and the next question of the same poll."""
        before, self.status = self.status, status
        if _shown(before) != _shown(status):
            self._observer.on_status(True, None)


def _shown(status: EngineStatus | None) -> tuple[object, ...]:
    """The fields of a status that are shown; its event number is not."""
    return (status.group, status.device, status.num_ranks, status.paused) if status else ()
