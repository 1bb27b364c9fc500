"""The picture that a refiner is shown: of a picture, the picture; of a clip, its last frame.

Comes in: a stored file. Goes out: a JPEG of moderate size. Does not know who looks at it.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from engine.assistants.endpoint import Picture
from engine.storage.media import Frames, read_frames

LONGEST_SIDE_PX = 1024
JPEG_QUALITY = 90


def picture_of(path: Path) -> Picture:
    """Raises Rejected("conditioning") for a file that is neither picture nor clip."""
    return jpeg_of(read_frames(path, 1))


def jpeg_of(frames: Frames) -> Picture:
    """The last of some frames, no side longer than what models look at."""
    image = Image.fromarray(np.ascontiguousarray(frames[-1]))
    image.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return Picture(stream.getvalue(), "image/jpeg")
