"""Real ranks, 1 and 2, on the tiny model: every way that a job can end, and that the group lives on."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from engine.contract import wire
from engine.contract.events import (
    TERMINAL,
    Event,
    Failed,
    Finished,
    JobCancelled,
    JobRejected,
    Preview,
    Stage,
    Step,
)
from engine.contract.jobs import FromMedia, FromTake, Job, Segment, Take
from engine.storage.media import Frames, MediaStore, file_sha256, probe
from tests.engine.runtime.group import Group, tiny_job


def take_of(events: list[Event]) -> Take:
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1].takes[0]


def tail_of(group: Group, take: Take) -> Frames:
    return load_file(group.workspace / "takes" / take.recipe / "tail.safetensors")["frames"]


def steps(events: list[Event], stage: str) -> list[Step]:
    return [event for event in events if isinstance(event, Step) and event.stage == stage]


def test_a_take_with_all_that_belongs_to_it(group: Group) -> None:
    job = tiny_job(group.root, num_steps=6, seed=1)
    events = group.run(job)
    take = take_of(events)
    folder = group.workspace / "takes" / job.recipe
    assert {path.name for path in folder.iterdir()} == {"take.mp4", "take.json", "tail.safetensors"}
    assert Take.model_validate_json((folder / "take.json").read_bytes()) == take
    assert take.media == file_sha256(folder / "take.mp4") and take.id == job.recipe
    found = probe(folder / "take.mp4")
    assert (found.num_frames, found.size_px, round(found.fps)) == (9, (48, 32), 8)
    assert set(take.timings_s) >= {"encode", "denoise", "decode", "write"}
    assert job.recipe in metadata_of(folder / "take.mp4")
    assert tail_of(group, take).shape == (5, 32, 48, 3)
    stages = [event.stage for event in events if isinstance(event, Stage)]
    assert [stage for stage in stages if stage != "load"] == ["encode", "denoise", "decode", "write"]
    assert [step.step for step in steps(events, "denoise")] == list(range(1, 8))
    assert [step.step for step in steps(events, "decode")] == [1, 2, 3]
    assert any(isinstance(event, Preview) for event in events)
    assert_preview(group.workspace / "jobs" / job.id / "preview.webp")


def metadata_of(path: Path) -> str:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "ffmetadata", "-"]
    return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout.decode()


def assert_preview(path: Path) -> None:
    with Image.open(path) as picture:
        assert picture.format == "WEBP" and picture.size == (48, 32) and picture.n_frames == 3


def test_the_same_recipe_is_not_rendered_twice(group: Group) -> None:
    job = tiny_job(group.root, seed=2)
    first = take_of(group.run(job))
    again = group.run(job)
    assert take_of(again) == first
    assert len(again) == 1, "no work, no steps"


def test_one_seed_one_film(group: Group) -> None:
    job = tiny_job(group.root, seed=3)
    first = take_of(group.run(job))
    frames = tail_of(group, first)
    shutil.rmtree(group.workspace / "takes" / job.recipe)
    assert np.array_equal(tail_of(group, take_of(group.run(job))), frames)


def test_chunks_and_the_cut_to_the_jobs_length(group: Group) -> None:
    job = tiny_job(group.root, overlaps=(0, 5, 1), num_frames=19, seed=4)
    events = group.run(job)
    take = take_of(events)
    assert probe(group.workspace / "takes" / job.recipe / "take.mp4").num_frames == take.num_frames == 19
    assert [step.step for step in steps(events, "denoise")] == list(range(1, 13))


def test_continues_another_take_without_loss(group: Group) -> None:
    before = take_of(group.run(tiny_job(group.root, seed=5)))
    given = FromTake(recipe=before.recipe, num_frames=5)
    after = take_of(group.run(tiny_job(group.root, seed=6, overlaps=(5,), conditioning=given)))
    assert after.num_frames == 4
    other = take_of(group.run(tiny_job(group.root, seed=6, num_frames=4)))
    assert not np.array_equal(tail_of(group, after)[-4:], tail_of(group, other)[-4:])


@pytest.mark.parametrize("size", [(48, 32), (33, 61)])
def test_starts_from_a_picture(group: Group, size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGBA", size, (200, 30, 40, 128)).save(tmp_path / "PICTURE.PNG")
    media = MediaStore(group.workspace / "media").put_file(tmp_path / "PICTURE.PNG")
    job = tiny_job(group.root, seed=7, conditioning=FromMedia(kind="image", media=media, num_frames=1))
    assert take_of(group.run(job)).num_frames == 9


def test_cancel_while_denoising(group: Group) -> None:
    job = tiny_job(group.root, num_steps=1000, seed=8)
    group.send(wire.RunJob(job=job, attempt=1))
    while not isinstance(group.next_event(), Step):
        continue
    group.send(wire.CancelJob(job_id=job.id))
    events = group.until_end()
    assert isinstance(events[-1], JobCancelled)
    assert len(steps(events, "denoise")) < 900
    assert_nothing_left(group, job)
    assert take_of(group.run(tiny_job(group.root, seed=9)))


def test_cancel_while_decoding(group: Group) -> None:
    job = long_job(group, seed=10)
    group.send(wire.RunJob(job=job, attempt=1))
    while not (isinstance(event := group.next_event(), Step) and event.stage == "decode"):
        continue
    group.send(wire.CancelJob(job_id=job.id))
    events = group.until_end()
    assert isinstance(events[-1], JobCancelled)
    assert len(steps(events, "decode")) < 280
    assert_nothing_left(group, job)


def long_job(group: Group, seed: int) -> Job:
    """Decodes for seconds: 301 latent frames."""
    segment = Segment(
        scene_id="s", prompt="x", negative_prompt="", num_frames=1201, num_overlap_frames=0, starts_scene=True
    )
    changes = {"segments": (segment,), "guidance_scale": 1.0, "size_px": (32, 32)}
    return tiny_job(group.root, num_steps=1, sampler="euler", num_frames=1201, seed=seed, **changes)


def assert_nothing_left(group: Group, job: Job) -> None:
    takes = group.workspace / "takes"
    assert not [path.name for path in takes.iterdir() if job.recipe in path.name]


def test_pause_and_resume(group: Group) -> None:
    job = tiny_job(group.root, num_steps=100, seed=11)
    group.send(wire.RunJob(job=job, attempt=1))
    while not isinstance(group.next_event(), Step):
        continue
    group.send(wire.Pause())
    deadline = time.monotonic() + 60
    during = -1
    while group.events.qsize() != during:
        assert time.monotonic() < deadline, "it goes on"
        during = group.events.qsize()
        time.sleep(0.5)  # tens of its steps
    assert not any(isinstance(event, TERMINAL) for event in group.events.queue), "stands still"
    group.send(wire.Resume())
    events = group.until_end()
    assert take_of(events).num_frames == 9


def test_cancel_while_paused(group: Group) -> None:
    job = tiny_job(group.root, num_steps=1000, seed=12)
    group.send(wire.Pause())
    group.send(wire.RunJob(job=job, attempt=1))
    group.send(wire.CancelJob(job_id=job.id))
    assert isinstance(group.until_end()[-1], JobCancelled)
    group.send(wire.Resume())


FAR = "f" * 64
REFUSED = {
    "model": {"model": "nobody"},
    "weights": {"weights": FAR},
    "size": {"size_px": (40, 32)},
    "conditioning": {"conditioning": FromTake(recipe=FAR, num_frames=5), "overlaps": (5,)},
    "conditioning ": {"conditioning": FromMedia(kind="image", media=FAR, num_frames=1)},
    "conditioning  ": {"conditioning": FromMedia(kind="clip", media=FAR, num_frames=3)},
    "frames": {"overlaps": (0,), "num_frames": 10},
}


@pytest.mark.parametrize("code", REFUSED)
def test_refused_and_the_group_stays_up(group: Group, code: str) -> None:
    job = tiny_job(group.root, seed=13, **REFUSED[code])  # type: ignore[arg-type]
    last = group.run(job)[-1]
    assert isinstance(last, JobRejected) and last.code == code.strip(), last
    assert re.search(r"\. *[A-Z]|\(", last.reason), "says what to do"
    assert_nothing_left(group, job)


def test_a_take_that_cannot_be_written(group: Group) -> None:
    """The folder of takes is a file: every write fails. The job fails with words, the group lives."""
    takes = group.workspace / "takes"
    takes.mkdir(exist_ok=True)
    aside = takes.rename(group.workspace / "aside")
    takes.touch()
    try:
        last = group.run(tiny_job(group.root, seed=14))[-1]
    finally:
        takes.unlink()
        aside.rename(takes)
    assert isinstance(last, Failed) and "take" in last.reason
    assert take_of(group.run(tiny_job(group.root, seed=14)))
