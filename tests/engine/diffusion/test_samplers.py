"""Samplers against the closed form: for Gaussian data the ideal denoiser, and so the exact answer, is known."""

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.contract.card_values import GuidanceSchedule, SamplerDefaults
from engine.contract.jobs import SamplerSettings
from engine.contract.samplers import SAMPLER_TRAITS, SamplerName, SamplerTraits, ScheduleName, misfit, num_levels
from engine.diffusion.denoisers import Conditioning, ZeroSnrDenoiser
from engine.diffusion.guidance import Guided, guidance_weight
from engine.diffusion.noise import seeded_noise, step_noise
from engine.diffusion.samplers import SAMPLERS, Denoise, SamplerState, ddim, dpmpp_2m_sde, euler, sample, step_of
from engine.diffusion.schedules import (
    SCHEDULES,
    Sigmas,
    alpha_of,
    karras_sigmas,
    sigmas_for,
    zero_snr_sigmas,
    zero_snr_timesteps,
)
from engine.runtime.resume import load_state, save_state

SPREAD, SIGMA_MAX, SIGMA_MIN = 0.5, 10.0, 0.1
ORDERS: dict[SamplerName, int] = {"euler": 1, "heun": 2, "res_2ab": 2}
ALL = [(name, schedule) for name, traits in SAMPLER_TRAITS.items() for schedule in traits.schedules]


def settings(name: SamplerName, schedule: ScheduleName, num_steps: int = 6) -> SamplerSettings:
    return SamplerSettings(name=name, schedule=schedule, num_steps=num_steps, sigma_max=80, sigma_min=0.002, rho=7)


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """x0 of data N(0, SPREAD^2): the posterior's mean."""
    return x * SPREAD**2 / (SPREAD**2 + sigma**2)


def final_state_error(name: SamplerName, num_steps: int) -> float:
    """At SIGMA_MIN, before the last evaluation. The exact flow scales x by the ratio of its deviations."""
    start = torch.ones(1, 1, 1, 1, 1) * SIGMA_MAX
    step = step_of(name, step_noise(1))
    state, sigmas = SamplerState(start), karras_sigmas(num_steps, SIGMA_MAX, SIGMA_MIN, 7.0)
    while state.step < num_steps:
        state = step(gaussian, state, sigmas)
    exact = SIGMA_MAX * math.sqrt((SPREAD**2 + SIGMA_MIN**2) / (SPREAD**2 + SIGMA_MAX**2))
    return abs(state.x.item() - exact)


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_convergence(name: SamplerName) -> None:
    errors = [final_state_error(name, num_steps) for num_steps in (40, 80, 160)]
    slopes = [math.log2(errors[i] / errors[i + 1]) for i in range(2)]
    print(f"{name}: errors {errors}, slopes {slopes}")
    assert all(abs(slope - ORDERS[name]) < 0.25 for slope in slopes)


@pytest.mark.parametrize(("name", "schedule"), ALL)
@pytest.mark.parametrize("num_steps", [1, 2, 6])
def test_number_of_evaluations(name: SamplerName, schedule: ScheduleName, num_steps: int) -> None:
    evaluated: list[float] = []

    def counted(x: Tensor, sigma: float) -> Tensor:
        evaluated.append(sigma)
        return gaussian(x, sigma)

    sigmas = sigmas_for(settings(name, schedule, num_steps))
    x0 = sample(step_of(name, step_noise(1)), counted, SamplerState(torch.ones(1, 1, 1, 1, 1)), sigmas)
    assert len(sigmas) == num_levels(schedule, num_steps)
    assert len(evaluated) == settings(name, schedule, num_steps).num_evaluations
    assert evaluated[-1] == sigmas[-1], "the evaluation at the last level comes last"
    assert x0.isfinite().all()


def test_every_name_has_traits_and_a_step() -> None:
    assert set(get_args(SamplerName)) == set(SAMPLER_TRAITS) == set(SAMPLERS)
    assert set(get_args(ScheduleName)) == set(SCHEDULES)


def test_a_new_sampler_is_a_function_and_a_line_in_either_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A toy with three evaluations a step: progress counts them, and a resumed run continues with the same bits."""

    def thrice(denoise: Denoise, state: SamplerState, sigmas: Sigmas) -> SamplerState:
        for _ in range(2):
            denoise(state.x, sigmas[state.step])
        return euler(denoise, state, sigmas)

    monkeypatch.setitem(SAMPLERS, "thrice", lambda noise: thrice)
    monkeypatch.setitem(SAMPLER_TRAITS, "thrice", SamplerTraits(3, ("karras",)))
    toy = settings("euler", "karras", 4).model_copy(update={"name": "thrice"})
    step, sigmas, num_evaluations = step_of(toy.name, step_noise(1)), sigmas_for(toy), 0

    def counted(x: Tensor, sigma: float) -> Tensor:
        nonlocal num_evaluations
        num_evaluations += 1
        return gaussian(x, sigma)

    states = [SamplerState(seeded_noise((1, 2, 3, 4, 4), 3) * sigmas[0])]
    whole = sample(step, counted, states[0], sigmas, states.append)
    assert num_evaluations == toy.num_evaluations == 13
    assert torch.equal(sample(step, gaussian, states[2], sigmas), whole)
    reason = "thrice steps along karras levels"
    assert misfit(toy.name, "zero_snr") == reason and misfit(toy.name, "karras") is None


def test_a_card_with_a_sampler_that_does_not_fit_its_schedule_is_refused() -> None:
    with pytest.raises(
        ValueError, match="heun steps along karras or karras_to_zero levels, and the schedule is zero_snr"
    ):
        SamplerDefaults(name="ddim", allowed=("ddim", "heun"), schedule="zero_snr")


@pytest.mark.parametrize(("name", "schedule"), ALL)
@pytest.mark.parametrize("stop_after", [1, 4])
def test_resumed_from_a_file_bit_for_bit(
    name: SamplerName, schedule: ScheduleName, stop_after: int, tmp_path: Path
) -> None:
    """A stochastic one too: another process draws the same noise for the remaining steps."""
    sigmas, path = sigmas_for(settings(name, schedule)), tmp_path / "state"
    start = SamplerState(seeded_noise((1, 2, 3, 4, 4), 3) * sigmas[0])

    def keep(state: SamplerState) -> None:
        if state.step == stop_after:
            save_state(state, path)

    whole = sample(step_of(name, step_noise(7)), gaussian, start, sigmas, keep)
    saved = load_state(path)
    assert saved is not None and saved.step == stop_after
    assert torch.equal(sample(step_of(name, step_noise(7)), gaussian, saved, sigmas), whole)
    other = sample(step_of(name, step_noise(8)), gaussian, saved, sigmas)
    assert torch.equal(other, whole) != SAMPLER_TRAITS[name].is_stochastic, (
        "the seed of the steps matters to stochastic ones alone"
    )


@pytest.mark.parametrize("content", [None, b"", b"not a state", b"\x08\0\0\0\0\0\0\0{}      "])
def test_no_readable_state_is_no_state(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "state"
    if content is not None:
        path.write_bytes(content)
    assert load_state(path) is None


def test_chunks_have_different_noise() -> None:
    first, second = seeded_noise((1, 2, 2, 2, 2), 5), seeded_noise((1, 2, 2, 2, 2), 6)
    assert not torch.equal(first, second)
    assert torch.equal(first, seeded_noise((1, 2, 2, 2, 2), 5))
    assert torch.equal(seeded_noise((1, 1, 1, 1, 2), 2**32), seeded_noise((1, 1, 1, 1, 2), 0)), "seeds wrap at 2^32"


def gaussian_vp(x: Tensor, sigma: float) -> Tensor:
    """x0 of data N(0, SPREAD^2) where x = alpha * x0 + sigma * noise."""
    alpha = alpha_of(sigma)
    return x * alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)


def exact_deviation(sigma: float) -> float:
    """Of x at a level, for the same data."""
    return math.sqrt(alpha_of(sigma) ** 2 * SPREAD**2 + sigma**2)


@pytest.mark.parametrize("first", [0, 7])
def test_ddim_converges_to_the_flow(first: int) -> None:
    """From pure noise, and from part way down: the exact flow scales x by the ratio of its deviations."""
    errors: list[float] = []
    for num_steps in (50, 100, 200):
        sigmas = zero_snr_sigmas(num_steps)
        state = SamplerState(torch.ones(1, 1, 1, 1, 1), step=first * num_steps // 50)
        exact = exact_deviation(sigmas[-1]) / exact_deviation(sigmas[state.step])
        while state.step < num_steps - 1:
            state = ddim(gaussian_vp, state, sigmas)
        errors.append(abs(state.x.item() - exact))
    print(f"errors {errors}")
    assert errors[0] < 0.02 and errors[1] < 0.75 * errors[0] and errors[2] < 0.75 * errors[1]


def test_dpmpp_2m_sde_converges_to_the_distribution() -> None:
    """All is linear here, so the deviation at the end is exact: from one run for each draw with all others zero."""
    errors: list[float] = []
    for num_steps in (100, 200, 400):
        sigmas = zero_snr_sigmas(num_steps)
        columns = torch.eye(num_steps)[:, None, None, None]  # each draw has an element of its own; the last is x

        def noise(step: int, shape: tuple[int, ...], columns: Tensor = columns) -> Tensor:
            return columns[..., step].reshape(shape)

        state, step = SamplerState(columns[..., -1].reshape(1, 1, 1, 1, -1)), dpmpp_2m_sde(noise)
        while state.step < num_steps - 1:
            state = step(gaussian_vp, state, sigmas)
        errors.append(abs(state.x.square().sum().sqrt().item() - exact_deviation(sigmas[-1])))
    print(f"errors {errors}")
    assert errors[0] < 0.02 and errors[1] < 0.75 * errors[0] and errors[2] < 0.75 * errors[1]


def test_each_step_has_its_own_noise() -> None:
    noise, shape = step_noise(3), (1, 2, 2, 4, 4)
    draws = [noise(index, shape) for index in range(3)] + [seeded_noise(shape, 3), step_noise(4)(0, shape)]
    assert len({draw.sum().item() for draw in draws}) == len(draws)
    assert torch.equal(noise(1, shape), step_noise(3 + 2**32)(1, shape)), "seeds wrap at 2^32"


def test_to_zero_ends_with_the_euler_step_to_zero() -> None:
    """N levels: the last Euler step, from sigma_min to 0, gives the denoiser's answer itself."""
    wanted = settings("euler", "karras_to_zero", 35)
    sigmas = sigmas_for(wanted)
    assert (len(sigmas), sigmas[0]) == (35, pytest.approx(80)) and sigmas[-1] == pytest.approx(0.002)
    np.testing.assert_allclose(sigmas[:4], [80, 68.0051, 57.5860, 48.5662], atol=1e-4)
    assert wanted.num_evaluations == 35


@pytest.mark.parametrize("num_steps", [1, 2, 3, 50, 999, 1000])
def test_zero_snr_levels(num_steps: int) -> None:
    sigmas, timesteps = zero_snr_sigmas(num_steps), zero_snr_timesteps(num_steps)
    assert sigmas[0] == 1.0 and timesteps[0] == 999, "the first level is pure noise"
    assert all(a > b > 0 for a, b in zip(sigmas, sigmas[1:], strict=False))
    assert all(a > b >= 0 for a, b in zip(timesteps, timesteps[1:], strict=False))


def test_the_network_gets_the_timestep_of_the_run() -> None:
    """At 50 steps the trained level nearest to timestep 219 is 218: alpha is that level's, the timestep stays."""
    received: list[float] = []

    def network(x: Tensor, timesteps: Tensor, text: Tensor, **rest: object) -> Tensor:
        received.extend(timesteps.unique().tolist())
        return torch.zeros_like(x)

    denoise, sigmas = ZeroSnrDenoiser(network, 50), zero_snr_sigmas(50)
    x0 = denoise(torch.ones(1, 1, 2, 1, 1), sigmas[39], Conditioning(torch.zeros(1, 1, 1, 1)))
    assert received == [219.0]
    assert x0[0, 0, 0].item() == pytest.approx(0.840914249420166, abs=2e-7)


@pytest.mark.parametrize("num_steps", [1, 2, 50])
def test_the_ramp_goes_from_1_to_the_scale(num_steps: int) -> None:
    sigmas = zero_snr_sigmas(num_steps)
    weight = guidance_weight("ramp", 6.0, sigmas)
    assert callable(weight)
    weights = [weight(sigma) for sigma in sigmas]
    assert weights[-1] == 6.0 and (num_steps == 1 or weights[0] == 1.0)
    assert weights == sorted(weights)
    assert len(set(weights[-2:])) == min(2, num_steps)


def test_guidance_follows_the_level() -> None:
    def inner(x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        return conditioning.text.mean(dim=(1, 2)).view(-1, 1, 1, 1, 1).expand_as(x)

    weights = {1.0: 1.0, 0.5: 3.0}
    conditioning = Conditioning(torch.ones(1, 2, 2), torch.zeros(1, 2, 2))
    for batched in (True, False):
        guided = Guided(inner, weights.__getitem__, batched)
        answers = [guided(torch.zeros(1, 1, 1, 1, 1), sigma, conditioning).item() for sigma in weights]
        assert answers == [1.0, 3.0]


@pytest.mark.parametrize("schedule", ["constant", "ramp", "reference_wave"])
def test_scale_1_is_no_guidance(schedule: GuidanceSchedule) -> None:
    assert guidance_weight(schedule, 1.0, zero_snr_sigmas(5)) == 1.0
