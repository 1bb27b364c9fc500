"""Conditioning frames: from a stored picture or clip, or losslessly from the end of another take.

Comes in: what a job names, and the workspace. Goes out: uint8 frames of the job's size, or Rejected("conditioning").
Does not know latents, noise or samplers.

Letters: F H W frames and pixels.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from engine.contract.errors import Rejected
from engine.contract.jobs import FromModel, FromTake, JobConditioning
from engine.contract.values import SizePx
from engine.storage.media import Frames, MediaStore, read_frames, read_range
from engine.storage.takes import read_tail
from engine.storage.workspace import Workspace


def conditioning_frames(conditioning: JobConditioning, size_px: SizePx, workspace: Workspace) -> Frames:
    """(F, H, W, 3) uint8, as many as the job asks for. Raises Rejected("conditioning")."""
    if isinstance(conditioning, FromTake):
        return fit(read_tail(workspace.take_folder(conditioning.recipe), conditioning.num_frames), size_px)
    if isinstance(conditioning, FromModel):
        return fit(read_frames(workspace.picture(conditioning.recipe), 1), size_px)
    path = _stored(conditioning.media, workspace)
    if conditioning.taken_from == "start" and conditioning.kind == "clip":
        return fit(read_range(path, 0, conditioning.num_frames), size_px)
    return fit(read_frames(path, conditioning.num_frames), size_px)


def clip_frames(media: str, start: int, num_frames: int, size_px: SizePx, workspace: Workspace) -> Frames:
    """(F, H, W, 3) uint8 of a stored clip from frame ``start`` on; a picture, and a clip after its end, stand still.

    Raises Rejected("conditioning").
    """
    return fit(read_range(_stored(media, workspace), start, num_frames), size_px)


def _stored(media: str, workspace: Workspace) -> Path:
    store = MediaStore(workspace.media)
    if not store.has(media):
        raise Rejected("conditioning", f"media {media[:16]} is not in the workspace. Choose it again.")
    return store.path(media)


def resized_shape(source: SizePx, target: SizePx) -> SizePx:
    """(width, height) that covers the target and keeps the aspect ratio, rounded up (Cosmos, in double precision)."""
    scale = max(target[0] / source[0], target[1] / source[1])
    return math.ceil(scale * source[0]), math.ceil(scale * source[1])


def crop_offset(resized: SizePx, target: SizePx) -> SizePx:
    """(left, top) of the centred crop; half a pixel rounds to even."""
    return round((resized[0] - target[0]) / 2), round((resized[1] - target[1]) / 2)


def fit(frames: Frames, size_px: SizePx) -> Frames:
    """(F, H, W, 3) uint8 at any size -> ``size_px``: scaled to cover (bilinear, antialiased), cropped at the centre.

    Levels are cut to whole numbers, not rounded, as Cosmos-Predict2 does.
    """
    source = frames.shape[2], frames.shape[1]
    if source == size_px:
        return frames
    width, height = resized_shape(source, size_px)
    left, top = crop_offset((width, height), size_px)
    pixels = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float() / 255.0
    if pixels.shape[2:] != (height, width):
        pixels = F.interpolate(pixels, (height, width), mode="bilinear", align_corners=False, antialias=True)
    pixels = pixels[:, :, top : top + size_px[1], left : left + size_px[0]]
    return (pixels.clamp(0, 1) * 255.0).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
