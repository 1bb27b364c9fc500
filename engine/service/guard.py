"""The guard: runs one command and makes sure that none of its processes outlives the caller.

Comes in: a command as arguments, and a pipe on standard input. Goes out: its exit code (128 + n for signal n).
When the pipe closes (its writer closed it, or died in any way), every process below the guard is killed. The command
gets a private folder, which goes with it. Standard library only, so that it starts at once. Does not know what it
guards.

The guard adopts orphans among its descendants (``PR_SET_CHILD_SUBREAPER``), so that ranks in sessions of their own are
found when what started them is gone.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from engine.contract.environment import GUARD_FOLDER_VARIABLE

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    folder = tempfile.mkdtemp(prefix="storyboard-group-")
    environment = {**os.environ, GUARD_FOLDER_VARIABLE: folder}
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, preexec_fn=_die_with_parent)
    threading.Thread(target=_kill_when_pipe_closes, args=(folder,), daemon=True).start()
    code = _wait_for(child.pid)
    _leave_nothing(folder)
    return code


def _leave_nothing(folder: str) -> None:
    kill_all_below(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _wait_for(pid: int) -> int:
    """Reaps children, adopted ones too, until ``pid`` is among them."""
    while True:
        reaped, status = os.wait()
        if reaped == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _kill_when_pipe_closes(folder: str) -> None:
    while os.read(0, 4096):
        continue
    _leave_nothing(folder)
    os._exit(128 + signal.SIGKILL)


def kill_all_below(root: int) -> None:
    """Kills all descendants and waits until they are gone."""
    while pids := _living_below(root):
        for pid in pids:
            _kill(pid)
        _reap()
        time.sleep(0.005)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def _living_below(root: int) -> list[int]:
    """Process ids of all descendants that are not zombies, from ``/proc``."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _stat_fields(folder)
        if fields is not None and fields[0] not in ("Z", "X"):
            parents[int(folder.name)] = int(fields[1])
    return [pid for pid in parents if pid != root and _is_below(pid, root, parents)]


def _stat_fields(folder: Path) -> list[str] | None:
    """State, parent and so on: what follows the name in brackets, which may hold anything."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    seen: set[int] = set()
    while pid in parents and pid not in seen:
        seen.add(pid)
        pid = parents[pid]
        if pid == root:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
