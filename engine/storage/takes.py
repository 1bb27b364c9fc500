"""A take on disk: made under a temporary name, complete when its folder has its own.

Comes in: a job's frames as they are decoded. Goes out: for each of its scenes
``takes/<recipe>/{take.mp4,take.json,tail.safetensors}``, or nothing. Does not know latents, ranks or events.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from engine.contract.errors import EngineError, Rejected
from engine.contract.jobs import Job, Span, Take
from engine.contract.values import Sha256
from engine.storage.atomic import publish_folder
from engine.storage.media import Frames, file_sha256
from engine.storage.video import VideoWriter
from engine.storage.workspace import Workspace

VIDEO_FILE, TAKE_FILE, TAIL_FILE = "take.mp4", "take.json", "tail.safetensors"


def finished_takes(workspace: Workspace, job: Job) -> tuple[Take, ...] | None:
    """The takes of a job, if all are complete: the same recipe is never rendered twice."""
    takes = [_finished_take(workspace, span.recipe) for span in job.spans]
    complete = tuple(take for take in takes if take is not None)
    return complete if len(complete) == len(takes) else None


def _finished_take(workspace: Workspace, recipe: str) -> Take | None:
    try:
        folder = workspace.take_folder(recipe)
        take = Take.model_validate_json((folder / TAKE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return take if (folder / VIDEO_FILE).is_file() else None


class TakesWriter:
    """``start``, then ``write`` as frames come, then ``finish``; and ``leave``, whatever happens.

    A job of several scenes has a take for each, one after the other. Frames after the job's end are dropped.
    num_tail_frames: how many of each take's last frames are kept without loss.
    """

    def __init__(self, workspace: Workspace, job: Job, num_tail_frames: int, picture: Sha256 | None = None) -> None:
        self.job, self.picture = job, picture
        self._takes = [_TakeWriter(workspace, job, span, num_tail_frames) for span in job.spans]
        self._current = 0

    def start(self) -> None:
        self._takes[0].start()

    def leave(self) -> None:
        """Removes what is not finished. Called at the end, whatever the end."""
        for take in self._takes:
            take.leave()

    @property
    def tail(self) -> Frames:
        """The last frames written, without loss."""
        return self._takes[self._current].tail

    @property
    def num_written(self) -> int:
        return sum(take.num_written for take in self._takes)

    def write(self, frames: Frames) -> None:
        """(F, H, W, 3) uint8."""
        while len(frames):
            take = self._takes[self._current]
            now, frames = frames[: take.num_left], frames[take.num_left :]
            take.write(now)
            if take.num_left or self._current + 1 == len(self._takes):
                return
            if len(frames):
                take.complete()  # so that one encoder works at a time, however many scenes there are
                self._current += 1
                self._takes[self._current].start()

    def finish(
        self, timings: Callable[[], dict[str, float]], began_s: float, versions: dict[str, str]
    ) -> tuple[Take, ...]:
        """Completes the files, writes the files beside them, and gives the folders their names.

        timings: seconds by stage, called once the videos are complete. began_s: of the monotonic clock.
        """
        if self.num_written < self.job.num_frames:
            raise EngineError(
                f"take {self.job.recipe[:16]}: its segments give {self.num_written} frames, and "
                f"{self.job.num_frames} were asked for. Plan the scene again."
            )
        self._takes[-1].complete()
        timings_s, render_s = timings(), time.monotonic() - began_s
        return tuple(take.settle(timings_s, render_s, versions, self.picture) for take in self._takes)


class _TakeWriter:
    """One scene's take."""

    def __init__(self, workspace: Workspace, job: Job, span: Span, num_tail_frames: int) -> None:
        self.job, self.span, self.num_tail_frames = job, span, num_tail_frames
        self.final = workspace.take_folder(span.recipe)
        self.draft = self.final.with_name(f".{span.recipe}.tmp")
        width, height = job.size_px
        self.tail: Frames = np.zeros((0, height, width, 3), np.uint8)
        self.num_written = 0
        self._video = VideoWriter(self.draft / VIDEO_FILE, job.size_px, job.fps, job.model_dump_json())
        self._open = False
        """Whether a draft is on the disk."""

    @property
    def num_frames(self) -> int:
        return self.span.end - self.span.start

    @property
    def num_left(self) -> int:
        return self.num_frames - self.num_written

    def start(self) -> None:
        shutil.rmtree(self.draft, ignore_errors=True)  # of a rank that died
        self._open = True
        with as_disk_error(self.draft):
            self.draft.mkdir(parents=True)
        self._video.start()

    def leave(self) -> None:
        if self._open:
            self._video.drop()
            shutil.rmtree(self.draft, ignore_errors=True)

    def write(self, frames: Frames) -> None:
        if len(frames):
            self._video.write(frames)
            self.num_written += len(frames)
            self.tail = np.concatenate([self.tail, frames])[-self.num_tail_frames :]

    def complete(self) -> None:
        self._video.complete()

    def settle(
        self, timings_s: dict[str, float], render_s: float, versions: dict[str, str], picture: Sha256 | None
    ) -> Take:
        """Of what the whole job took, a take has the share of its frames."""
        share = self.num_frames / self.job.num_frames
        take = Take(
            id=self.span.recipe,
            recipe=self.span.recipe,
            scene_id=self.span.scene_id,
            job=self.job,
            media=file_sha256(self.draft / VIDEO_FILE),
            picture=picture,
            first_frame=self.span.start,
            num_frames=self.num_frames,
            fps=self.job.fps,
            size_px=self.job.size_px,
            seed=self.job.seed,
            render_s=render_s * share,
            versions=versions,
            timings_s={stage: round(seconds * share, 4) for stage, seconds in timings_s.items()},
        )
        with as_disk_error(self.draft):
            write_tail(self.draft, self.tail)
            (self.draft / TAKE_FILE).write_text(take.model_dump_json(indent=2))
            publish_folder(self.draft, self.final)  # an older folder there is incomplete, or of a job that is not whole
        self._open = False
        return take


def write_tail(folder: Path, frames: Frames) -> None:
    """Keeps a take's last frames, (F, H, W, 3) uint8, without loss."""
    save_file({"frames": np.ascontiguousarray(frames)}, folder / TAIL_FILE)


def read_tail(take_folder: Path, num_frames: int) -> Frames:
    """The last frames of a take, (num_frames, H, W, 3) uint8 at its own size.

    Raises Rejected("conditioning") where they are missing, damaged or too few.
    """
    path = take_folder / TAIL_FILE
    again = "Render the scene before this one again."
    try:
        frames = load_file(path)["frames"]
    except FileNotFoundError as error:
        raise Rejected("conditioning", f"{path}: the take to continue from is not here. {again}") from error
    except (SafetensorError, KeyError, OSError) as error:
        raise Rejected("conditioning", f"{path}: the take's last frames are damaged ({error}). {again}") from error
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise Rejected("conditioning", f"{path}: holds {frames.dtype} {frames.shape}, not frames. {again}")
    if len(frames) < num_frames:
        what = f"the take before has {len(frames)} frames and {num_frames} are needed to continue from it"
        raise Rejected("conditioning", f"{path}: {what}. Make that scene longer, or start this one with a cut.")
    return frames[-num_frames:]


@contextlib.contextmanager
def as_disk_error(path: Path) -> Generator[None]:
    """A full or missing disk is no fault of the ranks: the job fails with a message, and the group goes on."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise EngineError(f"{path}: cannot write the take ({error}). Free some space and render again.") from error
