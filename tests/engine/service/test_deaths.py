"""Why a group died, read from what the ranks leave behind."""

import pytest

from engine.service.deaths import MEMORY_ADVICE, describe_death

REPORT = "rank 1 exited with code {other}\nrank 0 exited with code {first}\n"
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
        (1, TRACEBACK + REPORT.format(first=1, other=-15), "rank 0 stopped with RuntimeError: Conn"),
        (1, "ValueError: no such card\n", "a rank stopped with ValueError: no such card"),
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
