"""Conditioning pictures and the video autoencoder against the original's numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from safetensors.torch import load_file

from engine.contract.media import Frames
from engine.models.cosmos.autoencoder import VideoAutoencoder
from engine.runtime.conditioning import crop_offset, fit, resized_shape
from tests.goldens.cases import FOLDER, assert_close, description, tensors

RESIZE = description("conditioning_resize")
LENGTHS = [1, 5, 9]


def synthetic(width: int, height: int, frame: int = 0) -> Frames:
    """(1, H, W, 3): the golden's formula."""
    k = RESIZE["synthetic_image"]["k"]
    k0, k1 = k[0] + frame, k[1] + 2 * frame
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * k0 + y * k1 + c * k[2] + (x * y) % k[3] * k[4]) % 256).astype(np.uint8)[None]


def assert_same_levels(ours: Frames, golden: torch.Tensor, what: str) -> None:
    """At most one level apart, and nearly all equal. golden: (F, 3, H, W) uint8."""
    difference = np.abs(ours.transpose(0, 3, 1, 2).astype(int) - golden.numpy().astype(int))
    print(f"{what}: max {difference.max()}, equal {np.mean(difference == 0):.4f}")
    assert difference.max() <= 1 and np.mean(difference == 0) >= 0.995


@pytest.mark.parametrize("image", RESIZE["per_image"], ids=lambda image: image["key"])
def test_picture(image: dict[str, Any]) -> None:
    source = synthetic(image["src_w"], image["src_h"])
    assert int(source.sum()) == image["src_sum"]
    assert resized_shape((image["src_w"], image["src_h"]), (64, 48)) == (image["resized_w"], image["resized_h"])
    assert_same_levels(fit(source, (64, 48)), tensors("conditioning_resize")[image["key"]][None], image["key"])


def test_a_clip_is_fitted_frame_by_frame() -> None:
    frames = np.concatenate([synthetic(157, 313, frame) for frame in range(3)])
    together = fit(frames, (64, 48))
    apart = np.concatenate([fit(frame[None], (64, 48)) for frame in frames])
    assert np.array_equal(together, apart)


@pytest.mark.parametrize("row", RESIZE["shape_table"], ids=lambda row: f"{row['src_wh']}-{row['target_wh']}")
def test_shape(row: dict[str, Any]) -> None:
    source, target = tuple(row["src_wh"]), tuple(row["target_wh"])
    resized = resized_shape(source, target)
    assert list(resized) == row["resized_wh"]
    assert list(crop_offset(resized, target)) == row["crop_left_top"]


@pytest.fixture(scope="module")
def autoencoder() -> VideoAutoencoder:
    config = description("p2_wan_vae_dim4")["config"]
    model = AutoencoderKLWan(
        base_dim=config["dim"],
        z_dim=config["z_dim"],
        dim_mult=config["dim_mult"],
        num_res_blocks=config["num_res_blocks"],
        temperal_downsample=config["temperal_downsample"],
        latents_mean=config["latents_mean"],
        latents_std=config["latents_std"],
    )
    original = load_file(FOLDER / "p2_wan_vae_dim4_weights.safetensors")
    model.load_state_dict(convert_wan_vae_to_diffusers({key: value.float() for key, value in original.items()}))
    return VideoAutoencoder(model).eval()


@pytest.mark.parametrize("num_frames", LENGTHS)
def test_encode(autoencoder: VideoAutoencoder, num_frames: int) -> None:
    golden = tensors("p2_wan_vae_dim4")
    frames = golden["frames_u8"][:num_frames].permute(0, 2, 3, 1).numpy()
    assert_close(autoencoder.encode(frames), golden[f"enc_F{num_frames}"], 2e-4, 1e-3, f"{num_frames} frames")


@pytest.mark.parametrize("num_frames", LENGTHS)
def test_decode_as_a_stream(autoencoder: VideoAutoencoder, num_frames: int) -> None:
    golden = tensors("p2_wan_vae_dim4")
    latents = golden["latents_in"][:, :, : 1 + (num_frames - 1) // 4]
    parts = list(autoencoder.decode(latents))
    assert [len(part) for part in parts] == [1] + [4] * (len(parts) - 1)
    levels = (golden[f"dec_F{num_frames}"][0].float().clamp(-1, 1) + 1) * 127.5
    ours = torch.from_numpy(np.concatenate(parts)).permute(3, 0, 1, 2).float()
    assert_close(ours, levels, 0.5 + 0.4, what=f"{num_frames} frames, in levels of 255")  # rounding, and fp16 storage
