"""Samplers against the closed form: for Gaussian data the ideal denoiser, and so the exact answer, is known."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.runtime.sampling import (
    SAMPLERS,
    SamplerState,
    karras_sigmas,
    load_state,
    num_evaluations,
    sample,
    save_state,
    seeded_noise,
)

SPREAD, SIGMA_MAX, SIGMA_MIN = 0.5, 10.0, 0.1
ORDERS = {"euler": 1, "heun": 2, "res_2ab": 2}


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """x0 of data N(0, SPREAD^2): the posterior's mean."""
    return x * SPREAD**2 / (SPREAD**2 + sigma**2)


def final_state_error(name: str, num_steps: int) -> float:
    """At SIGMA_MIN, before the clean evaluation. The exact flow scales x by the ratio of its deviations."""
    start = torch.ones(1, 1, 1, 1, 1) * SIGMA_MAX
    state, sigmas = SamplerState(start), karras_sigmas(num_steps, SIGMA_MAX, SIGMA_MIN, 7.0)
    while state.step < num_steps:
        state = SAMPLERS[name](gaussian, state, sigmas)
    exact = SIGMA_MAX * math.sqrt((SPREAD**2 + SIGMA_MIN**2) / (SPREAD**2 + SIGMA_MAX**2))
    return abs(state.x.item() - exact)


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_convergence(name: str) -> None:
    errors = [final_state_error(name, num_steps) for num_steps in (40, 80, 160)]
    slopes = [math.log2(errors[i] / errors[i + 1]) for i in range(2)]
    print(f"{name}: errors {errors}, slopes {slopes}")
    assert all(abs(slope - ORDERS[name]) < 0.25 for slope in slopes)


@pytest.mark.parametrize("name", ORDERS)
def test_number_of_evaluations(name: str) -> None:
    asked: list[float] = []

    def counted(x: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return gaussian(x, sigma)

    sigmas = karras_sigmas(6)
    sample(SAMPLERS[name], counted, SamplerState(torch.ones(1, 1, 1, 1, 1)), sigmas)
    assert len(asked) == num_evaluations(name, 6)
    assert asked[-1] == sigmas[-1], "the clean evaluation comes last"


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("stop_after", [1, 4])
def test_resumed_from_a_file_bit_for_bit(name: str, stop_after: int, tmp_path: Path) -> None:
    start, sigmas, kept = SamplerState(seeded_noise((1, 2, 3, 4, 4), 3) * 80), karras_sigmas(6), tmp_path / "state"

    def keep(state: SamplerState) -> None:
        if state.step == stop_after:
            save_state(state, kept)

    whole = sample(SAMPLERS[name], gaussian, start, sigmas, keep)
    saved = load_state(kept)
    assert saved is not None and saved.step == stop_after
    assert torch.equal(sample(SAMPLERS[name], gaussian, saved, sigmas), whole)


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
