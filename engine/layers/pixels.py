"""Frames as pixels and pixels as frames, at the two ends of every video autoencoder.

Comes in: uint8 frames, or the pixels that a decoder computes. Goes out: pixels in [-1, 1], or uint8 frames, whole or in
groups of one latent frame each. Does not know autoencoders: which of the two roundings applies, a family decides.

Letters: F H W frames and pixels.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from engine.storage.media import Frames


def pixels_from(frames: Frames, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(F, H, W, 3) uint8 -> (1, 3, F, H, W) in [-1, 1], computed in ``dtype``."""
    pixels = torch.from_numpy(np.array(frames)).to(device)
    return pixels.permute(3, 0, 1, 2)[None].to(dtype) / 127.5 - 1.0


def rounded_frames(pixels: Tensor) -> Frames:
    """(1, 3, F, H, W) in [-1, 1] -> (F, H, W, 3) uint8, rounded to the nearest level."""
    return _frames(((pixels[0].float().clamp(-1, 1) + 1) * 127.5).round())


def truncated_frames(pixels: Tensor) -> Frames:
    """(1, 3, F, H, W) in [-1, 1] -> (F, H, W, 3) uint8, cut to whole levels."""
    return _frames(((pixels[0].float() + 1) / 2).clamp(0, 1) * 255)


def _frames(levels: Tensor) -> Frames:
    return levels.to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()


def split_by_latent_frame(frames: Frames, temporal_factor: int) -> Iterator[Frames]:
    """The frames of a causal autoencoder, one array per latent frame: one frame, then ``temporal_factor`` at a time."""
    yield frames[:1]
    for start in range(1, len(frames), temporal_factor):
        yield frames[start : start + temporal_factor]
