"""The causal video autoencoder Wan 2.1 (diffusers' ``AutoencoderKLWan``): frames to latents and, as a stream, back.

Comes in: uint8 frames, or latents. Goes out: latents of mean 0 and deviation 1 per channel, or frames, a few at a time:
memory does not grow with length. Does not know noise, conditioning rules or files of video.

Letters: F H W frames and pixels, C latent channels, T latent frames, h w latent size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, unpatchify
from torch import Tensor

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.files import Weights, read_json, read_weights
from engine.checkpoints.known import describe_weights
from engine.contract.errors import Rejected
from engine.layers.pixels import pixels_from, rounded_frames
from engine.models.model import Autoencoder
from engine.storage.media import Frames


class VideoAutoencoder(Autoencoder):
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
        latents = self.model.encode(pixels_from(frames, weight.device, weight.dtype)).latent_dist.mode()
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
            yield rounded_frames(pixels)

    @torch.inference_mode()
    def decode_whole(self, latents: Tensor) -> Frames:
        """The plain twin of ``decode``: diffusers' own, all frames at once. (1, C, T, h, w) -> (F, H, W, 3)."""
        weight = self.model.post_quant_conv.weight
        latents = latents.to(weight.device) * self.std + self.mean
        return rounded_frames(self.model.decode(latents.to(weight.dtype)).sample)


def load_wan(path: Path, dtype: torch.dtype) -> VideoAutoencoder:
    """Wan's original ``tokenizer.pth``, or diffusers' layout (a folder with ``config.json``), on the CPU.

    Raises Rejected("weights") for damaged, foreign or incomplete weights.
    """
    config, weights = _wan_config(path), read_weights(path)
    if config is None:
        names = _original_names(weights)
        config, weights = _sizes(weights), weights.renamed(names.get)
    try:
        with torch.device("meta"):
            model: Any = AutoencoderKLWan.from_config(config)
    except (TypeError, ValueError, KeyError) as error:
        raise Rejected("weights", f"{path}: the autoencoder's configuration cannot be used ({error}).") from error
    assign_strictly(model, weights, str(path), dtype)
    return VideoAutoencoder(model).eval().requires_grad_(False)


def _wan_config(path: Path) -> dict[str, Any] | None:
    """Of a folder in diffusers' layout; None where there is no ``config.json``."""
    if not (path / "config.json").exists():
        return None
    config = read_json(path / "config.json")
    class_name = config.get("_class_name", "AutoencoderKLWan")
    if class_name != "AutoencoderKLWan":
        raise Rejected("weights", f"{path}: this is diffusers' {class_name}. Expected: AutoencoderKLWan (Wan 2.1).")
    return config


def _original_names(weights: Weights) -> dict[str, str]:
    """Wan's original names -> diffusers', by diffusers' own rules."""
    if not {"encoder.conv1.weight", "conv2.weight", "encoder.downsamples.0.residual.0.gamma"} <= weights.shapes.keys():
        expected = "the Wan 2.1 autoencoder's tokenizer.pth, or diffusers' folder with its config.json"
        raise Rejected(
            "weights", f"{weights.source}: this is {describe_weights(weights.shapes)}. Expected: {expected}."
        )
    names = {name: name for name in weights}
    return {original: converted for converted, original in convert_wan_vae_to_diffusers(names).items()}


def _sizes(weights: Weights) -> dict[str, int]:
    """What differs from the released sizes, which are diffusers' defaults, as are the latents' statistics."""
    return {"base_dim": weights.shapes["encoder.conv1.weight"][0], "z_dim": weights.shapes["conv2.weight"][0]}
