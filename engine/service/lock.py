"""One engine per workspace: a lock that the operating system releases however its holder dies.

Comes in: a workspace. Goes out: the lock, or who holds it. Does not know what an engine does.
"""

import fcntl
import os
import time
from contextlib import suppress
from io import TextIOWrapper

from engine.contract.errors import EngineError
from engine.storage.workspace import Workspace


class AlreadyRunning(EngineError):
    """Another engine has this workspace."""


class WorkspaceLock:
    """A context: held while open. Raises AlreadyRunning."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._file: TextIOWrapper | None = None

    def __enter__(self) -> None:
        file = (self._workspace.root / "engine.lock").open("a+")
        if not _take(file):
            holder = holder_of(self._workspace)
            file.close()
            raise AlreadyRunning(
                f"{self._workspace.root}: another engine (process {holder}) has this workspace. Use that one, stop it, "
                "or choose another --workspace."
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _take(file: TextIOWrapper) -> bool:
    """Tries a few times: ``holder_of`` elsewhere has the lock for a moment while it looks."""
    for _ in range(20):
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def holder_of(workspace: Workspace) -> int | None:
    """The process that holds the lock; None where it is free. Shared, so that two who look do not see each other."""
    try:
        with (workspace.root / "engine.lock").open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                return int(file.read() or 0)
    except (FileNotFoundError, ValueError):
        return None
    return None
