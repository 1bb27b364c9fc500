"""Samplers: stepping from noise to a clean latent by asking a denoiser.

Comes in: a denoiser ``(x, sigma) -> x0``, a state and descending noise levels. Goes out: the next state, at last x0.
Does not know guidance, prediction types, parallelism, previews or jobs.

Letters: B batch, C latent channels, T latent frames, h w latent size. Every run ends with x0 at its last level (the
"clean evaluation", which is an Euler step to 0). There are two kinds of levels:

- Karras: x = x0 + sigma * noise, for ``euler``, ``heun`` and ``res_2ab``;
- zero SNR (engine/diffusion/zero_snr.py): x = alpha * x0 + sigma * noise with alpha^2 + sigma^2 = 1, from sigma = 1,
  for ``ddim`` and ``dpmpp_2m_sde``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.contract.jobs import SamplerSettings
from engine.diffusion.zero_snr import alpha_of, zero_snr_sigmas

Denoise = Callable[[Tensor, float], Tensor]
"""(x (B, C, T, h, w) float32, sigma) -> x0; the conditioning is bound already."""

Sigmas = tuple[float, ...]

StepNoise = Callable[[int, tuple[int, ...]], Tensor]
"""(index of the step, shape) -> the noise that enters x at this step, float32 on the CPU."""


def karras_sigmas(num_steps: int, sigma_max: float = 80.0, sigma_min: float = 0.002, rho: float = 7.0) -> Sigmas:
    """num_steps + 1 levels from sigma_max down to sigma_min; Karras et al. 2022 (arXiv 2206.00364), equation 5."""
    ramp = np.arange(num_steps + 1, dtype=np.float64) / num_steps
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return tuple(float(sigma) for sigma in (high + ramp * (low - high)) ** rho)


def karras_to_zero_sigmas(num_steps: int, sigma_max: float, sigma_min: float, rho: float = 7.0) -> Sigmas:
    """num_steps levels from sigma_max to sigma_min: the last of the steps, to 0, is the clean evaluation."""
    return karras_sigmas(num_steps - 1, sigma_max, sigma_min, rho) if num_steps > 1 else (sigma_max,)


def sigmas_for(settings: SamplerSettings) -> Sigmas:
    """The levels of a run, the last of them for the clean evaluation."""
    if settings.schedule == "zero_snr":
        return zero_snr_sigmas(settings.num_steps)
    spaced = karras_sigmas if settings.schedule == "karras" else karras_to_zero_sigmas
    return spaced(settings.num_steps, settings.sigma_max, settings.sigma_min, settings.rho)


def seeded_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal float32, the same on every machine: numpy's legacy generator, drawn in float64 on the CPU."""
    return torch.from_numpy(np.random.RandomState(seed % 2**32).standard_normal(shape).astype(np.float32))


def step_noise(seed: int) -> StepNoise:
    """From a run's seed and the step's index alone, so that a run that goes on after a death is the same."""

    def draw(step: int, shape: tuple[int, ...]) -> Tensor:
        generator = np.random.RandomState([seed % 2**32, step])
        return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))

    return draw


@dataclass(frozen=True, slots=True)
class SamplerState:
    """Where a sampler stands. ``step`` is the next step's index, 0 to N; at N only the clean evaluation is left.

    x and previous_x0 (the answer at the step before; None at the start): (B, C, T, h, w) float32.
    """

    x: Tensor
    step: int = 0
    previous_x0: Tensor | None = None


Step = Callable[[Denoise, SamplerState, Sigmas], SamplerState]


def euler(denoise: Denoise, state: SamplerState, sigmas: Sigmas) -> SamplerState:
    """First order; Karras et al. 2022, algorithm 2 without its correction. One evaluation."""
    x0 = denoise(state.x, sigmas[state.step])
    return _moved(state, _toward(state.x, x0, sigmas[state.step], sigmas[state.step + 1]), x0)


def heun(denoise: Denoise, state: SamplerState, sigmas: Sigmas) -> SamplerState:
    """Second order; Karras et al. 2022, algorithm 2 (without churn). Two evaluations."""
    x, sigma, following = state.x.double(), sigmas[state.step], sigmas[state.step + 1]
    x0 = denoise(state.x, sigma)
    guess = _toward(state.x, x0, sigma, following)
    x0_guess = denoise(guess, following)
    slope = (x - x0.double()) / sigma + (guess.double() - x0_guess.double()) / following
    return _moved(state, (x + (following - sigma) * 0.5 * slope).float(), x0)


def res_2ab(denoise: Denoise, state: SamplerState, sigmas: Sigmas) -> SamplerState:
    """Second-order exponential multistep in -ln(sigma) ("RES", arXiv 2308.02157, as Cosmos uses it). One evaluation."""
    sigma, following = sigmas[state.step], sigmas[state.step + 1]
    x0 = denoise(state.x, sigma)
    if state.previous_x0 is None:
        return _moved(state, _toward(state.x, x0, sigma, following), x0)
    h = math.log(sigma / following)
    c = math.log(sigma / sigmas[state.step - 1]) / h  # where the answer before lies, in units of h: negative
    phi_1 = -math.expm1(-h) / h
    phi_2 = (1.0 - phi_1) / h
    b_2 = phi_2 / c
    mixed = (phi_1 - b_2) * x0.double() + b_2 * state.previous_x0.double()
    return _moved(state, (math.exp(-h) * state.x.double() + h * mixed).float(), x0)


def ddim(denoise: Denoise, state: SamplerState, sigmas: Sigmas) -> SamplerState:
    """First order, zero-SNR levels; Song et al. 2020 (arXiv 2010.02502), equation 12 without noise. One evaluation."""
    sigma, following = sigmas[state.step], sigmas[state.step + 1]
    x0 = denoise(state.x, sigma)
    kept = following / sigma
    given = alpha_of(following) - kept * alpha_of(sigma)
    return _moved(state, (kept * state.x.double() + given * x0.double()).float(), x0)


def dpmpp_2m_sde(noise: StepNoise) -> Step:
    """Second-order stochastic multistep on zero-SNR levels; Lu et al. 2022 (arXiv 2211.01095), SDE-DPM-Solver++(2M).

    The ratio r of the last two steps in ln(alpha / sigma) is as the CogVideoX authors take it. One evaluation.
    """

    def step(denoise: Denoise, state: SamplerState, sigmas: Sigmas) -> SamplerState:
        sigma, following = sigmas[state.step], sigmas[state.step + 1]
        x0 = denoise(state.x, sigma)
        remains = _snr_ratio(sigma, following)  # exp(-h), h the step in ln(alpha / sigma); 0 from pure noise
        mixed = x0.double()
        if state.previous_x0 is not None and (before := _snr_ratio(sigmas[state.step - 1], sigma)) > 0.0:
            half_r = 0.5 * math.log(remains) / math.log(before)  # 1 / (2 r)
            mixed = (1.0 + half_r) * mixed - half_r * state.previous_x0.double()
        renewed = (1.0 - remains) * (1.0 + remains)
        x = following / sigma * remains * state.x.double() + alpha_of(following) * renewed * mixed
        fresh = noise(state.step, tuple(state.x.shape)).to(state.x.device)
        return _moved(state, (x + following * math.sqrt(renewed) * fresh.double()).float(), x0)

    return step


def _snr_ratio(sigma: float, following: float) -> float:
    """(alpha / sigma) over the same of the following level: less than 1, and 0 where ``sigma`` is pure noise."""
    return alpha_of(sigma) * following / (sigma * alpha_of(following))


SAMPLERS: dict[str, Step] = {"euler": euler, "heun": heun, "res_2ab": res_2ab, "ddim": ddim}
STOCHASTIC: dict[str, Callable[[StepNoise], Step]] = {"dpmpp_2m_sde": dpmpp_2m_sde}


def step_of(name: str, noise: StepNoise) -> Step:
    """The sampler of a name; only a stochastic one asks for ``noise``."""
    return STOCHASTIC[name](noise) if name in STOCHASTIC else SAMPLERS[name]


def sample(
    step: Step,
    denoise: Denoise,
    state: SamplerState,
    sigmas: Sigmas,
    on_step: Callable[[SamplerState], None] = lambda state: None,
) -> Tensor:
    """From any state to x0 (B, C, T, h, w). ``on_step`` sees each new state, and may raise."""
    while state.step < len(sigmas) - 1:
        state = step(denoise, state, sigmas)
        on_step(state)
    return denoise(state.x, sigmas[-1])


def _toward(x: Tensor, x0: Tensor, sigma: float, following: float) -> Tensor:
    """The Euler step: the noise estimate is kept, its level becomes ``following``. Float64 inside."""
    ratio = following / sigma
    return (ratio * x.double() + (1.0 - ratio) * x0.double()).float()


def _moved(state: SamplerState, x: Tensor, x0: Tensor) -> SamplerState:
    return SamplerState(x=x, step=state.step + 1, previous_x0=x0)
