"""The CogVideoX autoencoder decoding in the reference's windows, with weights given by a formula.

Comes in: a case with a narrow decoder's sizes. Does not know films. The encoder has no part in it.
"""

import re
import zlib
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import Tensor

from engine.layers.pixels import truncated_frames
from engine.models.ttt.autoencoder import CogVideoXAutoencoder, from_sat, window_sizes
from tests.goldens.runner import Case, Description, assert_close, kind

KEYS = "decoder_keys"


def recognises(description: Description) -> bool:
    return KEYS in description.get("weights", {})


def by_formula(name: str, shape: tuple[int, ...], seed: int, gain: float) -> Tensor:
    """The case's ``weights.formula``: an integer hash of name and place."""
    x = np.arange(1, prod(shape) + 1, dtype=np.uint64) * np.uint64(2654435769)
    x = (x + np.uint64((zlib.crc32(name.encode()) + seed) % 2**32)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 2246822507), (13, 3266489909)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    unit = 2.0 * ((x ^ (x >> np.uint64(16))).astype(np.float64) / 2**32) - 1.0
    center = 1.0 if len(shape) == 1 and name.endswith(".weight") else 0.0
    amplitude = gain * (3.0 / prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.2 if center else 0.1
    return torch.from_numpy((center + amplitude * unit).reshape(shape).astype(np.float32))


def weights_of(case: Case) -> dict[str, Tensor]:
    """Under the reference's names."""
    given = case.description["weights"]
    state = {name: by_formula(name, tuple(s), given["seed"], given["gain"]) for name, s in given[KEYS].items()}
    for name in given.get("then_multiply", {}).get("tensors", []):
        state[name] = (state[name].double() * given["then_multiply"]["by"]).float()
    for name, check in given["check"].items():
        assert list(state[name].shape) == check["shape"], name
        np.testing.assert_array_equal(state[name].flatten()[:4].double().numpy(), check["first4"], err_msg=name)
    return state


def autoencoder_of(case: Case) -> CogVideoXAutoencoder:
    config: dict[str, Any] = case.description["config"]
    model = AutoencoderKLCogVideoX(
        block_out_channels=tuple(config["ch"] * factor for factor in config["ch_mult"]),
        layers_per_block=config["num_res_blocks"],
        latent_channels=config["z_channels"],
        norm_num_groups=config["norm_groups"],
        norm_eps=config["norm_eps"],
    ).eval()
    renamed = {from_sat(name): tensor for name, tensor in weights_of(case).items()}
    model.decoder.load_state_dict({str(name).removeprefix("decoder."): tensor for name, tensor in renamed.items()})
    return CogVideoXAutoencoder(model, config["vae_scale_factor"])


@kind("ttt_autoencoder", recognises=recognises)
@torch.inference_mode()
def check(case: Case) -> None:
    golden, tolerance, autoencoder = case.tensors(), case.description["tolerance"], autoencoder_of(case)
    latents = golden["in.latent"]
    pixels = list(autoencoder.windows(latents, reference_windows(latents.shape[2])))
    atol = tolerance["out.frames"]["fp32_atol"]
    assert_close(torch.cat(pixels, dim=2), golden["out.frames"], atol, what="frames")
    levels = torch.from_numpy(truncated_frames(torch.cat(pixels, dim=2)))
    golden_levels = golden["out.uint8"][0].permute(1, 2, 3, 0)
    assert_close(levels, golden_levels, tolerance["out.uint8"]["max_levels"], what="levels")
    if latents.shape[2] % 2:
        parts = list(autoencoder.decode(latents))
        assert len(parts) == latents.shape[2], "a part for each latent frame"
        assert_close(torch.from_numpy(np.concatenate(parts)), levels, 0, what="stream")
    for name, num_latents, frame in single_frames(golden):
        window = list(autoencoder.windows(latents[:, :, :num_latents], reference_windows(num_latents)))
        assert_close(torch.cat(window, dim=2)[:, :, frame : frame + 1], golden[name], atol, what=name)


def reference_windows(num_latents: int) -> tuple[int, ...]:
    """The reference's also for even numbers, which no film has: the last window holds one, and gives one frame."""
    if num_latents % 2:
        return window_sizes(num_latents)
    return (2,) if num_latents == 2 else (*window_sizes(num_latents - 1), 1)


def single_frames(golden: dict[str, Tensor]) -> Iterator[tuple[str, int, int]]:
    """Frames of shorter decodes: (tensor, latent frames, frame)."""
    for name in golden:
        if match := re.fullmatch(r"out\.frames_T(\d+)_frame(\d+)", name):
            yield name, int(match[1]), int(match[2])
