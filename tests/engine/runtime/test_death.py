"""Death of a rank, of the service, of the machine's patience: what is saved, and that nobody is left behind."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.contract import wire
from engine.contract.events import Finished, Step
from engine.contract.jobs import Job
from engine.runtime.ranks import COLLECTIVE_TIMEOUT_S
from engine.runtime.render_context import SAVE_EVERY_S
from engine.service.settings import Settings
from engine.storage.media import Frames
from engine.storage.workspace import Workspace
from tests.engine.runtime.group import Group, tiny_job

STEPS = 40


def tail_of(root: Path, job: Job) -> Frames:
    return load_file(root / "workspace" / "takes" / job.recipe / "tail.safetensors")["frames"]


def first_step(group: Group) -> int:
    """The first denoising step reported (a segment with saved latents is decoded before it)."""
    while not (isinstance(event := group.next_event(), Step) and event.stage == "denoise"):
        continue
    return event.step


def wait_for_saved_state(group: Group, job: Job) -> None:
    folder = group.workspace / "jobs" / job.id / job.recipe[:16]
    deadline = time.monotonic() + 60
    while not list(folder.glob("segment_*.safetensors")):
        assert time.monotonic() < deadline
        group.next_event()


def kill_amid(group: Group, job: Job) -> None:
    """A rank dies after some of the job was saved, and the group with it."""
    group.send(wire.RunJob(job=job, attempt=1))
    assert first_step(group) == 1
    wait_for_saved_state(group, job)
    group.kill_a_rank(signal.SIGKILL)
    assert group.is_gone()


def finished_from(group: Group, job: Job, attempt: int) -> int:
    """The first step reported of an attempt that finishes."""
    group.send(wire.RunJob(job=job, attempt=attempt))
    step = first_step(group)
    assert isinstance(group.until_end(timeout_s=90)[-1], Finished)
    return step


@pytest.mark.parametrize("how", ["kill -9 of a rank", "shutdown"])
def test_the_job_goes_on_from_its_last_saved_step(how: str, tmp_path: Path) -> None:
    with Group(tmp_path, 1, save_every_s=SAVE_EVERY_S if how == "shutdown" else 0.0) as group:
        job = tiny_job(tmp_path, num_steps=STEPS, overlaps=(0, 5))
        if how == "shutdown":
            group.send(wire.RunJob(job=job, attempt=1))
            assert first_step(group) == 1
            group.send(wire.Shutdown())
            assert group.is_gone()
        else:
            kill_amid(group, job)
    with Group(tmp_path, 1) as group:
        assert finished_from(group, job, attempt=2) > 1, "not from the beginning"
        frames = tail_of(tmp_path, job)
        saved = list((tmp_path / "workspace" / "jobs" / job.id).glob("*/*"))
        assert not saved, "saved work is forgotten after the end"
        shutil.rmtree(tmp_path / "workspace" / "takes" / job.recipe)
        assert finished_from(group, job, attempt=1) == 1
    assert np.array_equal(tail_of(tmp_path, job), frames), "bit for bit the film that was not disturbed"


@pytest.mark.parametrize("num_ranks", [2])
def test_no_orphans_when_the_service_dies(num_ranks: int, tmp_path: Path) -> None:
    with Group(tmp_path, num_ranks) as group:
        group.send(wire.RunJob(job=tiny_job(tmp_path, num_steps=1000), attempt=1))
        first_step(group)
        ranks = children_of(group.process.pid)
        assert len(ranks) == num_ranks
        group.hang_up()
        group.process.wait(timeout=30)
        deadline = time.monotonic() + 10
        while any(is_alive(pid) for pid in ranks):
            assert time.monotonic() < deadline, "a rank outlived its service"
            time.sleep(0.1)


def test_ranks_die_with_what_started_them(tmp_path: Path) -> None:
    with Group(tmp_path, 1, spawned=True) as group:
        os.kill(group.process.pid, signal.SIGKILL)
        assert group.is_gone(timeout_s=10)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_the_service_decides_how_long_a_silent_group_may_work(tmp_path: Path) -> None:
    """Ranks that wait for rank 0 are not the first to lose patience."""
    settings = Settings(Workspace.at(tmp_path), tmp_path, tmp_path)
    assert COLLECTIVE_TIMEOUT_S > settings.stall_timeout_s
