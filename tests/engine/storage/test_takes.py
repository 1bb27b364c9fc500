"""The files of a take: video and tail, and what is left when a disk or ffmpeg fails."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.contract.errors import EngineError, Rejected
from engine.storage.media import Frames, read_frames
from engine.storage.takes import TakesWriter, read_tail, write_tail
from engine.storage.video import VideoWriter
from engine.storage.workspace import Workspace
from tests.engine.factories import a_job

SIZE = 64, 48


def moving_square(num_frames: int) -> Frames:
    frames = np.full((num_frames, SIZE[1], SIZE[0], 3), (230, 220, 200), np.uint8)
    for index, frame in enumerate(frames):
        frame[16:32, 2 * index : 2 * index + 16] = (200, 40, 30)
    return frames


def test_video_shows_what_was_written(tmp_path: Path) -> None:
    frames, path = moving_square(9), tmp_path / "take.mp4"
    with VideoWriter(path, SIZE, 8, comment='{"a": "=;#\\n\'\\""}') as writer:
        for part in (frames[:1], frames[1:5], frames[5:]):
            writer.write(part)
    shown = read_frames(path, 9)
    error = np.abs(shown.astype(int) - frames.astype(int))
    print(f"mean error {error.mean():.2f} levels, max {error.max()}")
    assert error.mean() < 2.0
    corners = np.abs(shown[:, :4, :4].mean(axis=(0, 1, 2)) - [230, 220, 200])
    assert corners.max() < 3, "colours are those that were written"


@pytest.mark.parametrize("ffmpeg", ["/bin/false", "/nonexistent/ffmpeg"])
def test_ffmpeg_failing(ffmpeg: str, tmp_path: Path) -> None:
    path = tmp_path / "take.mp4"
    with pytest.raises(EngineError, match="ffmpeg"), VideoWriter(path, SIZE, 8, ffmpeg=ffmpeg) as writer:
        for _ in range(50):
            writer.write(moving_square(9))
    assert list(tmp_path.iterdir()) == []


def test_an_error_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "take.mp4", SIZE, 8) as writer:
        writer.write(moving_square(9))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room_bytes", [2_000, 20_000], ids=["for the video", "for the tail"])
def test_no_room_on_the_disk(room_bytes: int, tmp_path: Path) -> None:
    """The operating system refuses larger files, as a full disk would: a clear error, nothing left."""
    job = a_job(num_steps=9)
    (tmp_path / "job.json").write_text(job.model_dump_json())
    script = textwrap.dedent(
        f"""
        import resource
        from pathlib import Path
        import numpy as np
        from engine.contract.errors import EngineError
        from engine.contract.jobs import Job
        from engine.storage.workspace import Workspace
        from engine.storage.takes import TakesWriter

        resource.setrlimit(resource.RLIMIT_FSIZE, ({room_bytes}, {room_bytes}))
        job = Job.model_validate_json(Path({str(tmp_path / "job.json")!r}).read_bytes())
        writer = TakesWriter(Workspace.at(Path({str(tmp_path / "workspace")!r})), job, 5)
        writer.start()
        try:
            for _ in range(9):
                writer.write(np.random.default_rng(1).integers(0, 256, (1, 32, 48, 3), np.uint8))
            writer.finish(dict, 0.0, {{}})
        except EngineError as error:
            print("said:", error)
        finally:
            writer.leave()
        """
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("said:") and "take" in done.stdout, done.stdout + done.stderr
    assert list((tmp_path / "workspace" / "takes").iterdir()) == []


def test_too_few_frames_are_no_take(tmp_path: Path) -> None:
    writer = TakesWriter(Workspace.at(tmp_path), a_job(), 5)
    writer.start()
    writer.write(np.zeros((4, 32, 48, 3), np.uint8))
    with pytest.raises(EngineError, match="4 frames"):
        writer.finish(dict, 0.0, {})
    writer.leave()
    assert list((tmp_path / "takes").iterdir()) == []


def test_tail_is_without_loss(tmp_path: Path) -> None:
    frames = moving_square(9)
    write_tail(tmp_path, frames)
    assert np.array_equal(read_tail(tmp_path, 5), frames[-5:])


def test_tail_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="not here"):
        read_tail(tmp_path, 5)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x10\0\0\0\0\0\0\0{"])
def test_tail_that_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tail.safetensors").write_bytes(content)
    with pytest.raises(Rejected, match="damaged") as refused:
        read_tail(tmp_path, 5)
    assert refused.value.code == "conditioning"


@pytest.mark.parametrize(
    "tensors", [{"other": np.zeros(1)}, {"frames": np.zeros((5, 3))}, {"frames": np.zeros((9, 48, 64, 3))}]
)
def test_tail_of_something_else(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "tail.safetensors")
    with pytest.raises(Rejected):
        read_tail(tmp_path, 5)


def test_tail_that_is_too_short(tmp_path: Path) -> None:
    write_tail(tmp_path, moving_square(3))
    with pytest.raises(Rejected, match="has 3 frames and 5 are needed"):
        read_tail(tmp_path, 5)
