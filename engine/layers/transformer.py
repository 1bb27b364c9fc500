"""Small parts that the transformers of several families share: a bias-free Linear, timestep sinusoid, modulation, MLP.

Comes in: timesteps, tokens, a norm. Goes out: embeddings, modulated tokens. Does not know the sizes, epsilons or
parameter names of any network.

Letters: D width; ``...`` any leading axes.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(in_features: int, out_features: int) -> nn.Linear:
    """Without a bias."""
    return nn.Linear(in_features, out_features, bias=False)


def timestep_sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """(...) -> (..., D) float32: cosines first, frequencies exp(-ln(10000) * j / (D/2))."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[..., None] * torch.exp(-math.log(10000.0) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def modulate(norm: Callable[[Tensor], Tensor], x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """norm(x) * (1 + scale) + shift."""
    return torch.addcmul(shift, norm(x), 1 + scale)


class Mlp(nn.Module):
    """Linear, exact GELU, Linear, both without a bias."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = linear(width, hidden), linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))
