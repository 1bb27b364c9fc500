"""Predict1's conditioning frames: what the network gets, and what its denoiser returns for them.

The numbers themselves are held by the golden case of Predict1's sampler; here, a real network of ours.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.contract.cards import ModelCard
from engine.contract.families.cosmos import CosmosSettings
from engine.diffusion.denoisers import SIGMA_AUGMENT, AugmentedFramesDenoiser, Conditioning, NetworkDenoiser, edm
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise
from engine.diffusion.stack import denoiser_for
from engine.models.cosmos.network import CosmosDiT
from engine.storage.card_files import read_card
from tests.engine.runtime.tiny import LATENT_CHANNELS, TEXT_WIDTH, tiny_config

SHAPE = (1, LATENT_CHANNELS, 3, 4, 6)
NOISE = partial(seeded_noise, seed=1)
CARDS = Path(__file__).parents[3] / "presets" / "models"


class RecordingNetwork:
    """A real network that records its inputs."""

    def __init__(self) -> None:
        torch.manual_seed(2)
        self.network = CosmosDiT(tiny_config()).eval().requires_grad_(False)
        self.seen: dict[str, Tensor] = {}

    def __call__(
        self, x: Tensor, timesteps: Tensor, text: Tensor, condition_mask: Tensor | None = None, *rest: Any, **named: Any
    ) -> Tensor:
        assert condition_mask is not None
        self.seen = {"x": x, "timesteps": timesteps, "mask": condition_mask[:, 0, :, 0, 0]}
        return self.network(x, timesteps, text, condition_mask, *rest, **named)


def a_conditioning() -> Conditioning:
    torch.manual_seed(3)
    text, negative = torch.randn(2, 1, 5, TEXT_WIDTH)
    return Conditioning(text, negative, torch.randn(1, LATENT_CHANNELS, 1, 4, 6) * 0.5)


@pytest.mark.parametrize("sigma", [80.0, 1.0, 0.0012])
def test_frames_are_shown_a_little_noisy_and_stay(sigma: float) -> None:
    network, conditioning, x = RecordingNetwork(), a_conditioning(), torch.randn(SHAPE) * sigma
    x0 = AugmentedFramesDenoiser(network, NOISE)(x, sigma, conditioning)
    assert conditioning.frames is not None
    assert torch.equal(x0[:, :, :1], conditioning.frames), "x0 of a conditioning frame is the frame"
    shown = edm(SIGMA_AUGMENT).in_ * (conditioning.frames + SIGMA_AUGMENT * NOISE(SHAPE)[:, :, :1])
    torch.testing.assert_close(network.seen["x"][:, :, :1], shown, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.seen["x"][:, :, 1:], edm(sigma).in_ * x[:, :, 1:])
    assert network.seen["mask"].tolist() == [[1.0, 0.0, 0.0]]
    assert network.seen["timesteps"].tolist() == [[pytest.approx(edm(sigma).noise)] * 3], "one level for all frames"


@pytest.mark.parametrize("sigma", [SIGMA_AUGMENT, 0.0005])
def test_below_their_own_noise_they_are_frames_like_the_others(sigma: float) -> None:
    network, x = RecordingNetwork(), torch.randn(SHAPE) * 0.5
    x0 = AugmentedFramesDenoiser(network, NOISE)(x, sigma, a_conditioning())
    assert network.seen["mask"].tolist() == [[0.0, 0.0, 0.0]]
    torch.testing.assert_close(x0, NetworkDenoiser(network, edm)(x, sigma, Conditioning(a_conditioning().text)))


def test_both_guidance_branches_are_shown_the_same_noise() -> None:
    inner, x = AugmentedFramesDenoiser(RecordingNetwork(), NOISE), torch.randn(SHAPE)
    batched, apart = (Guided(inner, 8.0, batched)(x, 2.0, a_conditioning()) for batched in (True, False))
    difference = (batched - apart).abs()
    print(f"batched and apart: max {difference.max():.2e}, mean {difference.mean():.2e}")
    torch.testing.assert_close(batched, apart, rtol=1e-4, atol=1e-4)


def test_the_noise_is_drawn_once_and_by_seed() -> None:
    drawn: list[tuple[int, ...]] = []

    def noise(shape: tuple[int, ...]) -> Tensor:
        drawn.append(shape)
        return NOISE(shape)

    denoiser, other = (
        AugmentedFramesDenoiser(RecordingNetwork(), noise),
        AugmentedFramesDenoiser(RecordingNetwork(), partial(seeded_noise, seed=2)),
    )
    x = torch.randn(SHAPE)
    first, again, differently = (each(x, 5.0, a_conditioning()) for each in (denoiser, denoiser, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, differently)
    assert drawn == [SHAPE], "of the whole clip, whatever the number of conditioning frames"


def card(generation: str) -> ModelCard:
    diorama = read_card(CARDS / "diorama.yaml")
    if generation == "predict2":
        return diorama
    cosmos = CosmosSettings(generation="predict1")
    return diorama.model_copy(update={"parametrisation": "edm", "sigma_data": 0.5, "cosmos": cosmos})


@pytest.mark.parametrize(("generation", "kind"), [("predict1", AugmentedFramesDenoiser), ("predict2", NetworkDenoiser)])
def test_the_card_chooses(generation: str, kind: type) -> None:
    network, x = RecordingNetwork().network, torch.randn(SHAPE)
    denoiser = denoiser_for(card(generation), network, 4, torch.float32, None, seed=1)
    assert type(denoiser) is kind
    if kind is AugmentedFramesDenoiser:
        assert torch.equal(
            denoiser(x, 2.0, a_conditioning()), AugmentedFramesDenoiser(network, NOISE)(x, 2.0, a_conditioning())
        )
