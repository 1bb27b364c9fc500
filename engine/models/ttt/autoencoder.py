"""CogVideoX' causal video autoencoder (diffusers' ``AutoencoderKLCogVideoX``): frames to latents and, streamed, back.

Comes in: uint8 frames, or latents in the network's scale; a folder in diffusers' layout, or SAT's ``3d-vae.pt``. Goes
out: latents, or frames a few at a time: memory does not grow with length. Does not know noise or files of video.

Its group norms take their statistics over a window of latent frames, so the windows decide pixels: three latent frames,
then two at a time, with the convolutions' last inputs carried over, as the networks' makers decode.

Letters: F H W frames and pixels, C latent channels, T latent frames, h w latent size.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import Tensor

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.files import Weights, read_weights
from engine.contract.errors import Rejected
from engine.layers.pixels import pixels_from, truncated_frames
from engine.models.model import Autoencoder
from engine.storage.media import Frames

WINDOW, FIRST_WINDOW = 2, 3
"""Latent frames decoded together."""

SAT_RULES: tuple[tuple[str, str], ...] = (
    (r"\.down\.(\d+)\.", r".down_blocks.\1."),
    (r"\.block\.(\d+)\.", r".resnets.\1."),
    (r"\.(down|up)sample\.", r".\1samplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
)
"""SAT's key -> diffusers' key; the levels of the decoder are also counted from the other end."""
SAT_NUM_LEVELS = 4


class CogVideoXAutoencoder(Autoencoder):
    """``scale``: what latents are multiplied by before the network sees them."""

    def __init__(self, model: AutoencoderKLCogVideoX, scale: float) -> None:
        super().__init__()
        self.model: Any = model  # diffusers' own annotations fit neither its config nor its outputs
        self.scale = scale

    @torch.inference_mode()
    def encode(self, frames: Frames) -> Tensor:
        """(F, H, W, 3) uint8, F on the frame grid -> (1, C, T, h, w) float32: the posterior's mean, never a sample."""
        parameter = next(self.model.parameters())
        pixels = pixels_from(frames, parameter.device, parameter.dtype)
        return self.model.encode(pixels).latent_dist.mode().float() * self.scale

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Iterator[Frames]:
        """(1, C, T, h, w), T odd -> T arrays (F_i, H, W, 3) uint8: one frame, then four at a time;
        levels are truncated, as TTT-Video's script writes its films.

        Raises Rejected("frames") for an even T, which these windows do not make whole frames of.
        """
        for pixels in self.windows(latents, window_sizes(latents.shape[2])):
            frames = truncated_frames(pixels)
            if frames.shape[0] % 2:
                yield frames[:1]
                frames = frames[1:]
            if frames.shape[0]:
                yield from np.split(frames, frames.shape[0] // self.model.config.temporal_compression_ratio)

    def windows(self, latents: Tensor, sizes: tuple[int, ...]) -> Iterator[Tensor]:
        """(1, C, T, h, w) and the latent frames of each window -> its pixels (1, 3, F, H, W), nominally in [-1, 1]."""
        parameter, cache = next(self.model.parameters()), None
        for latent in latents.split(sizes, dim=2):
            latent = (latent.to(parameter.device) / self.scale).to(parameter.dtype)
            if self.model.post_quant_conv is not None:
                latent = self.model.post_quant_conv(latent)
            pixels, cache = self.model.decoder(latent, conv_cache=cache)
            yield pixels

    @torch.inference_mode()
    def decode_whole(self, latents: Tensor) -> Frames:
        """The plain twin of ``decode``: diffusers' own, all frames at once. (1, C, T, h, w) -> (F, H, W, 3)."""
        parameter = next(self.model.parameters())
        latents = (latents.to(parameter.device) / self.scale).to(parameter.dtype)
        return truncated_frames(self.model.decode(latents).sample)


def window_sizes(num_latent_frames: int) -> tuple[int, ...]:
    """3, 2, 2 ...; a single latent frame is a picture. Raises Rejected("frames") for an even number."""
    if num_latent_frames == 1:
        return (1,)
    if num_latent_frames % 2 == 0:
        problem = f"{num_latent_frames} latent frames; the CogVideoX autoencoder decodes an odd number of them"
        raise Rejected("frames", f"{problem}. Choose a length whose latent frames are odd, such as whole segments.")
    return (FIRST_WINDOW,) + (WINDOW,) * ((num_latent_frames - FIRST_WINDOW) // WINDOW)


def load_autoencoder(path: Path, scale: float, dtype: torch.dtype) -> CogVideoXAutoencoder:
    """A folder in diffusers' layout or a file of SAT's, on the CPU. Raises Rejected("weights")."""
    weights = read_weights(path)
    if path.is_dir():
        config = _config_of(path)
    else:
        config, weights = sat_config(weights), weights.renamed(from_sat)
    with torch.device("meta"):
        model = AutoencoderKLCogVideoX(**config)
    assign_strictly(model, weights, str(path), dtype)
    return CogVideoXAutoencoder(model, scale).eval().requires_grad_(False)


def _config_of(folder: Path) -> dict[str, Any]:
    """The arguments that ``config.json`` has for the autoencoder."""
    try:
        config: Any = AutoencoderKLCogVideoX.load_config(folder, local_files_only=True)
    except Exception as error:  # diffusers has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the autoencoder's config.json cannot be read ({error}).") from error
    if (class_name := config.get("_class_name")) != AutoencoderKLCogVideoX.__name__:
        raise Rejected("weights", f"{folder}: holds a {class_name}, where CogVideoX' autoencoder was expected.")
    return {key: value for key, value in config.items() if not key.startswith("_")}


def sat_config(weights: Weights) -> dict[str, Any]:
    """Sizes from SAT's weights; the rest are its own constants, which are diffusers' defaults."""
    shapes = weights.shapes
    try:
        widths = [shapes[f"encoder.down.{level}.block.0.conv1.conv.weight"][0] for level in range(SAT_NUM_LEVELS)]
        latent_channels = shapes["decoder.conv_in.conv.weight"][1]
    except KeyError as error:
        problem = f"not SAT's file of the CogVideoX autoencoder: it has no {error}"
        raise Rejected(
            "weights", f"{weights.source}: {problem}. Expected 3d-vae.pt, or a folder of diffusers."
        ) from error
    num_blocks = sum(bool(re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.conv\.bias", name)) for name in shapes)
    return {
        "down_block_types": ("CogVideoXDownBlock3D",) * SAT_NUM_LEVELS,
        "up_block_types": ("CogVideoXUpBlock3D",) * SAT_NUM_LEVELS,
        "block_out_channels": tuple(widths),
        "layers_per_block": num_blocks,
        "latent_channels": latent_channels,
    }


def from_sat(key: str) -> str | None:
    """diffusers' name of a tensor of SAT's file; None for what is used in training alone."""
    if key.startswith("loss."):
        return None
    for pattern, replacement in SAT_RULES:
        key = re.sub(pattern, replacement, key)
    return re.sub(r"\.up\.(\d+)\.", lambda match: f".up_blocks.{SAT_NUM_LEVELS - 1 - int(match[1])}.", key)
