"""Whole storyboards through real ranks: the longest one and its memory, death and cancel amid a stochastic run."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.contract import wire
from engine.contract.events import Finished, JobCancelled, Stage
from engine.contract.jobs import Job, SamplerSettings, Speed
from engine.runtime.loop import memory_advice
from engine.storage.media import Frames
from engine.storage.takes import TakesWriter
from engine.storage.workspace import Workspace
from tests.engine.models.films import ranks_with
from tests.engine.models.ttt.test_load_ranks import Rig, ends_of_scenes, sampler
from tests.engine.runtime.group import Group
from tests.engine.runtime.test_death import children_of, finished_from, is_alive, kill_amid

LENGTHS = (3, 9, 21)


ranks = ranks_with(lambda root: Rig(root, ("safetensors",)))
one = pytest.mark.parametrize("ranks", [1], indirect=True, ids=["1 rank"])
two = pytest.mark.parametrize("ranks", [2], indirect=True, ids=["2 ranks"])


def long_run(rig: Rig, seed: int) -> Job:
    many: SamplerSettings = sampler("dpmpp_2m_sde").model_copy(update={"num_steps": 40})
    return rig.job("safetensors", scenes=(1, 1), sampler=many, seed=seed)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held since it was last asked."""
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM")]
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return int(line.split()[1]) * 1024


@one
def test_three_nine_and_twenty_one_segments(ranks: tuple[Rig, Group]) -> None:
    """A film, one scene a segment, with what each length adds to the memory of the rank that makes it."""
    rig, group = ranks
    ends_of_scenes(group, rig.job("safetensors", scenes=(1,)))
    rest, peaks = peak_bytes(group.pid), dict[int, int]()
    for length in LENGTHS:
        ends = ends_of_scenes(group, rig.job("safetensors", scenes=(1,) * length))
        peaks[length] = peak_bytes(group.pid)
        assert len(ends) == length and all(end.std() > 0 for end in ends)
        told = f"{length} segments: peak {peaks[length] / 2**20:.1f} MiB"
        print(f"{told}, {(peaks[length] - rest) / 2**20:+.1f} MiB to one segment")
    assert peaks[21] - rest < 200 * 2**20, "a film's own tensors are few MiB here; the rest is the allocator's"


def tails(root: Path, job: Job) -> list[Frames]:
    takes = root / "workspace" / "takes"
    return [load_file(takes / span.recipe / "tail.safetensors")["frames"] for span in job.spans]


@one
def test_a_killed_storyboard_goes_on_with_the_noise_it_would_have_drawn(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    root, job = group.root, long_run(rig, seed=3)
    with Group(root, 1, save_every_s=0.0) as killed:
        kill_amid(killed, job)
    assert finished_from(group, job, attempt=2) > 1, "not from the beginning"
    resumed = tails(root, job)
    for span in job.spans:
        shutil.rmtree(group.workspace / "takes" / span.recipe)
    assert finished_from(group, job, attempt=1) == 1
    for number, (first, second) in enumerate(zip(resumed, tails(root, job), strict=True), start=1):
        assert np.array_equal(first, second), f"scene {number}: bit for bit the film that was not disturbed"


@pytest.mark.parametrize("stage", ["denoise", "decode"])
@two
def test_a_cancelled_storyboard_leaves_no_take(ranks: tuple[Rig, Group], stage: str) -> None:
    rig, group = ranks
    job = long_run(rig, seed=4) if stage == "denoise" else rig.job("safetensors", scenes=(3, 2), seed=9)
    group.send(wire.RunJob(job=job.model_copy(update={"id": f"cancelled-{stage}"}), attempt=1))
    while not (isinstance(event := group.next_event(), Stage) and event.stage == stage):
        continue
    group.send(wire.CancelJob(job_id=f"cancelled-{stage}"))
    end = group.until_end()[-1]
    takes = {path.name for path in (group.workspace / "takes").iterdir()}
    assert isinstance(end, JobCancelled if stage == "denoise" else JobCancelled | Finished)
    if isinstance(end, JobCancelled):
        assert not any(span.recipe in name for span in job.spans for name in takes)
    assert not [name for name in takes if name.endswith(".tmp")]
    ends_of_scenes(group, rig.job("safetensors", seed=40 + len(stage)))


def test_in_bfloat16(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    single, half = (
        ends_of_scenes(group, rig.job("safetensors", scenes=(1, 1), speed=Speed(precision=precision)))
        for precision in ("float32", "bfloat16")
    )
    differences = [np.abs(a.astype(int) - b.astype(int)) for a, b in zip(single, half, strict=True)]
    print(f"{group.num_ranks} ranks: max {max(d.max() for d in differences)} of 255, mean {np.mean(differences):.2f}")
    assert 0 < np.mean(differences) < 20


@one
def test_out_of_memory_speaks_of_the_whole_storyboard(ranks: tuple[Rig, Group]) -> None:
    advice = memory_advice(ranks[0].job("safetensors", scenes=(1,) * 9))
    assert "73 frames" in advice and "a storyboard of fewer segments" in advice


@one
def test_one_encoder_works_at_a_time(ranks: tuple[Rig, Group], tmp_path: Path) -> None:
    """However many scenes a storyboard has: each encoder holds many frames."""
    job = ranks[0].job("safetensors", scenes=(1,) * 4)
    writer = TakesWriter(Workspace.at(tmp_path), job, 1)
    before = sum(map(is_alive, children_of(os.getpid())))
    writer.start()
    for _ in range(job.num_frames):
        writer.write(np.zeros((1, job.size_px[1], job.size_px[0], 3), np.uint8))
        assert sum(map(is_alive, children_of(os.getpid()))) == before + 1
    takes = writer.finish(dict, 0.0, {})
    writer.leave()
    assert [take.num_frames for take in takes] == [9, 8, 8, 8]
