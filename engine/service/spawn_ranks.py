"""Starts the ranks of one group on this machine: ``python -m engine.service.spawn_ranks N -m MODULE [ARGUMENT...]``.

Comes in: the number of ranks and what each runs. Goes out: exit code 0 when all ranks exit with 0, else the code of the
first that fails (128 + n for signal n), after the others are killed; a line on standard error for each that fails.

Ranks get torchrun's environment variables (RANK, WORLD_SIZE ...), so the same worker runs under torchrun on several
machines. In place of torchrun's TCP stores, which listen on every interface and unpickle what they are sent, ranks
meet in a file that only this user can open, and their own sockets bind to loopback. Standard library only, so that
it starts at once. Does not know what the ranks do.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.contract.environment import GUARD_FOLDER_VARIABLE, RANKS_STORE_VARIABLE

REPORT_S = 0.2
"""After a failure: time in which other ranks that fail by themselves are still reported."""
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    num_ranks, command = int(arguments[0]), [sys.executable, *arguments[1:]]
    if folder := os.environ.get(GUARD_FOLDER_VARIABLE):
        return run(num_ranks, command, Path(folder) / "store")
    with tempfile.TemporaryDirectory(prefix="storyboard-ranks-") as folder:
        return run(num_ranks, command, Path(folder) / "store")


def run(num_ranks: int, command: list[str], store: Path) -> int:
    """Runs ``command`` once for each rank. -> exit code as for ``main``."""
    ranks: dict[int, int] = {}
    for rank in range(num_ranks):
        environment = {**os.environ, **rank_environment(rank, num_ranks, store)}
        ranks[subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent).pid] = rank
    while ranks:
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        rank = ranks.pop(pid, None)
        if rank is not None and code != 0:
            _report(rank, code)
            _report_others(ranks)
            for other in ranks:
                os.kill(other, signal.SIGKILL)
            return code if code > 0 else 128 - code
    return 0


def rank_environment(rank: int, num_ranks: int, store: Path) -> dict[str, str]:
    """torchrun's variables for one rank of one machine, the store, and sockets that bind to loopback only."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_ranks),
        "LOCAL_WORLD_SIZE": str(num_ranks),
        RANKS_STORE_VARIABLE: str(store),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }


def _report(rank: int, code: int) -> None:
    print(f"rank {rank} exited with code {code}", file=sys.stderr, flush=True)


def _report_others(ranks: dict[int, int]) -> None:
    """Ranks that fail by themselves at the same moment: the cause may be among them."""
    deadline_s = time.monotonic() + REPORT_S
    while ranks and time.monotonic() < deadline_s:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in ranks:
            _report(ranks.pop(pid), os.waitstatus_to_exitcode(status))
        elif not pid:
            time.sleep(0.01)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
