"""Why a group died, read from what torchrun and Python leave behind."""

import pytest

from engine.service.deaths import MEMORY_ADVICE, describe_death

REPORT = """
============================================================
engine.runtime.worker FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-01-02_03:04:05
  host      : here
  rank      : 1 (local_rank: 1)
  exitcode  : {other} (pid: 4242)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-02_03:04:05
  host      : here
  rank      : 0 (local_rank: 0)
  exitcode  : {first} (pid: 4241)
  error_file: <N/A>
  traceback : Signal
============================================================
"""
CHILD_FAILED = "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:"
TRACEBACK = """[rank0]: Traceback (most recent call last):
[rank0]:   File "loop.py", line 1, in <module>
[rank0]: RuntimeError: Connection closed by peer
"""


@pytest.mark.parametrize(
    ("exit_code", "output", "words"),
    [
        (1, REPORT.format(first=-9, other=1), "rank 0 was killed by signal 9 (SIGKILL)"),
        (1, REPORT.format(first=1, other=-9), "rank 1 was killed by signal 9 (SIGKILL)"),
        (1, TRACEBACK + REPORT.format(first=1, other=-11), "rank 1 was killed by signal 11 (SIGSEGV)"),
        (1, TRACEBACK + REPORT.format(first=1, other=-15) + CHILD_FAILED, "rank 0 stopped with RuntimeError: Conn"),
        (1, "ValueError: no such card\n" + CHILD_FAILED, "a rank stopped with ValueError: no such card"),
        (1, "MemoryError", MEMORY_ADVICE),
        (1, "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried 8 GB", MEMORY_ADVICE),
        (137, "", "the group was killed by signal 9 (SIGKILL)"),
        (3, REPORT.format(first=3, other=1), "rank 1 left with exit code 1"),
        (1, "", "the group left with exit code 1"),
        (None, "", "the group left with exit code None"),
    ],
)
def test_the_reason(exit_code: int | None, output: str, words: str) -> None:
    assert words in describe_death(exit_code, output)
