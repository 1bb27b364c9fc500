"""Every network and autoencoder works where it was sent: nothing in it is made on the CPU, or brought there midway.

No GPU is needed: PyTorch's fake tensors have shapes, precisions and a device, and refuse to meet those of another
device, but no numbers. What depends on numbers, and convolutions with weights left behind, are not seen.

Letters: B batch, C latent channels, T latent frames, h w latent size, L text length, D text width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.diffusion.denoisers import (
    AugmentedFramesDenoiser,
    Conditioning,
    Denoiser,
    NetworkDenoiser,
    ZeroSnrDenoiser,
    edm,
)
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise, step_noise
from engine.diffusion.samplers import SamplerState, Step, ddim, dpmpp_2m_sde, euler, heun, res_2ab, sample
from engine.diffusion.schedules import Sigmas, karras_sigmas, zero_snr_sigmas
from engine.models.cosmos.autoencoder import load_wan
from engine.models.cosmos.chunk_autoencoder import load_cv8x8x8
from engine.models.cosmos.network import CosmosDiT
from engine.models.dfm.network import DfmConfig, DfmDiT
from engine.models.ttt.autoencoder import load_autoencoder
from tests.engine.models.cosmos.codec_factories import write_cv8x8x8_diffusers, write_wan
from tests.engine.models.cosmos.factories import config
from tests.engine.models.ttt.factories import TINY, make_network
from tests.engine.models.ttt.model_factories import write_autoencoder
from tests.engine.runtime.tiny import TEXT_WIDTH

AWAY = torch.device("meta")
"""Stands for a GPU: without one, PyTorch cannot index fake tensors of `cuda`."""
GRID = (4, 4, 6)
KARRAS, ZERO_SNR = karras_sigmas(2), zero_snr_sigmas(2)
"""Two steps: the first, and one that knows the step before it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A network, the denoiser around it, levels, a sampler, the shape of a text, how many conditioning frames."""

    network: nn.Module
    denoiser: Callable[[Any], Denoiser]
    sigmas: Sigmas
    step: Step
    text: tuple[int, ...]
    num_given: int = 0


def predict2(neighborhood: str = "") -> Case:
    sizes = replace(config("predict2", "video2world", 28 if neighborhood else 2), neighborhood=neighborhood)
    return Case(CosmosDiT(sizes), NetworkDenoiser, KARRAS, res_2ab, (1, 12, TEXT_WIDTH), 1)


def predict1() -> Case:
    network, noise = CosmosDiT(config("predict1", "video2world")), partial(seeded_noise, seed=3)
    denoiser = partial(AugmentedFramesDenoiser, noise=noise)
    return Case(network, denoiser, KARRAS, heun, (1, 12, TEXT_WIDTH), 1)


def ttt(ssm_layer: str) -> Case:
    step = dpmpp_2m_sde(step_noise(3)) if ssm_layer == "ttt_mlp" else ddim
    denoiser = partial(ZeroSnrDenoiser, num_steps=2)
    return Case(make_network(ssm_layer=ssm_layer), denoiser, ZERO_SNR, step, (1, 1, 5, TINY.text_width))


def dfm() -> Case:
    network = DfmDiT(DfmConfig(width=32, num_blocks=2, num_heads=2, mlp_width=64, text_width=24))
    denoiser = partial(NetworkDenoiser, scaling=edm, sigma_data=0.5)
    return Case(network, denoiser, KARRAS, euler, (1, 12, 24))


def pretending() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


def sent(module: nn.Module, dtype: torch.dtype) -> Any:
    """What ``module.to(AWAY, dtype)`` moves, moved: a real parameter cannot hold what is pretended."""
    for part in module.eval().requires_grad_(False).modules():
        for name, tensor in part._parameters.items():
            if tensor is not None:
                part._parameters[name] = nn.Parameter(torch.empty(tensor.shape, dtype=dtype, device=AWAY), False)
        for name, tensor in part._buffers.items():
            if tensor is not None:
                part._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, device=AWAY)
    return module


def test_the_pretence_sees_what_is_left_behind() -> None:
    layer = nn.Linear(2, 2)
    with pretending(), torch.inference_mode(), pytest.raises(RuntimeError, match="same device"):
        sent(layer, torch.float32)(torch.ones(1, 2))


@pytest.mark.parametrize(
    ("make", "batched"),
    [
        (predict2, True),
        (predict2, False),
        (partial(predict2, "2b"), True),
        (predict1, True),
        (partial(ttt, "ttt_mlp"), True),
        (partial(ttt, "ttt_linear"), False),
        (dfm, True),
    ],
    ids=["predict2", "predict2 one by one", "sparse", "predict1", "ttt_mlp", "ttt_linear one by one", "dfm"],
)
def test_a_whole_run_stays_there(make: Callable[[], Case], batched: bool) -> None:
    case = make()
    with pretending(), torch.inference_mode():
        inner = case.denoiser(sent(case.network, torch.bfloat16), dtype=torch.bfloat16)
        text, negative = torch.empty(2, *case.text, device=AWAY)
        frames = torch.empty(1, 16, case.num_given, *GRID[1:], device=AWAY) if case.num_given else None
        given = Conditioning(text, negative, frames)
        guided = Guided(inner, 3.0, batched)
        state = SamplerState(torch.empty(1, 16, *GRID, device=AWAY))
        x0 = sample(case.step, lambda x, sigma: guided(x, sigma, given), state, case.sigmas)
    assert x0.device == AWAY and x0.shape == (1, 16, *GRID) and x0.dtype == torch.float32


def wan(folder: Path) -> Any:
    write_wan(folder / "tokenizer.pth")
    return load_wan(folder / "tokenizer.pth", torch.bfloat16)


def cv8x8x8(folder: Path) -> Any:
    write_cv8x8x8_diffusers(folder)
    return load_cv8x8x8(folder, 0.5, 9, torch.bfloat16)


def cogvideox(folder: Path) -> Any:
    write_autoencoder(folder, "diffusers")
    return load_autoencoder(folder, 0.7, torch.bfloat16)


@pytest.mark.parametrize("make", [wan, cv8x8x8, cogvideox], ids=lambda make: make.__name__)
def test_pixels_become_latents_and_pixels_there(make: Callable[[Path], Any], tmp_path: Path) -> None:
    """As far as the levels on the host, which alone cannot be read without numbers."""
    autoencoder = make(tmp_path)
    with pretending():
        autoencoder = sent(autoencoder, torch.bfloat16)
        latents = autoencoder.encode(np.zeros((9, 32, 48, 3), np.uint8))
        assert latents.device == AWAY and latents.dtype == torch.float32
        with pytest.raises(RuntimeError, match="numpy"):
            next(autoencoder.decode(torch.empty_like(latents)))
