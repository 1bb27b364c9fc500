"""Predict1's video autoencoder CV8x8x8-720p, from NVIDIA's TorchScript files or from diffusers' layout.

Comes in: uint8 frames of one chunk, or its latents. Goes out: latents in the network's scale, or frames. A chunk is
decoded whole, as the model was made to be: memory grows with the chunk, not with the film. Does not know noise,
conditioning rules or files of video.

Sources: nvidia-cosmos/cosmos-predict1 ``pretrained_vae.py`` (statistics by channel and latent frame, value / 128 - 1).

Letters: F H W frames and pixels, C latent channels, T latent frames, h w latent size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cosmos import AutoencoderKLCosmos
from torch import Tensor, nn

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.files import load_plain, read_json, read_weights
from engine.checkpoints.jit import first_output, load_jit, read_statistics
from engine.contract.errors import Rejected
from engine.layers.pixels import split_by_latent_frame, truncated_frames
from engine.models.model import Autoencoder
from engine.storage.media import Frames

LATENT_CHANNELS, TEMPORAL_FACTOR = 16, 8
JIT_NAMES = ("encoder.jit", "decoder.jit", "mean_std.pt")


class JitCoder(nn.Module):
    """pixels (1, 3, F, H, W) in [-1, 1] <-> latents (1, C, T, h, w) of the model's own scale."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def to_latents(self, pixels: Tensor) -> Tensor:
        return first_output(self.encoder(pixels))

    def to_pixels(self, latents: Tensor) -> Tensor:
        return self.decoder(latents)


class DiffusersCoder(nn.Module):
    """As ``JitCoder``."""

    def __init__(self, model: AutoencoderKLCosmos) -> None:
        super().__init__()
        self.model: Any = model  # diffusers' own annotations do not fit its outputs

    def to_latents(self, pixels: Tensor) -> Tensor:
        return self.model.encode(pixels).latent_dist.mode()

    def to_pixels(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents).sample


class ChunkAutoencoder(Autoencoder):
    """mean, std: (C, n), for the first n latent frames. scale: sigma_data, what the network's latents deviate by."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        coder: JitCoder | DiffusersCoder,
        mean: Tensor,
        std: Tensor,
        scale: float,
        chunk_num_frames: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.coder, self.scale, self.chunk_num_frames, self.dtype = coder, scale, chunk_num_frames, dtype
        self.register_buffer("mean", mean[None, :, :, None, None], persistent=False)
        self.register_buffer("std", std[None, :, :, None, None], persistent=False)

    @torch.inference_mode()
    def encode(self, frames: Frames) -> Tensor:
        """(F, H, W, 3) uint8, F on the frame grid and at most a chunk -> (1, C, T, h, w) float32.

        The chunk is filled up with grey; everything is causal, so what comes after does not change the clip's latents.
        """
        pixels = torch.from_numpy(np.array(frames)).to(self.mean.device)
        pixels = pixels.permute(3, 0, 1, 2)[None].float() / 128.0 - 1.0
        missing = max(self.chunk_num_frames - len(frames), 0)
        filled = nn.functional.pad(pixels, (0, 0, 0, 0, 0, missing)).to(self.dtype)
        num_latents = (len(frames) - 1) // TEMPORAL_FACTOR + 1
        latents = self.coder.to_latents(filled)[:, :, :num_latents].float()
        mean, std = self._statistics(num_latents)
        return (latents - mean) / std * self.scale

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Iterator[Frames]:
        """(1, C, T, h, w) -> T arrays (F_i, H, W, 3) uint8: one frame, then eight at a time.

        Levels are truncated, as the reference does."""
        yield from split_by_latent_frame(truncated_frames(self.decode_pixels(latents)), TEMPORAL_FACTOR)

    @torch.inference_mode()
    def decode_pixels(self, latents: Tensor) -> Tensor:
        """(1, C, T, h, w) -> (1, 3, 8 (T - 1) + 1, H, W), about [-1, 1]."""
        num_latents = latents.shape[2]
        mean, std = self._statistics(num_latents)
        latents = latents.to(mean.device).float() / self.scale * std + mean
        pixels = self.coder.to_pixels(latents.to(self.dtype))
        expected = TEMPORAL_FACTOR * (num_latents - 1) + 1
        if pixels.shape[2] != expected:
            problem = f"the decoder makes {pixels.shape[2]} frames of {num_latents} latent frames, not {expected}"
            raise Rejected("weights", f"not the autoencoder CV8x8x8: {problem}.")
        return pixels

    def _statistics(self, num_latents: int) -> tuple[Tensor, Tensor]:
        known = self.mean.shape[2]
        if known not in (1,) and num_latents > known:
            problem = f"{num_latents} latent frames, and statistics for {known} alone"
            raise Rejected("frames", f"This autoencoder works on one chunk at a time: {problem}.")
        return self.mean[:, :, :num_latents], self.std[:, :, :num_latents]


def load_cv8x8x8(path: Path, scale: float, chunk_num_frames: int, dtype: torch.dtype) -> ChunkAutoencoder:
    """A folder with NVIDIA's ``encoder.jit``, ``decoder.jit`` and ``mean_std.pt``, or one in diffusers' layout."""
    parts = _from_diffusers(path, dtype) if (path / "config.json").exists() and _is_diffusers(path) else None
    coder, mean, std = parts or _from_jit(path, dtype)
    autoencoder = ChunkAutoencoder(coder, mean, std, scale, chunk_num_frames, dtype)
    return autoencoder.eval().requires_grad_(False)


def _is_diffusers(path: Path) -> bool:
    """NVIDIA's folders have a ``config.json`` too, about other things."""
    return "_class_name" in read_json(path / "config.json")


def _from_jit(path: Path, dtype: torch.dtype) -> tuple[JitCoder, Tensor, Tensor]:
    if missing := [name for name in JIT_NAMES if not (path / name).exists()]:
        problem = f"{', '.join(missing)} missing, of {', '.join(JIT_NAMES)}"
        raise Rejected("weights", f"{path}: not the autoencoder CV8x8x8; {problem}. Finish the download.")
    encoder, decoder = (load_jit(path / name, str(path / name), dtype) for name in JIT_NAMES[:2])
    statistics = path / JIT_NAMES[2]
    document = load_plain(statistics, str(statistics))
    return JitCoder(encoder, decoder), *read_statistics(document, LATENT_CHANNELS, str(statistics))


def _from_diffusers(path: Path, dtype: torch.dtype) -> tuple[DiffusersCoder, Tensor, Tensor]:
    config = read_json(path / "config.json")
    class_name = config["_class_name"]
    if class_name != "AutoencoderKLCosmos":
        raise Rejected("weights", f"{path}: this is diffusers' {class_name}. Expected: AutoencoderKLCosmos (CV8x8x8).")
    model: Any = AutoencoderKLCosmos.from_config(config)  # holds wavelets that no file has
    assign_strictly(model, read_weights(path), str(path), dtype)
    channels = model.config.latent_channels
    pair = model.config.latents_mean or [0.0] * channels, model.config.latents_std or [1.0] * channels
    return DiffusersCoder(model), *read_statistics(pair, channels, str(path))
