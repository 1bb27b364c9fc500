"""The engine's events as an iterator that reconnects by itself.

Comes in: an HTTP client of its own, the number of the last event that is known. Goes out: events in order, each once.
An event of a ``type`` that this version does not know comes from a newer engine: it is skipped, with one log line for
each type, and the stream goes on. Does not know jobs or what the events mean.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
from pydantic import BaseModel, ValidationError

from engine.client.answers import error_of, read_answer
from engine.contract.errors import Rejected
from engine.contract.events import EVENT, EVENT_TYPES, Event

SILENCE_TIMEOUT_S = 45.0
"""Longest silence of the event stream, keep-alive comments included, before it is opened again."""
RETRY_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Waits between attempts to reach the event stream; the last one repeats."""


LOG = logging.getLogger(__name__)


class _Newer(BaseModel):
    """What every event has, of whatever version."""

    type: str
    seq: int
    time_s: float


class EventStream(Iterator[Event]):
    """Events in order, each once; reconnects by itself with ``Last-Event-ID`` until closed, from any thread.

    Raises Rejected where the token is refused, EngineError where something comes that no engine sends; an engine that
    does not answer is waited for. Event types that only a newer engine knows are logged once and left out.

    ``http`` is the stream's own. An iteration that is left midway ends when the garbage collector comes to it, which
    may be amid another call of the same thread; were that call's connections the same, it would wait for itself.
    """

    def __init__(self, http: httpx.Client, after: int, on_close: "Callable[[EventStream], None]") -> None:
        self.last_seq = after
        self._http = http
        self._on_close = on_close
        self._logged: set[str] = set()
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._events = self._follow()

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Ends the iteration, also while another thread waits in it."""
        self._closed.set()
        self._on_close(self)
        sock = self._socket
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _follow(self) -> Iterator[Event]:
        failures = 0
        with self._http:
            while not self._closed.is_set():
                try:
                    for event in self._once():
                        failures = 0
                        yield event
                except (httpx.TransportError, httpx.StreamError, OSError):
                    if self._closed.is_set():
                        return
                failures += 1
                self._closed.wait(RETRY_S[min(failures, len(RETRY_S)) - 1])

    def _once(self) -> Iterator[Event]:
        """The events of one connection."""
        timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=5.0)
        headers = {"Last-Event-ID": str(self.last_seq), "Accept": "text/event-stream"}
        with self._http.stream("GET", "/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != 200:
                answer.read()
                self._refused(answer)
                return
            self._socket = answer.extensions["network_stream"].get_extra_info("socket")
            try:
                if self._closed.is_set():  # closed before there was a socket to shut
                    return
                for data in _sse_data(answer.iter_lines()):
                    if self._closed.is_set():
                        return
                    event = self._newer(data) or read_answer(EVENT, data, str(answer.request.url))
                    if event.seq > self.last_seq:
                        self.last_seq = event.seq
                        if not isinstance(event, _Newer):
                            yield event
            finally:
                self._socket = None

    def _newer(self, data: str) -> "_Newer | None":
        """An event of a type that this version does not know; None: any other text."""
        try:
            event = _Newer.model_validate_json(data)
        except ValidationError:
            return None
        if event.type in EVENT_TYPES:
            return None
        if event.type not in self._logged:
            self._logged.add(event.type)
            LOG.warning('events of type "%s" are skipped: the engine is newer than this program', event.type)
        return event

    def _refused(self, answer: httpx.Response) -> None:
        error = error_of(answer)
        if isinstance(error, Rejected) and error.code == "cursor":
            self.last_seq = 0  # the engine's history is younger than ours: it started again
        elif answer.status_code < 500:
            raise error


def _sse_data(lines: Iterator[str]) -> Iterator[str]:
    """The ``data`` of each server-sent event (WHATWG HTML, section 9.2); comments and other fields are left out."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line == "" and data:
            yield "\n".join(data)
            data.clear()
