"""The fast picture autoencoder of Predict2 0.6B: one file with two TorchScript programs and the latents' statistics.

Comes in: one uint8 picture, or its latent. Goes out: a latent of mean 0 and deviation 1 per channel, or the picture.
Does not know video.

Letters: H W pixels, C latent channels, h w latent size; frames and latents have a time axis of length 1.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.checkpoints.files import load_plain
from engine.checkpoints.jit import first_output, load_jit, read_statistics
from engine.contract.errors import Rejected
from engine.layers.pixels import rounded_frames
from engine.models.model import Autoencoder
from engine.storage.media import Frames

LATENT_CHANNELS = 16
KEYS = ("encoder", "decoder", "mean_std")


class ImageAutoencoder(Autoencoder):
    """encoder: (1, 3, H, W) in [-1, 1] -> (1, C, h, w); decoder: the way back. mean, std: (C,)."""

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Any, decoder: Any, mean: Tensor, std: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoder, self.decoder, self.dtype = encoder, decoder, dtype
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1), persistent=False)

    @torch.inference_mode()
    def encode(self, frames: Frames) -> Tensor:
        """(1, H, W, 3) uint8 -> (1, C, 1, h, w) float32."""
        if len(frames) != 1:
            raise Rejected("frames", f"This autoencoder is for pictures; it was given {len(frames)} frames.")
        pixels = torch.from_numpy(np.array(frames)).to(self.mean.device).permute(0, 3, 1, 2)
        latent = first_output(self.encoder((pixels.float() / 127.5 - 1.0).to(self.dtype)))
        return ((latent.float() - self.mean) / self.std)[:, :, None]

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Iterator[Frames]:
        """(1, C, T, h, w) -> T arrays (1, H, W, 3) uint8."""
        for latent in latents.to(self.mean.device).unbind(2):
            pixels = self.decoder((latent.float() * self.std + self.mean).to(self.dtype))
            yield rounded_frames(pixels[:, :, None])


def load_image_jit(path: Path, dtype: torch.dtype) -> ImageAutoencoder:
    """Raises Rejected("weights") for a file that is not such a pair of programs."""
    if not path.is_file():
        raise Rejected("weights", f"{path}: no such file. Restore it or choose another model.")
    document = load_plain(path, str(path))
    if not isinstance(document, dict) or not set(KEYS) <= set(document):
        raise Rejected("weights", f"{path}: not the fast picture tokenizer; it must hold {', '.join(KEYS)}.")
    encoder, decoder = (
        load_jit(_bytes(document[key], f"{path}, {key}"), f"{path}, {key}", dtype) for key in ("encoder", "decoder")
    )
    mean, std = read_statistics(document["mean_std"], LATENT_CHANNELS, str(path))
    return ImageAutoencoder(encoder, decoder, mean[:, 0], std[:, 0], dtype).eval().requires_grad_(False)


def _bytes(value: Any, source: str) -> bytes:
    if isinstance(value, io.BytesIO):
        return value.getvalue()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise Rejected("weights", f"{source}: holds a {type(value).__name__}, where the bytes of a program were expected.")
