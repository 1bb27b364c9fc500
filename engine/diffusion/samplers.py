"""Samplers: from noise to a clean latent, step by step, with a denoiser.

Comes in: a denoiser ``(x, sigma) -> x0``, a state and descending noise levels. Goes out: the next state, and x0 at the
end. Does not know guidance, prediction types, parallelism, previews or jobs.

Letters: B batch, C latent channels, T latent frames, h w latent size. Every run ends with one evaluation at its last
level, which is an Euler step to 0. ``euler``, ``heun`` and ``res_2ab`` step along Karras levels, ``ddim`` and
``dpmpp_2m_sde`` along zero-SNR levels (both kinds: engine/diffusion/schedules.py).

A new sampler is a step function, a line in SAMPLERS, and its name and line in engine/contract/samplers.py.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from engine.contract.samplers import SamplerName
from engine.diffusion.noise import StepNoise
from engine.diffusion.schedules import Sigmas, alpha_of

Denoise = Callable[[Tensor, float], Tensor]
"""(x (B, C, T, h, w) float32, sigma) -> x0; the conditioning is bound already."""


@dataclass(frozen=True, slots=True)
class SamplerState:
    """A sampler between two steps. ``step``: index of the next one, 0 to N; at N only the last evaluation is left.

    x and previous_x0 (the x0 of the step before; None at the start): (B, C, T, h, w) float32.
    extra: the state of stateful denoisers after the step (``stack.state_of``); no step function reads it.
    """

    x: Tensor
    step: int = 0
    previous_x0: Tensor | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)


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
    c = math.log(sigma / sigmas[state.step - 1]) / h  # position of the previous x0, in units of h: negative
    phi_1 = -math.expm1(-h) / h
    phi_2 = (1.0 - phi_1) / h
    b_2 = phi_2 / c
    mixed = (phi_1 - b_2) * x0.double() + b_2 * state.previous_x0.double()
    return _moved(state, (math.exp(-h) * state.x.double() + h * mixed).float(), x0)


def ddim(denoise: Denoise, state: SamplerState, sigmas: Sigmas) -> SamplerState:
    """First order, zero-SNR levels; Song et al. 2020 (arXiv 2010.02502), equation 12 without noise. One evaluation."""
    sigma, following = sigmas[state.step], sigmas[state.step + 1]
    x0 = denoise(state.x, sigma)
    x_weight = following / sigma
    x0_weight = alpha_of(following) - x_weight * alpha_of(sigma)
    return _moved(state, (x_weight * state.x.double() + x0_weight * x0.double()).float(), x0)


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


def _deterministic(step: Step) -> Callable[[StepNoise], Step]:
    return lambda noise: step


SAMPLERS: dict[SamplerName, Callable[[StepNoise], Step]] = {
    "euler": _deterministic(euler),
    "heun": _deterministic(heun),
    "res_2ab": _deterministic(res_2ab),
    "ddim": _deterministic(ddim),
    "dpmpp_2m_sde": dpmpp_2m_sde,
}
"""By name: the step of one run, made from the run's noise, which only a stochastic sampler draws. How many evaluations
a step has and which levels it steps along: SAMPLER_TRAITS in engine/contract/samplers.py."""


def step_of(name: SamplerName, noise: StepNoise) -> Step:
    return SAMPLERS[name](noise)


def sample(
    step: Step,
    denoise: Denoise,
    state: SamplerState,
    sigmas: Sigmas,
    on_step: Callable[[SamplerState], None] = lambda state: None,
) -> Tensor:
    """From any state to x0 (B, C, T, h, w). ``on_step`` is called with each new state, and may raise."""
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
