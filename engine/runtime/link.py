"""The connection of rank 0 to the engine service: commands in, events out, over one loopback socket.

Comes in: the lines of ``engine.contract.wire``. Goes out: jobs to run, and flags (cancel, pause, leave) that the
ranks read at each step boundary. The end of the connection ends this process. Does not know ranks, models or tensors.
"""

import os
import queue
import socket
import sys
import threading
from collections.abc import Callable

from pydantic import ValidationError

from engine.contract.errors import Cancelled
from engine.contract.events import EngineEvent, JobEvent
from engine.contract.values import Value
from engine.contract.wire import (
    COMMAND,
    MAX_LINE_BYTES,
    SECRET_VARIABLE,
    SOCKET_VARIABLE,
    CancelJob,
    Command,
    Hello,
    Pause,
    Resume,
    RunAssistant,
    RunJob,
    Shutdown,
    Upcoming,
    line,
)

GO, CANCEL, WAIT, LEAVE = range(4)

Send = Callable[[JobEvent | EngineEvent], None]


class Leaving(Exception):
    """The service shuts the ranks down; the running job is saved, not finished."""


class ControlFlags:
    """What the author requested. Written by the reading thread, read at step boundaries."""

    def __init__(self) -> None:
        self.cancelled: set[str] = set()
        self.paused = False
        self.leaving = False
        self.upcoming: Upcoming | None = None
        """First frames that jobs behind a running one will need."""

    def requested_action(self, job_id: str) -> int:
        if self.leaving:
            return LEAVE
        if job_id in self.cancelled:
            return CANCEL
        return WAIT if self.paused else GO


def raise_for_action(action: int) -> None:
    """Raises Cancelled or Leaving where the agreed action is one of them."""
    if action == CANCEL:
        raise Cancelled("the author stopped the job")
    if action == LEAVE:
        raise Leaving


class Link:
    """The open connection. A thread reads it; ``jobs`` holds the jobs to run, and None after the last."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.flags = connection, ControlFlags()
        self.jobs: queue.Queue[RunJob | RunAssistant | None] = queue.Queue()
        self._sending = threading.Lock()
        threading.Thread(target=self._read, daemon=True, name="service line").start()

    def send(self, message: Value) -> None:
        try:
            with self._sending:
                self.connection.sendall(line(message))
        except OSError as error:
            leave_hard(f"the engine service cannot be reached any more ({error})")

    def _read(self) -> None:
        with self.connection.makefile("rb") as lines:
            while content := self._next_line(lines.readline):
                try:
                    self._take(COMMAND.validate_json(content))
                except ValidationError as error:
                    leave_hard(f"the engine service sent a line that cannot be read: {error}")
        leave_hard("the engine service is gone")

    @staticmethod
    def _next_line(readline: Callable[[int], bytes]) -> bytes:
        try:
            content = readline(MAX_LINE_BYTES + 1)
        except OSError:
            return b""
        if len(content) > MAX_LINE_BYTES:
            leave_hard(f"the engine service sent a line of more than {MAX_LINE_BYTES} bytes")
        return content if content.endswith(b"\n") else b""

    def _take(self, command: Command) -> None:
        match command:
            case RunJob() | RunAssistant():
                self.flags.cancelled.discard(command.job.id)
                self.jobs.put(command)
            case Upcoming():
                self.flags.upcoming = command
            case CancelJob():
                self.flags.cancelled.add(command.job_id)
            case Pause():
                self.flags.paused = True
            case Resume():
                self.flags.paused = False
            case Shutdown():
                self.flags.leaving = True
                self.jobs.put(None)


def connect_link(device: str, num_ranks: int) -> Link:
    """Connects to the service that the environment names, and sends Hello."""
    host, _, port = os.environ[SOCKET_VARIABLE].rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link = Link(connection)
    link.send(Hello(secret=os.environ[SECRET_VARIABLE], device=device, num_ranks=num_ranks, pid=os.getpid()))
    return link


def leave_hard(reason: str) -> None:
    """Ends this process now, without waiting for collectives that may never end; the other ranks are killed."""
    print(f"rank leaves: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
