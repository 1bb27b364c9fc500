"""The shared parts of the transformers, against their formulas."""

import math

import pytest
import torch

from engine.layers.transformer import Mlp, linear, modulate, timestep_sinusoid


@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_the_sinusoid_has_cosines_first(shape: tuple[int, ...]) -> None:
    timesteps = torch.linspace(0, 900, math.prod(shape)).view(shape)
    embedding = timestep_sinusoid(timesteps, 8)
    assert embedding.shape == (*shape, 8) and embedding.dtype == torch.float32
    for j in range(4):
        angles = timesteps.double() * 10000.0 ** (-j / 4)
        torch.testing.assert_close(embedding[..., j].double(), angles.cos(), atol=1e-4, rtol=0)
        torch.testing.assert_close(embedding[..., 4 + j].double(), angles.sin(), atol=1e-4, rtol=0)


def test_modulation_scales_and_shifts_the_normed_tokens() -> None:
    x, shift, scale = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)).unbind(0)
    torch.testing.assert_close(modulate(torch.tanh, x, shift, scale), torch.tanh(x) * (1 + scale) + shift)


def test_nothing_here_has_a_bias() -> None:
    """Checkpoints have none, and their keys are these."""
    assert linear(2, 3).bias is None
    shapes = {name: tuple(weight.shape) for name, weight in Mlp(4, 6).state_dict().items()}
    assert shapes == {"up.weight": (6, 4), "down.weight": (4, 6)}
