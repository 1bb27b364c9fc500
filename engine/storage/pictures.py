"""First frames that a picture model made, kept as PNG files under the recipe of the picture.

Comes in: one frame and a path. Goes out: a file that is whole or absent, and its copy among the media. Does not know
jobs, samplers or ranks.

Letters: H W pixels.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from engine.contract.errors import Rejected
from engine.contract.values import Sha256
from engine.storage.atomic import open_replacing
from engine.storage.media import Frames, MediaStore, read_frames
from engine.storage.takes import as_disk_error
from engine.storage.workspace import Workspace


def is_whole(path: Path) -> bool:
    """Whether a kept picture is there and can be read; one that cannot is made again."""
    try:
        read_frames(path, 1)
    except (Rejected, OSError):
        return False
    return True


def stored(path: Path, workspace: Workspace) -> Sha256:
    """Puts a kept picture among the media, where it is shown from."""
    with as_disk_error(path):
        return MediaStore(workspace.media).adopt(path)


class PictureWriter:
    """Takes the one frame of a picture job, (1, H, W, 3) uint8; the file is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail: Frames = np.zeros((0, 1, 1, 3), np.uint8)

    def start(self) -> None:
        pass

    def write(self, frames: Frames) -> None:
        self.tail = frames[:1] if len(frames) else self.tail

    def finish(self) -> None:
        with as_disk_error(self.path), open_replacing(self.path) as file:
            Image.fromarray(np.asarray(self.tail[0])).save(file, "PNG")

    def leave(self) -> None:
        pass
