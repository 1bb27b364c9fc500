"""The guard: what it runs never outlives it, nor whoever holds its pipe."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.factories import wait_until

SPAWN = "import subprocess, sys; child = subprocess.Popen(['sleep', '60'], start_new_session={own}); "
STORY = SPAWN + "open(sys.argv[1], 'w').write(str(child.pid)); {end}"


def guarded(code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "engine.service.guard", sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(("code", "expected"), [("raise SystemExit(0)", 0), ("raise SystemExit(7)", 7)])
def test_the_exit_code_is_the_commands(code: str, expected: int) -> None:
    assert guarded(code).wait(30) == expected


def test_a_signal_is_told_as_shells_do() -> None:
    assert guarded("import os; os.kill(os.getpid(), 9)").wait(30) == 128 + signal.SIGKILL


@pytest.mark.parametrize("own_session", [True, False])
@pytest.mark.parametrize("end", ["raise SystemExit(0)", "child.wait()"], ids=["starter gone", "starter alive"])
def test_nothing_is_left_when_the_pipe_closes_or_the_command_ends(tmp_path: Path, own_session: bool, end: str) -> None:
    note = tmp_path / "pid"
    guard = guarded(STORY.format(own=own_session, end=end), str(note))
    wait_until(lambda: note.exists() and note.read_text() != "", "the grandchild")
    pid = int(note.read_text())
    guard.stdin.close()
    guard.wait(30)
    assert not lives(pid)


def test_nothing_is_left_when_the_guards_starter_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    story = STORY.format(own=True, end="child.wait()")
    guard = [sys.executable, "-m", "engine.service.guard", sys.executable, "-c", story, str(note)]
    starter = f"import subprocess; subprocess.Popen({guard!r}, stdin=subprocess.PIPE).wait()"
    process = subprocess.Popen([sys.executable, "-c", starter])
    wait_until(lambda: note.exists() and note.read_text() != "", "the grandchild")
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    wait_until(lambda: not lives(int(note.read_text())), "the grandchild's end")
