"""Kill -9 and other ends of the service itself: the queue comes back, the job goes on, and no rank is left behind."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.client.client import EngineClient
from engine.contract.errors import EngineError, Unreachable
from engine.contract.events import EngineUp, Event, Interrupted
from engine.service.__main__ import main
from engine.service.launch import attach, ensure_engine, stop_engine
from engine.service.lock import holder_of
from engine.service.settings import heads_of_models, num_visible_gpus, usable_ranks
from engine.storage.media import file_sha256
from engine.storage.workspace import Workspace
from tests.engine.conftest import StartEngine
from tests.engine.factories import (
    a_job,
    a_picture,
    events_of,
    milestones,
    processes_of,
    until,
    wait_for_step,
    wait_until,
)

SLOW = "0.05 s per step"


def kill_service(workspace: Workspace) -> None:
    pid = holder_of(workspace)
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: holder_of(workspace) is None, "the service's end")


def test_kill_9_of_the_service_loses_nothing(start: StartEngine, workspace: Workspace) -> None:
    client = start()
    running, waiting, dropped = a_job(f"running {SLOW}", num_steps=40), a_job("waiting"), a_job("dropped")
    for job in (running, waiting, dropped):
        client.submit(job)
    client.cancel(dropped.id)
    wait_for_step(client, running.id, step=3)
    last_seq = client.status().last_seq
    kill_service(workspace)
    wait_until(lambda: not processes_of(workspace.root), "the ranks' end")
    again = start()
    assert again.url == client.url, "the address outlives a restart"
    seen = events_of(again, running.id)
    assert milestones(seen) == ["queued", "started", "interrupted", "started", "finished"]
    assert all("engine ended" in event.reason for event in seen if isinstance(event, Interrupted))
    assert next(event for event in seen if isinstance(event, Interrupted)).seq > last_seq
    assert milestones(events_of(again, waiting.id)) == ["queued", "started", "finished"]
    assert milestones(events_of(again, dropped.id)) == ["queued", "cancelled"]


def test_a_reader_follows_through_a_restart(start: StartEngine, workspace: Workspace) -> None:
    client = start()
    job = a_job(f"followed {SLOW}", num_steps=30)
    client.submit(job)
    seen: list[Event] = []
    reader = threading.Thread(
        target=lambda: seen.extend(until(client.events(0), lambda e: e.type == "finished")), daemon=True
    )
    reader.start()
    wait_for_step(client, job.id, step=2)
    kill_service(workspace)
    start()
    reader.join(60)
    numbers = [event.seq for event in seen]
    assert numbers == list(range(1, len(seen) + 1)), "each event once, none left out"
    assert milestones(seen).count("interrupted") == 1 and seen[-1].type == "finished"


def test_kill_9_of_a_rank_while_idle_brings_another(start: StartEngine, workspace: Workspace) -> None:
    client = start()
    stream = client.events(0)
    until(stream, lambda event: isinstance(event, EngineUp))
    (victim,) = (pid for pid in processes_of(workspace.root) if is_worker(pid))
    os.kill(victim, signal.SIGKILL)
    seen = until(stream, lambda event: isinstance(event, EngineUp))
    stream.close()
    assert [event.type for event in seen] == ["engine_down", "engine_up"]
    assert "signal 9" in seen[0].reason


def is_worker(pid: int) -> bool:
    words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
    return b"engine.service.guard" not in words and b"engine.service.fake_worker" in words


def test_a_clean_stop_leaves_nothing_running_and_goes_on_later(start: StartEngine, workspace: Workspace) -> None:
    client = start()
    job = a_job(f"stopped {SLOW}", num_steps=30)
    client.submit(job)
    wait_for_step(client, job.id)
    began_s = time.monotonic()
    assert stop_engine(workspace)
    assert time.monotonic() - began_s < 20
    assert not processes_of(workspace.root)
    assert not client.healthy() and not stop_engine(workspace)
    assert milestones(events_of(start(), job.id)) == ["queued", "started", "interrupted", "started", "finished"]


def test_the_starters_end_is_the_engines(tmp_path: Path, workspace: Workspace, cards: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from engine.storage.workspace import Workspace;"
        "from engine.service.launch import ensure_engine;"
        "ensure_engine(Workspace.at(Path(sys.argv[1])), group='fake', cards=Path(sys.argv[2]), die_with_parent=True);"
        "print('up', flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", code, str(workspace.root), str(cards)]
    with killed_at_last(subprocess.Popen(command, stdout=subprocess.PIPE)) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == b"up\n"
        assert attach(workspace) is not None
    wait_until(lambda: holder_of(workspace) is None, "the engine's end")
    assert not processes_of(workspace.root)


def test_an_engine_outlives_its_starter_unless_asked_not_to(workspace: Workspace, cards: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.storage.workspace import Workspace;"
        "from engine.service.launch import ensure_engine;"
        "ensure_engine(Workspace.at(Path(sys.argv[1])), group='fake', cards=Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(workspace.root), str(cards)], check=True, timeout=60)
    client = attach(workspace)
    assert client is not None and client.healthy()
    client.close()
    assert stop_engine(workspace)


def test_one_engine_for_a_workspace(start: StartEngine, workspace: Workspace, cards: Path) -> None:
    client = start()
    again = ensure_engine(workspace, group="fake", cards=cards)
    assert again.url == client.url
    again.close()
    second = subprocess.run(
        [sys.executable, "-m", "engine.service", "--workspace", str(workspace.root), "--group", "fake"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 3
    assert f"process {holder_of(workspace)}" in second.stderr and "Traceback" not in second.stderr


def test_several_starters_at_once_get_one_engine(start: StartEngine, workspace: Workspace, cards: Path) -> None:
    urls: list[str] = []

    def ensure() -> None:
        client = ensure_engine(workspace, group="fake", cards=cards, die_with_parent=True)
        urls.append(client.url)
        client.close()

    threads = [threading.Thread(target=ensure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(urls) == 2 and len(set(urls)) == 1
    stop_engine(workspace)


def test_two_who_look_for_the_engine_do_not_take_each_other_for_it(workspace: Workspace) -> None:
    """A dead engine leaves its number behind; who reads it might signal a stranger that has it now."""
    lock = workspace.root / "engine.lock"
    lock.write_text("12345")
    assert holder_of(workspace) is None
    with lock.open("r+") as other:  # as another holder_of has it for a moment
        fcntl.flock(other, fcntl.LOCK_SH)
        assert holder_of(workspace) is None
        fcntl.flock(other, fcntl.LOCK_EX)
        assert holder_of(workspace) == 12345


@pytest.mark.parametrize(
    ("visible", "num_gpus"),
    [
        (None, 4),
        ("0", 1),
        ("2,3", 2),
        ("GPU-1a, GPU-2b,GPU-3c", 3),
        ("0,-1,1", 1),
        ("-1", 0),
        ("", 0),
        ("0,1,2,3,4", 4),
    ],
)
def test_the_gpus_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, num_gpus: int
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\nfor i in 0 1 2 3; do echo "GPU $i: NVIDIA H200 (UUID: GPU-$i)"; done\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert num_visible_gpus() == num_gpus


@pytest.mark.parametrize(
    ("num_gpus", "heads", "num_ranks"),
    [(0, {16}, 1), (1, {16}, 1), (3, {16}, 2), (5, {16, 40}, 4), (6, {6, 12}, 6), (7, {16}, 4), (8, {16, 40}, 8)],
)
def test_a_number_of_ranks_that_every_model_can_use(num_gpus: int, heads: set[int], num_ranks: int) -> None:
    assert usable_ranks(num_gpus, heads) == num_ranks


def test_the_bundled_model_limits_no_ranks_where_others_are(tmp_path: Path) -> None:
    cards = Path("presets/models").resolve()
    assert heads_of_models(cards, tmp_path) == {4}
    network = tmp_path / "dfm" / "dit-s" / "model.safetensors"
    network.parent.mkdir(parents=True)
    network.touch()
    assert heads_of_models(cards, tmp_path) == {6}


def test_a_port_in_use_is_said(workspace: Workspace, cards: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EngineError, match=f"cannot listen on 127.0.0.1:{port}.*another port"):
            ensure_engine(workspace, group="fake", cards=cards, port=port)
    assert holder_of(workspace) is None


@pytest.mark.parametrize(
    "flags", [["--ranks", "-1"], ["--port", "70000"], ["--group", "none"], ["--nothing"]], ids=lambda flags: flags[0]
)
def test_wrong_flags(workspace: Workspace, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--workspace", str(workspace.root), *flags])
    assert left.value.code == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--database-url", "nonsense"], "--database-url"),
        (["--database-url", "sqlite:////nowhere/at/all.db"], "--database-url"),
        (["--workspace", "/proc/nowhere"], "--workspace"),
    ],
)
def test_places_that_cannot_be_used(
    workspace: Workspace, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--workspace", str(workspace.root), "--group", "fake", *flags]) == 2
    assert words in capsys.readouterr().err


def test_no_engine_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client = EngineClient(f"http://127.0.0.1:{port}", "token")
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}.*storyboard engine"):
        client.status()
    assert not client.healthy()
    client.close()


def test_the_token_is_private_and_in_no_log(start: StartEngine, workspace: Workspace) -> None:
    client = start()
    job = a_job("secret")
    client.submit(job)
    events_of(client, job.id)
    assert (workspace.root / "token").stat().st_mode & 0o777 == 0o600
    token = workspace.token().encode()
    said = [path for path in workspace.root.rglob("*") if path.is_file() and token in path.read_bytes()]
    assert said == [workspace.root / "token"]
    assert json.loads(workspace.engine_address.read_text()).keys() == {"url", "pid"}


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
sys.argv[0] = "engine.service"
runpy.run_module("engine.service", run_name="__main__")
"""


def test_a_disk_that_takes_no_more(workspace: Workspace, cards: Path, tmp_path: Path) -> None:
    """Files may not grow beyond 2 MiB in this engine, as on a disk that is full then: told, nothing kept, it lives."""
    command = [sys.executable, "-c", LIMITED, "--workspace", str(workspace.root), "--group", "fake"]
    with killed_at_last(subprocess.Popen([*command, "--cards", str(cards)])):
        wait_until(lambda: attach_or_none(workspace), "the engine")
        client = attach(workspace)
        assert client is not None
        big, small = a_picture(tmp_path / "big.png", (1200, 900)), a_picture(tmp_path / "small.png")
        with pytest.raises(EngineError, match="disk is full"):
            client.put_media(big)
        assert not (workspace.media / file_sha256(big)[:2] / file_sha256(big)).exists()
        assert not list(workspace.media.glob("*.tmp"))
        assert client.put_media(small) == file_sha256(small)
        job = a_job("after the full disk")
        client.submit(job)
        assert milestones(events_of(client, job.id)) == ["queued", "started", "finished"]
        client.close()


@contextmanager
def killed_at_last(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """Also where the test fails: a ``Popen`` alone would wait for ever."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def attach_or_none(workspace: Workspace) -> bool:
    client = attach(workspace)
    if client is not None:
        client.close()
    return client is not None
