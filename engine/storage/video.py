"""Writes frames into an H.264 mp4 as they come, through ffmpeg's standard input.

Comes in: uint8 frames, a few at a time. Goes out: a complete file, or an error and no file. Does not know latents, jobs
or ranks.
"""

import contextlib
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

import imageio_ffmpeg  # pyright: ignore[reportMissingTypeStubs]
import numpy as np

from engine.contract.errors import EngineError
from engine.contract.values import SizePx
from engine.storage.atomic import sync_file
from engine.storage.media import Frames

CRF = 12
"""x264's constant rate factor: visually without loss, so that a film made of takes can be encoded once more."""
MAX_COMMENT_BYTES = 100_000
"""One argument of a command line holds 128 KiB."""
PATIENCE_S = 120.0


class VideoWriter:
    """``with VideoWriter(...) as writer: writer.write(frames)``. Leaving without an error completes the file.

    comment: text kept in the file's metadata (left out where it is longer than MAX_COMMENT_BYTES).
    Raises EngineError with ffmpeg's message where it fails; then no file is left.
    """

    def __init__(self, path: Path, size_px: SizePx, fps: int, comment: str = "", ffmpeg: str | None = None) -> None:
        self.path, self.size_px, self.fps, self.comment = path, size_px, fps, comment
        self.ffmpeg = ffmpeg or imageio_ffmpeg.get_ffmpeg_exe()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        width, height = self.size_px
        comment = self.comment if len(self.comment.encode()) <= MAX_COMMENT_BYTES else ""
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(self.fps), "-i", "pipe:0"]
        colour = ["-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bicubic"]
        colour += ["-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
        encode = ["-an", "-c:v", "libx264", "-preset", "medium", "-crf", str(CRF), "-color_range", "tv"]
        whole = ["-metadata", f"comment={comment}", "-movflags", "+faststart", "-f", "mp4", str(self.path)]
        return [self.ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *raw, *colour, *encode, *whole]

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stderr=self.errors)
        except OSError as error:
            self.errors.close()
            raise EngineError(f"{self.ffmpeg}: cannot be started ({error}). Install imageio-ffmpeg again.") from error

    def write(self, frames: Frames) -> None:
        """frames: (F, H, W, 3) uint8."""
        width, height = self.size_px
        assert frames.shape[1:] == (height, width, 3), f"frames {frames.shape}, file {self.size_px}"
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(np.ascontiguousarray(frames).data)
            self.process.stdin.flush()
        except OSError as error:
            raise self._failure() from error

    def complete(self) -> None:
        """After the last frame: the file is whole and on the disk."""
        try:
            self.process.communicate(timeout=PATIENCE_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failure() from error
        if self.process.returncode != 0 or not self.path.is_file() or self.path.stat().st_size == 0:
            raise self._failure()
        self.errors.close()
        sync_file(self.path)

    def drop(self) -> None:
        """Ends ffmpeg and removes what it wrote. May be called at any time, more than once."""
        if self._process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):  # what was still buffered has no reader any more
                self.process.stdin.close()
        self.process.wait()
        self.errors.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> "VideoWriter":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.complete()
        else:
            self.drop()

    def _failure(self) -> EngineError:
        self.process.kill()
        self.process.wait()
        self.errors.seek(0)
        message = self.errors.read(4000).decode(errors="replace").strip() or f"exit code {self.process.returncode}"
        self.drop()
        return EngineError(f"{self.path}: ffmpeg could not write the take: {message}. Is the disk full?")
