"""An engine in this process, or in one that is forked: what a service process does, without its start of seconds.

Comes in: a workspace, folders of models, the settings that a test cares about. Goes out: an address that anything
attaches to as to any engine (``engine.json`` in the workspace), and a client. API, store, dispatcher and the ranks'
line are those of a service; its process, its lock, its logs and its guard are not there in an ``EngineThread``. A
forked engine has all of them: only its imports are those of the process that it is forked from.
"""

import asyncio
import dataclasses
import os
import sys
import threading
from pathlib import Path
from typing import Any

from sse_starlette.sse import AppStatus

from engine.client.client import EngineClient
from engine.runtime import worker
from engine.service import fake_worker
from engine.service.__main__ import bind, main, make_server
from engine.service.groups import ProcessGroup
from engine.service.launch import attach
from engine.service.settings import GroupKind, Settings, default_roots
from engine.storage.workspace import Workspace
from tests.engine.factories import wait_until
from tests.engine.forked import Forked

QUICK_BACK_OFF_S = (0.01,)


class EngineThread:
    """``with EngineThread(workspace) as client``: an engine until the block is left."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        group: GroupKind = "fake",
        ranks: int = 1,
        cards: Path | None = None,
        models_root: Path | None = None,
        **settings: Any,
    ) -> None:
        given_cards, given_root = default_roots()
        settings = {"back_off_s": QUICK_BACK_OFF_S, "num_ranks": ranks, "group": group, **settings}
        self.settings = Settings(workspace, cards or given_cards, models_root or given_root, **settings)

    def __enter__(self) -> EngineClient:
        workspace = self.settings.workspace
        workspace.engine_address.unlink(missing_ok=True)
        self._listening = bind(self.settings)
        self._server = make_server(self.settings, self._listening, ForkedGroup)
        self._thread = threading.Thread(target=self._server.run, args=([self._listening],), name="engine", daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive(), "the engine")
        host, port = self._listening.getsockname()
        self.client = EngineClient(f"http://{host}:{port}", workspace.token())
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.handle_exit(15, None)
        self._thread.join(30)
        self._listening.close()
        AppStatus.should_exit = False  # else every later server of this process ends its event streams at once
        assert not self._thread.is_alive(), "the engine does not end"


def forked_engine(workspace: Workspace, *, group: GroupKind = "fake", ranks: int = 1, **folders: Path) -> EngineClient:
    """The engine of a workspace as ``ensure_engine`` gives it: the one that runs, or a new process."""
    if found := attach(workspace):
        return found
    command = ["--workspace", str(workspace.root), "--group", group, "--ranks", str(ranks)]
    for name, folder in folders.items():
        command += [f"--{name.replace('_', '-')}", str(folder)]
    with (workspace.logs / "start.log").open("wb") as log:
        forked = Forked(_serve, 1, os.environ, command, output=log.fileno())
    clients: list[EngineClient] = []

    def answers() -> bool:
        assert forked.poll() is None, (workspace.logs / "start.log").read_text()
        clients.extend(filter(None, [attach(workspace)]))
        return bool(clients)

    wait_until(answers, "the engine")
    return clients[0]


def _serve(command: list[str]) -> None:
    sys.exit(main(command))


class ForkedGroup(ProcessGroup):
    """Ranks that are forked: with their line, their output and their end, and without the guard."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, [])
        self._num_ranks, self._main, self._values = _ranks_of(settings)

    async def _spawn(self, port: int) -> None:
        process = await asyncio.to_thread(self._fork, port)
        self._process: Any = process
        self._tasks.append(asyncio.create_task(self._watch(self._process)))

    def _fork(self, port: int) -> "AsyncForked":
        reading, writing = os.pipe()
        try:
            forked = Forked(self._main, self._num_ranks, self._environment(port), *self._values, output=writing)
        finally:
            os.close(writing)
        return AsyncForked(forked, reading)


def _ranks_of(settings: Settings) -> tuple[int, Any, tuple[int, ...]]:
    """-> how many, what each runs, and with what: real ranks compute on one thread, for many run side by side."""
    return (1, fake_worker.main, ()) if settings.group == "fake" else (settings.num_ranks, worker.main, (1,))


class AsyncForked:
    """What ``ProcessGroup`` uses of ``asyncio.subprocess.Process``; ``stdin`` is the guard's pipe there."""

    def __init__(self, forked: Forked, output: int) -> None:
        self._forked, self.pid, self.stdin, self.stdout = forked, forked.pid, _Pipe(forked), _Output(output)

    @property
    def returncode(self) -> int | None:
        return self._forked.poll()

    async def wait(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._forked.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._forked.sentinel)
        return self._forked.wait()


@dataclasses.dataclass
class _Pipe:
    forked: Forked

    def close(self) -> None:
        """What the guard does when its pipe closes; the ranks die with their parent."""
        self.forked.kill()


class _Output:
    def __init__(self, number: int) -> None:
        self._number = number

    async def read(self, num_bytes: int) -> bytes:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._number, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._number)
        content = os.read(self._number, num_bytes)
        if not content:
            os.close(self._number)
        return content
