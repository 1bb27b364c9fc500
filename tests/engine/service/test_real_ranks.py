"""The service with real ranks on a tiny model: films, deaths in the middle, cancels, and no orphans."""

import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.client.client import EngineClient
from engine.contract.events import Event, Finished, Interrupted
from engine.contract.jobs import Job
from engine.service.launch import stop_engine
from engine.service.lock import holder_of
from engine.storage.card_files import fingerprint
from engine.storage.hashes import FileHashes
from engine.storage.media import probe
from engine.storage.workspace import Workspace
from tests.engine.factories import a_job, events_of, milestones, processes_of, wait_for_step, wait_until
from tests.engine.in_process import forked_engine
from tests.engine.runtime.tiny import make_tiny_model
from tests.engine.service.listeners import listeners

LONG = {"num_steps": 30, "num_segments": 3, "num_frames": 17}
ENDLESS = {**LONG, "num_steps": 1000}
"""Is cancelled before its end, however late the cancel comes."""


class Rig:
    """A workspace, a tiny model, and an engine of so many ranks that is started where it does not run."""

    def __init__(self, root: Path, num_ranks: int) -> None:
        self.root, self.num_ranks = root, num_ranks
        self.workspace = Workspace.at(root / "workspace")
        card = make_tiny_model(root / "models", root / "cards")
        self.weights = fingerprint(card, root / "models", FileHashes())

    def engine(self) -> EngineClient:
        folders = {"cards": self.root / "cards", "models_root": self.root / "models"}
        return forked_engine(self.workspace, group="local", ranks=self.num_ranks, **folders)

    def job(self, prompt: str, **settings: int) -> Job:
        return a_job(f"{prompt} on {self.num_ranks}", weights=self.weights, **settings)

    def rank(self, number: int) -> int:
        """-> the process id of a rank."""
        found = [pid for pid in processes_of(self.workspace.root) if is_rank(pid, number)]
        assert len(found) == 1, found
        return found[0]

    def check_film(self, seen: list[Event], num_frames: int) -> None:
        end = seen[-1]
        assert isinstance(end, Finished), end
        info = probe(self.workspace.take_folder(end.takes[0].recipe) / "take.mp4")
        assert (info.num_frames, info.size_px, info.sha256) == (num_frames, (48, 32), end.takes[0].media)


def is_rank(pid: int, number: int) -> bool:
    """Not a child of a rank (ffmpeg), which inherits its environment."""
    try:
        environment, command = ((Path("/proc") / str(pid) / name).read_text() for name in ("environ", "cmdline"))
    except OSError:
        return False
    return f"RANK={number}" in environment.split("\0") and command.split("\0")[-2] == "engine.runtime.worker"


@pytest.fixture(scope="module", params=[1, 2], ids=lambda ranks: f"{ranks} ranks")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("ranks"), request.param)
    yield rig
    stop_engine(rig.workspace)
    assert not processes_of(rig.workspace.root)


def test_a_film(rig: Rig) -> None:
    client = rig.engine()
    job = rig.job("a film", num_segments=2, num_frames=13)
    client.submit(job)
    seen = events_of(client, job.id)
    assert milestones(seen) == ["queued", "started", "finished"]
    rig.check_film(seen, 13)
    assert client.preview(job.id)
    status = client.status()
    assert (status.num_ranks, status.device) == (rig.num_ranks, "cpu")
    client.close()


@pytest.mark.parametrize("rig", [2], indirect=True, ids=["2 ranks"])
def test_kill_9_of_a_rank_in_the_middle(rig: Rig) -> None:
    client = rig.engine()
    job, behind = rig.job("a rank dies", **LONG), rig.job("behind it")
    client.submit(job)
    client.submit(behind)
    wait_for_step(client, job.id, step=3)
    os.kill(rig.rank(rig.num_ranks - 1), signal.SIGKILL)
    seen = events_of(client, job.id)
    assert milestones(seen) == ["queued", "started", "interrupted", "started", "finished"]
    (interrupted,) = (event for event in seen if isinstance(event, Interrupted))
    assert f"rank {rig.num_ranks - 1} was killed by signal 9 (SIGKILL)" in interrupted.reason
    rig.check_film(seen, 17)
    rig.check_film(events_of(client, behind.id), 9)
    client.close()


@pytest.mark.parametrize("stage", ["denoise", "decode"])
def test_cancel(rig: Rig, stage: str) -> None:
    client = rig.engine()
    settings = ENDLESS if stage == "denoise" else {"num_steps": 1, "num_segments": 40, "num_frames": 165}
    job = rig.job(f"cancelled in {stage}", **settings)
    client.submit(job)
    wait_for_step(client, job.id, stage=stage)
    client.cancel(job.id)
    assert milestones(events_of(client, job.id)) == ["queued", "started", "cancelled"]
    assert not rig.workspace.take_folder(job.recipe).exists()
    after = rig.job(f"after cancelling in {stage}")
    client.submit(after)
    rig.check_film(events_of(client, after.id), 9)
    client.close()


@pytest.mark.parametrize("rig", [2], indirect=True, ids=["2 ranks"])
def test_kill_9_of_the_service_in_the_middle(rig: Rig) -> None:
    client = rig.engine()
    job = rig.job("the service dies", **LONG)
    client.submit(job)
    wait_for_step(client, job.id, step=3)
    service = holder_of(rig.workspace)
    assert service
    os.kill(service, signal.SIGKILL)
    wait_until(lambda: not processes_of(rig.workspace.root), "the ranks' end")
    client.close()
    again = rig.engine()
    seen = events_of(again, job.id)
    assert milestones(seen) == ["queued", "started", "interrupted", "started", "finished"]
    rig.check_film(seen, 17)
    again.close()


def test_nothing_listens_beyond_loopback_and_strangers_end_nothing(rig: Rig) -> None:
    """torchrun's own stores listen on every interface and unpickle what they are sent: ranks meet in a file instead."""
    client = rig.engine()
    job = rig.job("among strangers", **LONG)
    client.submit(job)
    wait_for_step(client, job.id, step=2)
    service = holder_of(rig.workspace)
    assert service
    found = listeners([service, *processes_of(rig.workspace.root)])
    assert service in found.values() and all(ipaddress.ip_address(address).is_loopback for address, _ in found), found
    ranks = {pid for pid in found.values() if any(is_rank(pid, number) for number in range(rig.num_ranks))}
    assert bool(ranks) == (rig.num_ranks > 1), "one rank needs no socket of its own to listen on"
    for address, port in found:
        write_junk(address, port)
    seen = events_of(client, job.id)
    assert milestones(seen) == ["queued", "started", "finished"]
    rig.check_film(seen, 17)
    client.close()


def write_junk(address: str, port: int) -> None:
    for junk in (b"\0" * 64, b"\x80\x04\x95" + b"." * 61, b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096)):
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=2) as stranger:
            stranger.settimeout(0.2)
            stranger.sendall(junk)
            stranger.recv(64)
