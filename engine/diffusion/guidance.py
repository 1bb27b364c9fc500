"""Classifier-free guidance, as a denoiser around a denoiser.

Comes in: a denoiser and a scale, fixed or by level. Goes out: a denoiser. Does not know networks, samplers or noise
schedules (one guidance schedule reads the timesteps of ``schedules``).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from engine.contract.card_values import GuidanceSchedule
from engine.diffusion.denoisers import Conditioning, Denoiser
from engine.diffusion.schedules import zero_snr_timesteps

Weight = Callable[[float], float]
"""sigma -> guidance scale at this level."""

EXPONENT = 5
"""Of the cosine's argument, in both schedules: CogVideoX' and TTT-Video's own constant."""


def guidance_weight(
    schedule: GuidanceSchedule, scale: float, sigmas: tuple[float, ...], exponent: int = EXPONENT
) -> float | Weight:
    """The scale of a run with these levels. A scale of 1 is no guidance in every schedule.

    constant: ``scale``. ramp: from 1 at the first evaluation to ``scale`` at the last. reference_wave: what TTT-Video's
    script computes from ``scale`` as its ``guider.scale``: between 1 and 1 + scale, up and down, because it takes the
    timestep for the step's index; float64, since the last bit of the power is seen in the weights at few steps.
    """
    if schedule == "constant" or scale == 1.0:
        return scale
    num_steps, last = len(sigmas), max(len(sigmas) - 1, 1)
    if schedule == "ramp":
        weights = [1.0 + (scale - 1.0) * _wave(index / last, exponent) for index in range(num_steps)]
        weights[-1] = scale
    else:
        weights = [1.0 + scale * _wave((num_steps - t) / num_steps, exponent) for t in zero_snr_timesteps(num_steps)]
    return dict(zip(sigmas, weights, strict=True)).__getitem__


def _wave(progress: float, exponent: int) -> float:
    """0 at 0, 1 at 1."""
    return (1.0 - math.cos(math.pi * progress**exponent)) / 2.0


class Guided:
    """u + scale * (c - u), Ho and Salimans 2022 (arXiv 2207.12598) in the usual convention.

    c is x0 given the text, u given the negative text. Scale 1, or no negative text, is the inner denoiser alone.
    ``batched``: both branches in one evaluation (faster); else one after the other (half the memory).
    """

    def __init__(self, inner: Denoiser, scale: float | Weight, batched: bool = True) -> None:
        self.inner, self.scale, self.batched = inner, scale, batched

    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        negative = conditioning.negative_text
        scale = self.scale(sigma) if callable(self.scale) else self.scale
        if scale == 1.0 or negative is None:
            return self.inner(x, sigma, replace(conditioning, negative_text=None))
        if self.batched:
            both = replace(conditioning, text=torch.cat([conditioning.text, negative]), negative_text=None)
            positive, negative_x0 = self.inner(torch.cat([x, x]), sigma, both).chunk(2)
        else:
            positive = self.inner(x, sigma, replace(conditioning, negative_text=None))
            negative_x0 = self.inner(x, sigma, replace(conditioning, text=negative, negative_text=None))
        return negative_x0 + scale * (positive - negative_x0)
