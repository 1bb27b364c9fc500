"""Noise levels of a run: Karras et al.'s, and the variance-preserving ones with zero terminal SNR (CogVideoX).

Comes in: a number of steps. Goes out: descending levels sigma, float64. Does not know samplers, networks or guidance.

- Karras: x = x0 + sigma * noise; Karras et al. 2022 (arXiv 2206.00364).
- Zero SNR: x = alpha * x0 + sigma * noise with alpha^2 + sigma^2 = 1, and a level's number is sigma: 1 is pure noise.
  Lin et al. 2023 (arXiv 2305.08891).
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.contract.jobs import SamplerSettings
from engine.contract.samplers import ScheduleName

Sigmas = tuple[float, ...]
Floats = NDArray[np.float64]

NUM_TIMESTEPS = 1000
BETA_FIRST, BETA_LAST = 0.00085, 0.0120
"""The square roots between them are evenly spaced; CogVideoX' own constants."""


def karras_sigmas(num_steps: int, sigma_max: float = 80.0, sigma_min: float = 0.002, rho: float = 7.0) -> Sigmas:
    """num_steps + 1 levels from sigma_max down to sigma_min; Karras et al. 2022 (arXiv 2206.00364), equation 5."""
    ramp = np.arange(num_steps + 1, dtype=np.float64) / num_steps
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return tuple(float(sigma) for sigma in (high + ramp * (low - high)) ** rho)


def karras_to_zero_sigmas(num_steps: int, sigma_max: float, sigma_min: float, rho: float = 7.0) -> Sigmas:
    """num_steps levels from sigma_max to sigma_min: the last of the steps, to 0, is the last evaluation."""
    return karras_sigmas(num_steps - 1, sigma_max, sigma_min, rho) if num_steps > 1 else (sigma_max,)


def zero_snr_timesteps(num_steps: int) -> tuple[int, ...]:
    """One for each level of a run, from 999 down; spaced as the authors do (SAT's ``linspace`` without its end)."""
    return tuple(int(t) for t in np.linspace(NUM_TIMESTEPS - 1, 0, num_steps, endpoint=False))


def zero_snr_alphas(num_steps: int, shift: float = 1.0) -> Floats:
    """(N,) alpha at each level, ascending from 0. Lin et al. 2023, algorithm 1, on the alphas of this run alone.

    ``shift`` above 1 moves the levels towards noise (the authors' ``shift_scale``).
    """
    return _zero_terminal(_trained_alphas(shift)[list(zero_snr_timesteps(num_steps))])


def alpha_table() -> Floats:
    """(1000,) alpha by timestep, rescaled as a whole: what x and the network's output are combined with."""
    return _zero_terminal(_trained_alphas(1.0)[::-1])[::-1]


def zero_snr_sigmas(num_steps: int, shift: float = 1.0) -> tuple[float, ...]:
    """N levels for N steps, descending from exactly 1; the last step is the last evaluation."""
    return tuple(sigma_of(alpha) for alpha in zero_snr_alphas(num_steps, shift).tolist())


def sigma_of(alpha: float) -> float:
    """sigma with alpha^2 + sigma^2 = 1."""
    return math.sqrt((1.0 - alpha) * (1.0 + alpha))


def alpha_of(sigma: float) -> float:
    """alpha with alpha^2 + sigma^2 = 1."""
    return sigma_of(sigma)


def _trained_alphas(shift: float) -> Floats:
    """(1000,) by timestep, before the terminal SNR is made zero."""
    betas = np.linspace(BETA_FIRST**0.5, BETA_LAST**0.5, NUM_TIMESTEPS, dtype=np.float64) ** 2
    products = np.cumprod(1.0 - betas)
    return np.sqrt(products / (shift + (1.0 - shift) * products))


def _zero_terminal(ascending: Floats) -> Floats:
    """Shifted and scaled so that the first is 0 and the last stays; a single one is 0."""
    if len(ascending) == 1:
        return np.zeros(1)
    return (ascending - ascending[0]) * (ascending[-1] / (ascending[-1] - ascending[0]))


def zero_snr_levels(num_steps: int, shift: float = 1.0) -> dict[float, tuple[float, float]]:
    """By level sigma: (timestep, alpha of the nearest trained level)."""
    table = alpha_table()
    nearest = [float(table[index]) for index in nearest_timesteps(num_steps, shift)]
    levels = zip(map(float, zero_snr_timesteps(num_steps)), nearest, strict=True)
    return dict(zip(zero_snr_sigmas(num_steps, shift), levels, strict=True))


def nearest_timesteps(num_steps: int, shift: float = 1.0) -> list[int]:
    """For each level, the timestep of the trained level whose alpha is nearest."""
    table = alpha_table()
    return [int(np.abs(table - alpha).argmin()) for alpha in zero_snr_alphas(num_steps, shift)]


SCHEDULES: dict[ScheduleName, Callable[[SamplerSettings], Sigmas]] = {
    "karras": lambda s: karras_sigmas(s.num_steps, s.sigma_max, s.sigma_min, s.rho),
    "karras_to_zero": lambda s: karras_to_zero_sigmas(s.num_steps, s.sigma_max, s.sigma_min, s.rho),
    "zero_snr": lambda s: zero_snr_sigmas(s.num_steps),
}


def sigmas_for(settings: SamplerSettings) -> Sigmas:
    """The levels of a run, the last of them for the last evaluation."""
    return SCHEDULES[settings.schedule](settings)
