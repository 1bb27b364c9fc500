"""Ranks that are forked from a process which has imported what a rank imports: an import takes seconds, a fork none.

Comes in: a rank's main function and its environment. Goes out: one process that starts the ranks, reports those that
fail and ends them all when one does, as ``engine.service.spawn_ranks`` does; that one starts the ranks of an engine,
and of a group whose test is about starts and ends. Does not know what ranks do.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, NoReturn

from engine.runtime.worker import die_with_parent
from engine.service.spawn_ranks import rank_environment

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.engine.preloaded"])


class Forked:
    """The ranks' parent, with what is used here of ``subprocess.Popen``.

    ``output``: file descriptor that gets what the ranks write; None: this process's own.
    """

    def __init__(
        self,
        main: Callable[..., None],
        num_ranks: int,
        environment: Mapping[str, str],
        *values: Any,
        output: int | None = None,
    ) -> None:
        target = (main, num_ranks, dict(environment), values, output if output is None else _Passed(output))
        self._process = _CONTEXT.Process(target=_launch, args=target)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def sentinel(self) -> int:
        """A file descriptor that can be read once the process has ended."""
        return self._process.sentinel

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("ranks", timeout or 0.0)
        return self._process.exitcode


def value_of(function: Callable[..., int], *values: Any) -> int:
    """What a function gives in a process of its own."""
    with tempfile.NamedTemporaryFile("r") as file:
        assert Forked(_write_value, 1, os.environ, file.name, function, values).wait(120) == 0
        return int(file.read())


def _write_value(path: str, function: Callable[..., int], values: tuple[Any, ...]) -> None:
    Path(path).write_text(str(function(*values)))


class _Passed:
    """A file descriptor on its way into the forked process."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _received, (DupFd(self.number),)


def _received(passed: Any) -> int:
    return passed.detach()


def _launch(
    main: Callable[..., None],
    num_ranks: int,
    environment: dict[str, str],
    values: tuple[Any, ...],
    output: int | None,
) -> NoReturn:
    """Exits with 0 when every rank has; the first that fails ends the others, and its code is that of all."""
    import tests.engine.preloaded  # noqa: F401  # there already; the forkserver hides why it could not be imported

    die_with_parent()
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    first = 0
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        store = Path(folder) / "store"
        ranks = {_fork(main, rank_environment(rank, num_ranks, store), values): rank for rank in range(num_ranks)}
        while ranks:
            pid, status = os.wait()
            rank, code = ranks.pop(pid), os.waitstatus_to_exitcode(status)
            if code and not first:
                first = code if code > 0 else 128 - code
                print(f"rank {rank} exited with code {code}", file=sys.stderr, flush=True)
                for other in ranks:
                    os.kill(other, signal.SIGKILL)
    os._exit(first)


def _fork(main: Callable[..., None], environment: dict[str, str], values: tuple[Any, ...]) -> int:
    """-> the process id of a rank."""
    if pid := os.fork():
        return pid
    die_with_parent()
    os.environ.update(environment)
    try:
        main(*values)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
