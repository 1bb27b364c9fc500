"""Ranks that are forked from a process which has imported what a rank imports: an import takes seconds, a fork none.

Comes in: a rank's main function and its environment. Goes out: one process that starts the ranks and ends them all when
one fails, as ``engine.service.spawn_ranks`` does; that one starts the ranks of an engine, and of a group whose test is
about starts and ends. Does not know what ranks do.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from engine.runtime.worker import die_with_parent
from engine.service.spawn_ranks import rank_environment

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.engine.preloaded"])


class Forked:
    """The ranks' parent, with what is used here of ``subprocess.Popen``."""

    def __init__(self, main: Callable[..., None], num_ranks: int, environment: Mapping[str, str], *values: Any) -> None:
        self._process = _CONTEXT.Process(target=_launch, args=(main, num_ranks, dict(environment), values))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("ranks", timeout or 0.0)
        return self._process.exitcode


def _launch(
    main: Callable[..., None], num_ranks: int, environment: dict[str, str], values: tuple[Any, ...]
) -> NoReturn:
    """Exits with 0 when every rank has; the first that fails ends the others."""
    die_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    code = 0
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        store = Path(folder) / "store"
        ranks = {_fork(main, rank_environment(rank, num_ranks, store), values) for rank in range(num_ranks)}
        while ranks:
            pid, status = os.wait()
            ranks.discard(pid)
            if status and not code:
                code = 1
                for other in ranks:
                    os.kill(other, signal.SIGKILL)
    os._exit(code)


def _fork(main: Callable[..., None], environment: dict[str, str], values: tuple[Any, ...]) -> int:
    """-> the process id of a rank."""
    if pid := os.fork():
        return pid
    os.environ.update(environment)
    try:
        main(*values)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
