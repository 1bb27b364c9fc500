"""The process of one rank: ``python -m engine.runtime.worker``, started by ``engine.service.spawn_ranks``.

Comes in: torchrun's environment variables. Goes out: exit code 0 when asked to go, 1 for anything unknown, with the
traceback on standard error. Crash-only: the service starts the group again. Does not know jobs; torch is imported once
the environment is as it should be.
"""

import ctypes
import os
import signal
import sys
import traceback

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """SIGKILL when the parent dies, so that no rank is ever an orphan (Linux)."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def prepare_environment() -> int:
    """Threads that wait without burning a core, and an equal share of cores for each rank. -> number of threads."""
    num_ranks = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    num_threads = max(1, len(os.sched_getaffinity(0)) // num_ranks)
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return num_threads


def main(num_threads: int | None = None) -> None:
    """num_threads: an equal share of the cores where it is not given."""
    die_with_parent()
    share = prepare_environment()
    try:
        from engine.runtime.loop import work

        work(num_threads or share)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)  # no goodbye between ranks: a rank that is still inside a collective would hang


if __name__ == "__main__":
    main()
