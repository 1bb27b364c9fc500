"""The variance-preserving schedule with zero terminal SNR, and the denoiser of networks trained on it (CogVideoX).

Comes in: a number of steps; a network that answers v. Goes out: noise levels, and ``(x, sigma, conditioning) -> x0``.
Does not know samplers, guidance or ranks (the network's ``TokenLayout`` does).

Here x = alpha * x0 + sigma * noise with alpha^2 + sigma^2 = 1, and a level's number is sigma: 1 is pure noise. Lin et
al. 2023 (arXiv 2305.08891) for the terminal SNR; Salimans and Ho 2022 (arXiv 2202.00512) for the network's answer
v = alpha * noise - sigma * x0.

Letters: B batch, C latent channels, T latent frames, h w latent size.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.diffusion.denoiser import Conditioning, Network
from engine.layers.attention import TokenLayout

NUM_TIMESTEPS = 1000
BETA_FIRST, BETA_LAST = 0.00085, 0.0120
"""The square roots between them are evenly spaced; CogVideoX' own constants."""

Floats = NDArray[np.float64]


def timesteps(num_steps: int) -> tuple[int, ...]:
    """Of the levels of a run, from 999 downwards; as the authors space them (SAT's ``linspace`` without its end)."""
    return tuple(int(t) for t in np.linspace(NUM_TIMESTEPS - 1, 0, num_steps, endpoint=False))


def alphas(num_steps: int, shift: float = 1.0) -> Floats:
    """alpha at each level, ascending from 0: the levels' own first and last value are what is rescaled to end at 0.

    ``shift`` above 1 moves the levels towards noise (the authors' ``shift_scale``).
    """
    return _zero_terminal(_trained_alphas(shift)[list(timesteps(num_steps))])


def alpha_table() -> Floats:
    """alpha by timestep, rescaled as a whole: what the network's answer is combined with."""
    return _zero_terminal(_trained_alphas(1.0)[::-1])[::-1]


def zero_snr_sigmas(num_steps: int, shift: float = 1.0) -> tuple[float, ...]:
    """N levels for N steps, descending from exactly 1; the last step is the clean evaluation."""
    return tuple(sigma_of(alpha) for alpha in alphas(num_steps, shift).tolist())


def sigma_of(alpha: float) -> float:
    return math.sqrt((1.0 - alpha) * (1.0 + alpha))


def alpha_of(sigma: float) -> float:
    return sigma_of(sigma)


def _trained_alphas(shift: float) -> Floats:
    """By timestep 0..999, before the terminal SNR is made zero."""
    betas = np.linspace(BETA_FIRST**0.5, BETA_LAST**0.5, NUM_TIMESTEPS, dtype=np.float64) ** 2
    products = np.cumprod(1.0 - betas)
    return np.sqrt(products / (shift + (1.0 - shift) * products))


def _zero_terminal(ascending: Floats) -> Floats:
    """Moved so that the first is 0 while the last stays; a single one is 0."""
    if len(ascending) == 1:
        return np.zeros(1)
    return (ascending - ascending[0]) * (ascending[-1] / (ascending[-1] - ascending[0]))


class ZeroSnrDenoiser:
    """x0 = alpha * x - sigma * v, with the network told the level's own timestep.

    alpha is that of the nearest of the 1000 trained levels (and sigma what belongs to it), as the authors' denoiser
    combines them; the timestep stays the run's own. Levels: those of ``zero_snr_sigmas(num_steps)``, looked up exactly.
    """

    def __init__(
        self,
        network: Network,
        num_steps: int,
        dtype: torch.dtype = torch.float32,
        layout: TokenLayout | None = None,
        shift: float = 1.0,
    ) -> None:
        self.network, self.dtype, self.layout = network, dtype, layout
        self.levels = levels(num_steps, shift)

    @torch.inference_mode()
    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        """x (B, C, T, h, w) float32 -> x0 of the same shape, float32."""
        assert conditioning.frames is None, "networks of this schedule take no conditioning frames"
        timestep, alpha = self.levels[sigma]
        told = torch.full((x.shape[0], x.shape[2]), timestep, dtype=torch.float32, device=x.device)
        text = conditioning.text.to(self.dtype)
        v = self.network(x.to(self.dtype), told.to(self.dtype), text, fps=conditioning.fps, layout=self.layout)
        return alpha * x - sigma_of(alpha) * v.float()


def levels(num_steps: int, shift: float = 1.0) -> dict[float, tuple[float, float]]:
    """By level sigma: (timestep, alpha of the nearest trained level)."""
    table = alpha_table()
    nearest = [float(table[index]) for index in snapped(num_steps, shift)]
    told = zip(map(float, timesteps(num_steps)), nearest, strict=True)
    return dict(zip(zero_snr_sigmas(num_steps, shift), told, strict=True))


def snapped(num_steps: int, shift: float = 1.0) -> list[int]:
    """For each level, the timestep of the trained level whose alpha is nearest."""
    table = alpha_table()
    return [int(np.abs(table - alpha).argmin()) for alpha in alphas(num_steps, shift)]
