"""What renders jobs, as the dispatcher sees it (``Group``), and the kind that this machine makes (``ProcessGroup``).

A group is started, gets one job at a time, and may die at any moment; one object is one life. ``ProcessGroup`` is
processes over one loopback socket to rank 0, below the guard, so that none outlives this one: the ranks, or the fake
rank of the tests.

Comes in: settings, and commands of ``engine.contract.wire``. Goes out: events, or ``GroupDied`` with the reason in
words. Does not know the queue, the store or what a job is for.
"""

import asyncio
import hmac
import importlib.util
import logging
import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from engine.contract import wire
from engine.contract.errors import EngineError
from engine.contract.events import EVENT, TERMINAL, Event
from engine.service.deaths import describe_death
from engine.service.settings import GroupKind, Settings

HELLO_TIMEOUT_S = 10.0
REPORT_TIMEOUT_S = 10.0
"""Between the closed socket and the exit of all ranks, before they are killed."""
STOP_TIMEOUT_S = 10.0
NUM_TAIL_LINES = 400
MAX_EVENTS_AHEAD = 1000
"""Events read from the ranks and not yet stored; beyond, the ranks wait."""

_log = logging.getLogger("engine.ranks")


class GroupDied(EngineError):
    """The group is gone; the text says why."""


class Group(Protocol):
    @property
    def alive(self) -> bool:
        """Whether it has not died yet."""
        ...

    async def start(self) -> wire.Hello:
        """Waits until the group can take a job. Raises GroupDied, or OSError where nothing could be started."""
        ...

    async def send(self, command: wire.Command) -> None:
        """A dead group is no error here: ``next_events`` reports its death."""
        ...

    async def next_events(self, timeout_s: float) -> list[Event]:
        """At least one event: all that are there, up to the end of a job. All events come before the death.

        Raises GroupDied, or TimeoutError on silence.
        """
        ...

    async def died(self) -> str:
        """Waits for the group's death. -> the reason."""
        ...

    def kill(self, reason: str) -> None:
        """Ends the group now; ``died`` returns this reason, or that of an earlier ``kill``."""
        ...

    async def stop(self) -> None:
        """Asks the group to leave, and ends it where it does not. Returns when it is gone."""
        ...


def make_group(settings: Settings) -> Group:
    """The kind of group that the settings name."""
    return ProcessGroup(settings, LAUNCHERS[settings.group](settings))


class ProcessGroup:
    """``launcher``: the command that starts all ranks."""

    def __init__(self, settings: Settings, launcher: list[str]) -> None:
        self._settings = settings
        self._launcher = launcher
        self._secret = secrets.token_hex(32)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(MAX_EVENTS_AHEAD)
        self._hello: asyncio.Future[wire.Hello] = asyncio.get_running_loop().create_future()
        self._death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.StreamWriter | None = None
        self._disconnected = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._kill_reason: str | None = None
        self._tail: deque[str] = deque(maxlen=NUM_TAIL_LINES)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> wire.Hello:
        """Starts the processes and waits for rank 0's hello."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=wire.MAX_LINE_BYTES)
        port: int = server.sockets[0].getsockname()[1]
        try:
            await self._spawn(port)
            await self._first_of_hello_and_death()
        finally:
            server.close()
        if self._death.done():
            raise GroupDied(self._death.result())
        return self._hello.result()

    @property
    def alive(self) -> bool:
        return not self._death.done()

    async def died(self) -> str:
        return await asyncio.shield(self._death)

    async def next_events(self, timeout_s: float) -> list[Event]:
        async with asyncio.timeout(timeout_s):  # wait_for may swallow a cancellation
            event = await self._events.get()
        events: list[Event] = []
        while event is not None:
            events.append(event)
            if isinstance(event, TERMINAL) or self._events.empty():
                return events
            event = self._events.get_nowait()
        self._events.put_nowait(None)
        if events:
            return events
        raise GroupDied(await self.died())

    async def send(self, command: wire.Command) -> None:
        """To rank 0."""
        if self._writer is not None:
            self._writer.write(wire.line(command))
            with suppress(ConnectionError):
                await self._writer.drain()

    def kill(self, reason: str) -> None:
        """The guard ends all ranks when its pipe closes."""
        self._kill_reason = self._kill_reason or reason
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def stop(self, grace_s: float = STOP_TIMEOUT_S) -> None:
        """Asks the ranks to leave, and kills those that do not within ``grace_s``."""
        if self._process is None:
            return
        self._kill_reason = self._kill_reason or "the engine was stopped."
        if self._writer is not None and not self._death.done():
            await self.send(wire.Shutdown())
            with suppress(TimeoutError):
                await asyncio.wait_for(self.died(), grace_s)
        self.kill(self._kill_reason)
        await self.died()

    # ---- the processes
    async def _spawn(self, port: int) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine.service.guard", *self._launcher),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment(port),
            start_new_session=True,
        )
        self._tasks.append(asyncio.create_task(self._watch(self._process)))

    def _environment(self, port: int) -> dict[str, str]:
        num_cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (_package_root(), os.environ.get("PYTHONPATH")))),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(max(1, num_cores // self._settings.num_ranks)),
            "GOMP_SPINCOUNT": "0",
            wire.SOCKET_VARIABLE: f"127.0.0.1:{port}",
            wire.SECRET_VARIABLE: self._secret,
            wire.WORKSPACE_VARIABLE: str(self._settings.workspace.root),
            wire.MODEL_CARDS_VARIABLE: str(self._settings.cards),
            wire.MODELS_ROOT_VARIABLE: str(self._settings.models_root),
        }

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Waits for the end of the processes, and sets the reason of the group's death."""
        output = asyncio.create_task(self._read_output(process))
        exited = asyncio.create_task(process.wait())
        closed = asyncio.create_task(self._disconnected.wait())
        await asyncio.wait({exited, closed}, return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait({exited}, timeout=REPORT_TIMEOUT_S)
        if not done:
            self.kill("rank 0 closed its connection, and the ranks did not leave.")
            done, _ = await asyncio.wait({exited}, timeout=REPORT_TIMEOUT_S)
        if not done:
            os.killpg(process.pid, signal.SIGKILL)
            await exited
        await asyncio.wait({output}, timeout=1.0)
        output.cancel()
        closed.cancel()
        self._close_connection()
        if not self._death.done():
            self._death.set_result(self._kill_reason or describe_death(process.returncode, "\n".join(self._tail)))
        await self._events.put(None)

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        """Standard output and error of all ranks, into the log and the tail that ``describe_death`` reads."""
        assert process.stdout is not None, "the process was started with a pipe"
        rest = b""
        while chunk := await process.stdout.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for raw in (*lines, *([rest] if len(rest) > 1 << 16 else [])):
                text = raw.decode(errors="replace").rstrip()
                self._tail.append(text[:4000])
                _log.info("%s", text)
            rest = b"" if len(rest) > 1 << 16 else rest

    async def _first_of_hello_and_death(self) -> None:
        timeout_s = self._settings.start_timeout_s
        done, _ = await asyncio.wait({self._hello, self._death}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self.kill(f"the ranks were not ready after {timeout_s:.0f} s. See logs/ranks.log in the workspace.")
            await self.died()

    # ---- the connection
    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await self._read_hello(reader)
        if hello is None or self._hello.done():
            writer.close()
            return
        self._writer = writer
        self._hello.set_result(hello)
        try:
            await self._read_events(reader)
        finally:
            self._disconnected.set()

    async def _read_hello(self, reader: asyncio.StreamReader) -> wire.Hello | None:
        """None for anything but our rank 0: no valid line in time, or another secret."""
        try:
            raw = await asyncio.wait_for(reader.readline(), HELLO_TIMEOUT_S)
            hello = wire.Hello.model_validate_json(raw)
        except (TimeoutError, ValueError, ConnectionError):
            return None
        return hello if hmac.compare_digest(hello.secret, self._secret) else None

    async def _read_events(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while raw := await self._read_line(reader):
                try:
                    event = EVENT.validate_json(raw)
                except ValidationError as error:
                    self.kill(f"rank 0 sent a line that is no event: {raw[:200]!r} ({error.error_count()} errors).")
                    return
                await self._events.put(event)

    async def _read_line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readline()
        except ValueError:
            self.kill(f"rank 0 sent a line longer than {wire.MAX_LINE_BYTES} bytes.")
            return b""

    def _close_connection(self) -> None:
        self._disconnected.set()
        if self._writer is not None:
            self._writer.close()


def local_ranks(settings: Settings) -> list[str]:
    spawn = [sys.executable, "-m", "engine.service.spawn_ranks", str(settings.num_ranks)]
    return [*spawn, "-m", "engine.runtime.worker"]


def fake_rank(_settings: Settings) -> list[str]:
    return [sys.executable, "-m", "engine.service.fake_worker"]


LAUNCHERS: dict[GroupKind, Callable[[Settings], list[str]]] = {"local": local_ranks, "fake": fake_rank}
"""The commands that start a group's processes, by the kind that the settings name."""


def _package_root() -> str:
    """The folder that ``engine`` is imported from, so that the ranks import the same one."""
    package = importlib.util.find_spec("engine")
    assert package is not None and package.submodule_search_locations, "this file is part of the engine"
    return str(Path(next(iter(package.submodule_search_locations))).resolve().parent)
