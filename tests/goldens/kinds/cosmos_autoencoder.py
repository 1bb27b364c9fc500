"""Wan 2.1's video autoencoder, tiny: latents, frames, and frames as a stream.

Comes in: a case whose weights are stored in a file of their own, or follow from a formula, under the original's names;
they are read as the original ``tokenizer.pth`` is. Frames are compared as levels too, since that is what we give out.

Letters: F H W frames and pixels, C latent channels, T latent frames, h w latent size.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.models.cosmos.autoencoder import VideoAutoencoder, load_wan
from tests.goldens.formula_weights import sha256_of
from tests.goldens.runner import Case, Description, assert_close, kind

ENCODED, DECODED = re.compile(r"enc_F(\d+)"), re.compile(r"dec_F(\d+)")
ROUND_TRIP = re.compile(r"roundtrip_F(\d+)_frame(\d+)")
HALF_ATOL = 3e-3
"""Of values stored as float16, as the goldens' README says."""
TEMPORAL_FACTOR = 4


def is_autoencoder(description: Description) -> bool:
    return "temperal_downsample" in description.get("config", {})


def autoencoder_of(case: Case) -> VideoAutoencoder:
    description, config = case.description, case.description["config"]
    weights = case.weights()
    assert sha256_of(weights) == description["weights_sha256_fp32_sorted_keys"], "the weights are not the case's"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.safetensors"
        save_file(weights, path)
        autoencoder = load_wan(path, torch.float32)
    autoencoder.mean = torch.tensor(config["latents_mean"]).view(1, -1, 1, 1, 1)
    autoencoder.std = torch.tensor(config["latents_std"]).view(1, -1, 1, 1, 1)
    return autoencoder


def by_length(golden: dict[str, Tensor], pattern: re.Pattern[str]) -> dict[int, Tensor]:
    lengths = {int(found[1]): tensor for name, tensor in golden.items() if (found := pattern.fullmatch(name))}
    assert lengths, f"the case has nothing like {pattern.pattern}"
    return lengths


def close_to(case: Case, golden: Tensor) -> tuple[float, float]:
    tolerance = case.description["tolerance"]
    return (HALF_ATOL if golden.dtype == torch.float16 else tolerance["atol"]), tolerance["rtol"]


def latents_of(golden: dict[str, Tensor], num_frames: int) -> Tensor:
    return golden["latents_in"][:, :, : 1 + (num_frames - 1) // TEMPORAL_FACTOR]


@kind("cosmos_autoencoder", recognises=is_autoencoder)
def encode(case: Case) -> None:
    golden, autoencoder = case.tensors(), autoencoder_of(case)
    for num_frames, latents in by_length(golden, ENCODED).items():
        frames = golden["frames_u8"][:num_frames].permute(0, 2, 3, 1).numpy()
        assert_close(autoencoder.encode(frames), latents, *close_to(case, latents), f"{num_frames} frames")


@kind("cosmos_autoencoder", recognises=is_autoencoder)
def decode(case: Case) -> None:
    """Before rounding. The original does not clamp, ours does."""
    golden, autoencoder = case.tensors(), autoencoder_of(case)
    with torch.inference_mode():
        for num_frames, pixels in by_length(golden, DECODED).items():
            latents = latents_of(golden, num_frames) * autoencoder.std + autoencoder.mean
            ours, kept = autoencoder.model.decode(latents).sample, pixels.float().clamp(-1, 1)
            assert_close(ours.clamp(-1, 1), kept, *close_to(case, pixels), f"{num_frames} frames")


@kind("cosmos_autoencoder", recognises=is_autoencoder)
def decode_as_a_stream(case: Case) -> None:
    """Part by part, in levels: half a level for rounding, beside the tolerance."""
    golden, autoencoder = case.tensors(), autoencoder_of(case)
    for num_frames, pixels in by_length(golden, DECODED).items():
        parts = list(autoencoder.decode(latents_of(golden, num_frames)))
        assert [len(part) for part in parts] == [1] + [TEMPORAL_FACTOR] * (len(parts) - 1)
        ours = torch.from_numpy(np.concatenate(parts)).permute(3, 0, 1, 2)[None]
        levels, (atol, rtol) = (pixels.float().clamp(-1, 1) + 1) * 127.5, close_to(case, pixels)
        assert_close(ours, levels, 0.5 + 127.5 * (atol + rtol), what=f"{num_frames} frames, levels of 255")


@kind("cosmos_autoencoder", recognises=is_autoencoder)
def round_trip(case: Case) -> None:
    golden, autoencoder = case.tensors(), autoencoder_of(case)
    for name, pixels in golden.items():
        if (found := ROUND_TRIP.fullmatch(name)) is None:
            continue
        frames = golden["frames_u8"][: int(found[1])].permute(0, 2, 3, 1).numpy()
        parts = np.concatenate(list(autoencoder.decode(autoencoder.encode(frames))))
        ours = torch.from_numpy(parts[int(found[2])]).permute(2, 0, 1)
        levels, (atol, rtol) = (pixels[0].float().clamp(-1, 1) + 1) * 127.5, close_to(case, pixels)
        assert_close(ours, levels, 0.5 + 127.5 * (atol + rtol), what=f"{name}, levels of 255")
