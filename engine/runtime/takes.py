"""A take on disk: made under a temporary name, complete when its folder has its own.

Comes in: a job's frames as they are decoded. Goes out: ``takes/<recipe>/{take.mp4,take.json,tail.safetensors}``, or
nothing. Does not know latents, ranks or events.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from engine.contract.errors import EngineError
from engine.contract.jobs import Job, Take
from engine.contract.media import Frames, file_sha256
from engine.contract.workspace import Workspace
from engine.runtime.conditioning import write_tail
from engine.runtime.video import VideoWriter

VIDEO_FILE, TAKE_FILE = "take.mp4", "take.json"


def finished_take(workspace: Workspace, recipe: str) -> Take | None:
    """The take of a recipe, if it is complete: the same recipe is never rendered twice."""
    try:
        folder = workspace.take_folder(recipe)
        take = Take.model_validate_json((folder / TAKE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return take if (folder / VIDEO_FILE).is_file() else None


class TakeWriter:
    """``start``, then ``write`` as frames come, then ``finish``; and ``leave``, whatever happens.

    Frames after the job's ``num_frames`` are dropped.
    num_tail_frames: how many of the last frames are kept without loss. ``tail`` holds them while writing.
    """

    def __init__(self, workspace: Workspace, job: Job, num_tail_frames: int) -> None:
        self.job, self.num_tail_frames = job, num_tail_frames
        self.final = workspace.take_folder(job.recipe)
        self.draft = workspace.takes / f".{job.recipe}.tmp"
        width, height = job.size_px
        self.tail: Frames = np.zeros((0, height, width, 3), np.uint8)
        self.num_written = 0
        self._video = VideoWriter(self.draft / VIDEO_FILE, job.size_px, job.fps, job.model_dump_json())
        self._finished = False

    def start(self) -> None:
        shutil.rmtree(self.draft, ignore_errors=True)  # of a rank that died
        with told_as_disk_error(self.draft):
            self.draft.mkdir(parents=True)
        self._video.start()

    def leave(self) -> None:
        """Removes what is not finished. Called at the end, whatever the end."""
        if not self._finished:
            self._video.drop()
            shutil.rmtree(self.draft, ignore_errors=True)

    def write(self, frames: Frames) -> None:
        """(F, H, W, 3) uint8."""
        frames = frames[: self.job.num_frames - self.num_written]
        if len(frames):
            self._video.write(frames)
            self.num_written += len(frames)
            self.tail = np.concatenate([self.tail, frames])[-self.num_tail_frames :]

    def finish(self, timings: Callable[[], dict[str, float]], began_s: float, versions: dict[str, str]) -> Take:
        """Completes the file, writes what stands beside it, and gives the folder its name.

        timings: seconds by stage, asked once the film file is whole. began_s: of the monotonic clock.
        """
        if self.num_written < self.job.num_frames:
            raise EngineError(
                f"take {self.job.recipe[:16]}: its segments give {self.num_written} frames, and "
                f"{self.job.num_frames} were asked for. Plan the scene again."
            )
        self._video.complete()
        take = self._take(timings(), time.monotonic() - began_s, versions)
        with told_as_disk_error(self.draft):
            write_tail(self.draft, self.tail)
            (self.draft / TAKE_FILE).write_text(take.model_dump_json(indent=2))
            self._settle()
        self._finished = True
        return take

    def _take(self, timings_s: dict[str, float], render_s: float, versions: dict[str, str]) -> Take:
        job = self.job
        return Take(
            id=job.recipe,
            recipe=job.recipe,
            scene_id=job.scene_ids[0],
            job=job,
            media=file_sha256(self.draft / VIDEO_FILE),
            first_frame=0,
            num_frames=job.num_frames,
            fps=job.fps,
            size_px=job.size_px,
            seed=job.seed,
            render_s=render_s,
            versions=versions,
            timings_s=timings_s,
        )

    def _settle(self) -> None:
        """Everything on the disk before the folder has its name; the name on the disk before it is announced."""
        for path in [*self.draft.iterdir(), self.draft]:
            _fsync(path)
        if self.final.exists():  # incomplete, or ``finished_take`` would have answered
            shutil.rmtree(self.final)
        self.draft.rename(self.final)
        _fsync(self.final.parent)


@contextlib.contextmanager
def told_as_disk_error(path: Path) -> Generator[None]:
    """A full or missing disk is no fault of the ranks: the job fails with words, and the group lives."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise EngineError(f"{path}: cannot write the take ({error}). Free some space and render again.") from error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
