"""Starting an engine beside the studio or in this process, finding the one that runs, and stopping it.

Comes in: a workspace. Goes out: an ``EngineClient`` that answers. Does not know jobs, pages or command lines.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine.client.client import EngineClient
from engine.contract.errors import EngineError, Unreachable
from engine.service.lock import holder_of
from engine.service.settings import GroupKind as GroupKind
from engine.storage.workspace import Workspace

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
ALREADY_RUNNING = 3

_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Engines started by this process, so that they are reaped when they end; a pipe to each keeps those alive that shall
end with this process."""


def ensure_engine(
    workspace: Workspace,
    *,
    ranks: int | None = None,
    cards: Path | None = None,
    models_root: Path | None = None,
    port: int = 0,
    die_with_parent: bool = False,
    group: GroupKind = "local",
) -> EngineClient:
    """The engine of a workspace: the one that runs, or a new one. Its group of ranks may still be loading.

    ``ranks`` None: one for each GPU, else one. A running engine is taken as it is, whatever is asked here. Raises
    EngineError with the last words of an engine that does not start.
    """
    for pid, child in tuple(_children.items()):  # other threads start engines too
        if child.poll() is not None:
            _children.pop(pid, None)
    found = attach(workspace)
    if found is not None:
        return found
    command = [sys.executable, "-m", "engine.service", "--workspace", str(workspace.root), "--group", group]
    command += ["--ranks", str(ranks or 0), "--port", str(port)]
    command += ["--cards", str(cards)] if cards else []
    command += ["--models-root", str(models_root)] if models_root else []
    return _start(workspace, command, die_with_parent)


def run_engine(arguments: list[str]) -> int:
    """Runs an engine in this process until it is stopped, with the flags of ``python -m engine.service``."""
    from engine.service.__main__ import main  # here: who only attaches to an engine needs no server

    return main(arguments)


def attach(workspace: Workspace) -> EngineClient | None:
    """The engine that runs in a workspace; None where none answers."""
    try:
        url = str(json.loads(workspace.engine_address.read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    client = EngineClient(url, workspace.token())
    if client.healthy():
        return client
    client.close()
    return None


def stop_engine(workspace: Workspace) -> bool:
    """Stops the engine of a workspace; a running job goes on at the next start. -> whether one was running.

    The lock's holder is asked, so that no other process is ever signalled, and killed where it does not leave.
    """
    pid = holder_of(workspace)
    if not pid:
        return False
    _signal(pid, signal.SIGTERM)
    if not _wait_until_free(workspace, STOP_TIMEOUT_S):
        _signal(pid, signal.SIGKILL)
        _wait_until_free(workspace, STOP_TIMEOUT_S)
    child = _children.pop(pid, None)
    if child is not None:
        child.wait(STOP_TIMEOUT_S)
        if child.stdin is not None:
            child.stdin.close()
    return True


def _start(workspace: Workspace, command: list[str], die_with_parent: bool) -> EngineClient:
    ready, write_end = os.pipe()
    command += ["--ready-fd", str(write_end)] + (["--until-stdin-closes"] if die_with_parent else [])
    log = (workspace.logs / "start.log").open("wb")
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if die_with_parent else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write_end,),
            start_new_session=True,
        )
    finally:
        os.close(write_end)
        log.close()
    _children[child.pid] = child
    try:
        url = _read_address(ready)
    finally:
        os.close(ready)
    if url is not None:
        return EngineClient(url, workspace.token())
    return _not_started(workspace, child)


def _read_address(ready: int) -> str | None:
    """What the new engine writes when it answers; None where it ended, or did not answer in time."""
    deadline_s, text = time.monotonic() + START_TIMEOUT_S, b""
    while not text.endswith(b"\n"):
        readable, _, _ = select.select([ready], [], [], max(0.0, deadline_s - time.monotonic()))
        chunk = os.read(ready, 4096) if readable else b""
        if not chunk:
            return None
        text += chunk
    return text.decode().strip()


def _not_started(workspace: Workspace, child: "subprocess.Popen[bytes]") -> EngineClient:
    """Another may have been first: then that one is taken."""
    try:
        code = child.wait(1.0)
    except subprocess.TimeoutExpired:
        child.kill()
        code = child.wait()
    _children.pop(child.pid, None)
    if code == ALREADY_RUNNING:
        return _wait_for_other(workspace)
    output = (workspace.logs / "start.log").read_text(errors="replace").strip()
    raise EngineError(f"the engine did not start (exit code {code}): {output[-2000:] or 'it said nothing.'}")


def _wait_for_other(workspace: Workspace) -> EngineClient:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        found = attach(workspace)
        if found is not None:
            return found
        time.sleep(0.1)
    holder = f"process {holder_of(workspace)} has it and does not answer. Stop that process, or use another workspace."
    raise Unreachable(f"{workspace.root}: {holder}")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_until_free(workspace: Workspace, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while holder_of(workspace) is not None:
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True
