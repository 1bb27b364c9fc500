"""The denoiser contract: every prediction type gives the same x0, frames are replaced, guidance wraps."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.diffusion.denoisers import (
    SIGMA_CONDITIONAL,
    Conditioning,
    NetworkDenoiser,
    Scaling,
    edm,
    rectified_flow,
    v_prediction,
)
from engine.diffusion.guidance import Guided
from engine.models.cosmos.network import CosmosDiT
from tests.engine.runtime.tiny import LATENT_CHANNELS, TEXT_WIDTH, tiny_config

SHAPE = (1, LATENT_CHANNELS, 3, 4, 6)


class Ideal:
    """A network that answers so that x0 is the closed form for data N(0, spread^2), in any parametrisation."""

    def __init__(self, scaling: Callable[[float], Scaling], sigma: float, spread: float) -> None:
        self.scaling, self.share = scaling(sigma), spread**2 / (spread**2 + sigma**2)
        self.seen: dict[str, Tensor] = {}

    def __call__(
        self, x: Tensor, timesteps: Tensor, text: Tensor, condition_mask: Tensor | None = None, *_: object, **__: object
    ) -> Tensor:
        assert condition_mask is not None
        self.seen = {"x": x, "timesteps": timesteps, "mask": condition_mask}
        noisy = x / self.scaling.in_
        return (self.share * noisy - self.scaling.skip * noisy) / self.scaling.out


@pytest.mark.parametrize("scaling", [rectified_flow, edm, v_prediction])
@pytest.mark.parametrize("sigma", [0.01, 1.0, 60.0])
def test_every_prediction_type_gives_x0(scaling: Callable[[float], Scaling], sigma: float) -> None:
    x = torch.randn(SHAPE, dtype=torch.float64).float() * sigma
    x0 = NetworkDenoiser(Ideal(scaling, sigma, 0.7), scaling)(x, sigma, Conditioning(torch.zeros(1, 2, 3)))
    expected = x * 0.7**2 / (0.7**2 + sigma**2)
    print(f"max difference {(x0 - expected).abs().max():.2e}")
    torch.testing.assert_close(x0, expected, rtol=2e-4, atol=2e-5)


def test_conditioning_frames_are_clean_and_stay() -> None:
    network, frames = Ideal(rectified_flow, 2.0, 1.0), torch.randn(1, LATENT_CHANNELS, 1, 4, 6)
    x = torch.randn(SHAPE)
    x0 = NetworkDenoiser(network)(x, 2.0, Conditioning(torch.zeros(1, 2, 3), frames=frames))
    assert torch.equal(x0[:, :, :1], frames), "x0 of a conditioning frame is the frame"
    assert torch.equal(network.seen["x"][:, :, :1], frames), "seen clean, not scaled"
    assert torch.equal(network.seen["mask"][0, 0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    clean = SIGMA_CONDITIONAL / (1 + SIGMA_CONDITIONAL)
    torch.testing.assert_close(network.seen["timesteps"][0], torch.tensor([clean, 2 / 3, 2 / 3]))


def tiny_denoiser() -> NetworkDenoiser:
    torch.manual_seed(2)
    return NetworkDenoiser(CosmosDiT(tiny_config()).eval().requires_grad_(False))


def conditioning() -> Conditioning:
    torch.manual_seed(3)
    text, negative = torch.randn(2, 1, 5, TEXT_WIDTH)
    return Conditioning(text, negative, torch.randn(1, LATENT_CHANNELS, 1, 4, 6))


@pytest.mark.parametrize("scale", [0.0, 2.5, 7.0])
def test_guidance_in_the_usual_convention(scale: float) -> None:
    inner, inputs, x = tiny_denoiser(), conditioning(), torch.randn(SHAPE)
    assert inputs.negative_text is not None
    with_text = inner(x, 3.0, Conditioning(inputs.text, frames=inputs.frames))
    without = inner(x, 3.0, Conditioning(inputs.negative_text, frames=inputs.frames))
    expected = without + scale * (with_text - without)
    for batched in (True, False):
        guided = Guided(inner, scale, batched)(x, 3.0, inputs)
        difference = (guided - expected).abs()
        print(f"batched {batched}: max {difference.max():.2e}, mean {difference.mean():.2e}")
        torch.testing.assert_close(guided, expected, rtol=1e-4, atol=1e-4)
    assert inputs.frames is not None
    torch.testing.assert_close(guided[:, :, :1], inputs.frames)


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("negative", [True, False])
def test_one_branch_where_one_is_enough(scale: float, negative: bool) -> None:
    inner, batches = tiny_denoiser(), []

    def counted(x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        batches.append(x.shape[0])
        return inner(x, sigma, conditioning)

    inputs = conditioning() if negative else Conditioning(conditioning().text)
    Guided(counted, scale)(torch.randn(SHAPE), 3.0, inputs)
    assert batches == ([2] if negative and scale != 1.0 else [1])
