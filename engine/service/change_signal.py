"""Wakes everything that waits for the store to change, at once and from any thread.

Comes in: ``notify()``. Goes out: wake-ups on one event loop. Does not know what changed; everyone reads the store.
"""

import asyncio
import contextlib
from collections.abc import Generator


class ChangeSignal:
    """Every subscriber has an event of its own, so that a slow one holds up nobody."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscribers: set[asyncio.Event] = set()
        self.closed = False

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Names the loop on which subscribers wait; before this, ``notify`` does nothing."""
        self._loop = loop

    @contextlib.contextmanager
    def subscribe(self) -> Generator[asyncio.Event]:
        """An event that is set after each change; clear it, then read. Call on the loop."""
        event = asyncio.Event()
        self._subscribers.add(event)
        try:
            yield event
        finally:
            self._subscribers.discard(event)

    def notify(self) -> None:
        """Wakes all subscribers. Any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Ends all subscriptions: the process ends."""
        self.closed = True
        self.notify()

    def _wake(self) -> None:
        for event in self._subscribers:
            event.set()
