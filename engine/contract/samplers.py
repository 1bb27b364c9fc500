"""Samplers and noise schedules by name: what a plan and a progress bar need to know of them, without torch.

Comes in: names as cards, presets and storyboards write them. Goes out: evaluations per step, number of noise levels,
which sampler fits which schedule. Does not know how a step is computed (``engine.diffusion.samplers`` does).
"""

from dataclasses import dataclass
from typing import Literal

SamplerName = Literal["euler", "heun", "res_2ab", "dpmpp_2m_sde", "ddim"]
ScheduleName = Literal["karras", "karras_to_zero", "zero_snr"]
"""karras: N steps and a clean evaluation at sigma_min. karras_to_zero: N levels, the last step goes to 0. zero_snr: N
levels of a variance-preserving schedule that ends in pure noise (sigma_max, sigma_min and rho mean nothing to it)."""

KARRAS: tuple[ScheduleName, ...] = ("karras", "karras_to_zero")
"""x = x0 + sigma * noise."""
ZERO_SNR: tuple[ScheduleName, ...] = ("zero_snr",)
"""x = alpha * x0 + sigma * noise with alpha^2 + sigma^2 = 1."""

SAMPLES_TO_SIGMA_MIN: tuple[ScheduleName, ...] = ("karras",)


@dataclass(frozen=True, slots=True)
class SamplerTraits:
    """``evaluations_per_step``: of the denoiser. ``is_stochastic``: whether each step draws fresh noise."""

    evaluations_per_step: int
    schedules: tuple[ScheduleName, ...]
    is_stochastic: bool = False


SAMPLER_TRAITS: dict[SamplerName, SamplerTraits] = {
    "euler": SamplerTraits(1, KARRAS),
    "heun": SamplerTraits(2, KARRAS),
    "res_2ab": SamplerTraits(1, KARRAS),
    "ddim": SamplerTraits(1, ZERO_SNR),
    "dpmpp_2m_sde": SamplerTraits(1, ZERO_SNR, is_stochastic=True),
}


def num_evaluations(name: SamplerName, schedule: ScheduleName, num_steps: int) -> int:
    """Denoiser evaluations of one sampler call: those of each step, and the last one, at the last level."""
    return SAMPLER_TRAITS[name].evaluations_per_step * (num_levels(schedule, num_steps) - 1) + 1


def num_levels(schedule: ScheduleName, num_steps: int) -> int:
    """Noise levels of ``num_steps`` steps; where the last step goes to 0, that step is the last evaluation."""
    return num_steps + 1 if schedule in SAMPLES_TO_SIGMA_MIN else num_steps


def misfit(name: SamplerName, schedule: ScheduleName) -> str | None:
    """Why a sampler cannot step along a schedule; None where it can."""
    traits = SAMPLER_TRAITS[name]
    return None if schedule in traits.schedules else f"{name} steps along {' or '.join(traits.schedules)} levels"
