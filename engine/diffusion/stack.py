"""The denoiser of a model, by what its card says of the network's answer.

Comes in: a card and a bare network. Goes out: ``(x, sigma, conditioning) -> x0``. Does not know jobs or samplers.
"""

from functools import partial

import torch

from engine.contract.cards import ModelCard
from engine.diffusion.denoisers import (
    AugmentedFramesDenoiser,
    Denoiser,
    NetworkDenoiser,
    ZeroSnrDenoiser,
    edm,
    rectified_flow,
)
from engine.diffusion.noise import seeded_noise
from engine.layers.attention import TokenLayout


def denoiser_for(
    card: ModelCard, network: torch.nn.Module, num_steps: int, dtype: torch.dtype, layout: TokenLayout | None, seed: int
) -> Denoiser:
    """``seed``: of the noise that Predict1 lays over conditioning frames."""
    if card.parametrisation == "v_zero_snr":
        return ZeroSnrDenoiser(network, num_steps, dtype, layout)
    if card.cosmos is not None and card.cosmos.generation == "predict1":
        return AugmentedFramesDenoiser(network, partial(seeded_noise, seed=seed), dtype, layout, card.sigma_data)
    scaling = rectified_flow if card.parametrisation == "rectified_flow" else partial(edm, sigma_data=card.sigma_data)
    return NetworkDenoiser(network, scaling, dtype, layout, card.sigma_data)
