"""Threads for work that waits on others: a few at a time, in order, and never in the way of the process's end.

Comes in: functions without arguments. Goes out: futures. An executor of the standard library is waited for when the
interpreter ends, however long a model takes to answer; these threads are not. Does not know what is done.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

CLOSE_TIMEOUT_S = 5.0
T = TypeVar("T")


class Background:
    """``num_threads``: at most; they are started when there is work."""

    def __init__(self, name: str, num_threads: int) -> None:
        self._name = name
        self._num_threads = num_threads
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """After ``close``: a future that is cancelled."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                future.cancel()
                return future
            self._work.put((future, work))
            if len(self._threads) < self._num_threads:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def close(self) -> None:
        """What waits is cancelled; what runs is given a moment to end."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._work.put(None)
        for thread in self._threads:
            thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            future, work = item
            if self._closed:
                future.cancel()
            elif future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
