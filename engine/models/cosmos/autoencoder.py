"""The causal video autoencoder (diffusers' ``AutoencoderKLWan``): frames to normalised latents and, as a stream, back.

Comes in: uint8 frames, or latents. Goes out: latents of mean 0 and deviation 1 per channel, or frames, a few at a time:
memory does not grow with length. Does not know noise, conditioning rules or files of video.

Letters: F H W frames and pixels, C latent channels, T latent frames, h w latent size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, unpatchify
from torch import Tensor, nn

from engine.contract.errors import Rejected
from engine.contract.media import Frames


class VideoAutoencoder(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, model: AutoencoderKLWan) -> None:
        super().__init__()
        self.model: Any = model  # diffusers' own annotations fit neither its config nor its outputs
        for name in ("mean", "std"):
            values = torch.tensor(self.model.config[f"latents_{name}"]).view(1, -1, 1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @torch.inference_mode()
    def encode(self, frames: Frames) -> Tensor:
        """(F, H, W, 3) uint8, F on the frame grid -> (1, C, T, h, w) float32: the posterior's mean, never a sample."""
        weight = self.model.quant_conv.weight
        pixels = torch.from_numpy(np.array(frames)).to(weight.device)
        pixels = pixels.permute(3, 0, 1, 2)[None].to(weight.dtype) / 127.5 - 1.0
        latents = self.model.encode(pixels).latent_dist.mode()
        return ((latents - self.mean) / self.std).float()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Iterator[Frames]:
        """(1, C, T, h, w) -> T arrays (F_i, H, W, 3) uint8: one frame, then ``temporal factor`` frames at a time.

        Every step feeds one latent frame through the decoder with its causal cache (two frames per convolution).
        """
        model, cache = self.model, [None] * self.model._cached_conv_counts["decoder"]
        weight = model.post_quant_conv.weight
        for index in range(latents.shape[2]):
            latent = latents[:, :, index : index + 1].to(weight.device) * self.std + self.mean
            latent = model.post_quant_conv(latent.to(weight.dtype))
            pixels = model.decoder(latent, feat_cache=cache, feat_idx=[0], first_chunk=index == 0)
            if model.config.patch_size is not None:
                pixels = unpatchify(pixels, model.config.patch_size)
            yield to_uint8(pixels)

    @torch.inference_mode()
    def decode_whole(self, latents: Tensor) -> Frames:
        """The plain twin of ``decode``: diffusers' own, all frames at once. (1, C, T, h, w) -> (F, H, W, 3)."""
        weight = self.model.post_quant_conv.weight
        latents = latents.to(weight.device) * self.std + self.mean
        return to_uint8(self.model.decode(latents.to(weight.dtype)).sample)


def to_uint8(pixels: Tensor) -> Frames:
    """(1, 3, F, H, W) in [-1, 1] -> (F, H, W, 3), rounded to nearest."""
    levels = ((pixels[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(1, 2, 3, 0).cpu().numpy()


def load_autoencoder(folder: Path, dtype: torch.dtype) -> VideoAutoencoder:
    """From a folder in diffusers' layout, on the CPU. Damaged or foreign weights are refused with the reason."""
    try:
        model = AutoencoderKLWan.from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the autoencoder cannot be read ({error}). Restore it.") from error
    return VideoAutoencoder(model).eval().requires_grad_(False)
