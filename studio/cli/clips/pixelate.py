"""``storyboard pixelate CLIP``: all faces of a finished film or take made unrecognisable, in a new file.

Comes in: a clip, a detector of faces. Goes out: a clip of the same size and length. The original stays as it is. Does
not know projects or takes.
"""

import argparse
from pathlib import Path

import numpy as np

from engine.assistants.faces import YUNET, FaceDetector, YuNet, pixelate
from engine.storage.atomic import replacing
from engine.storage.media import stream_clip
from engine.storage.video import VideoWriter
from studio.cli.flags import DONE, Commands, counted, models_root_of
from studio.errors import FilmError


def add_command(commands: Commands) -> None:
    text = "Make all faces of a clip unrecognisable, those of drawn people and of the author too; writes a new file."
    parser = commands.add("pixelate", _pixelate, text)
    parser.add_argument("clip", type=Path, metavar="CLIP", help="an mp4 or webm, such as a finished film")
    parser.add_argument("--out", type=Path, help="default: CLIP's name with -faces.mp4, beside it")


def _pixelate(flags: argparse.Namespace) -> int:
    clip: Path = flags.clip
    out = flags.out or clip.with_name(f"{clip.stem}-faces.mp4")
    num_faces, num_frames = pixelate_clip(clip, out, YuNet(models_root_of(flags) / YUNET))
    found = f"{counted(num_faces, 'face')} in {counted(num_frames, 'frame')}"
    print(f"{out}: {found} pixelated. A detector misses some: look at it before you publish it.")
    return DONE


def pixelate_clip(clip: Path, out: Path, detector: FaceDetector) -> tuple[int, int]:
    """-> (faces found, frames). Raises Rejected for what is no clip, FilmError, EngineError; then no file is left."""
    if out.resolve() == clip.resolve():
        raise FilmError(f"{out}: is the clip itself. Choose another name with --out.")
    num_faces = num_frames = 0
    try:
        with (
            replacing(out) as draft,
            stream_clip(clip) as (size_px, fps, frames),
            VideoWriter(draft, size_px, max(1, round(fps))) as writer,
        ):
            for frame in frames:
                boxes = detector.boxes(frame)
                writer.write(pixelate(frame, boxes)[np.newaxis])
                num_faces, num_frames = num_faces + len(boxes), num_frames + 1
    except OSError as error:
        raise FilmError(f"{out}: could not be written ({error.strerror or error}). Choose another place.") from error
    return num_faces, num_frames
