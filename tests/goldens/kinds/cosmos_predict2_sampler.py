"""Predict2's noise levels, "2AB" sampler, partial starts and seeded noise, with a formula for a denoiser.

Comes in: a case with any of these. Which numbers of steps, seeds and strengths there are, the tensors' names say.
"""

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.contract.frames import start_step
from engine.diffusion.denoisers import rectified_flow
from engine.diffusion.noise import seeded_noise
from engine.diffusion.samplers import SamplerState, res_2ab, sample
from engine.diffusion.schedules import Sigmas, karras_sigmas
from tests.goldens.runner import Case, Description, assert_close, kind

NOISE_SEED = re.compile(r"init_noise_seed(\d+)")
STATED_SEED = re.compile(r"RandomState\((\d+)\)")
SIGMAS = re.compile(r"sigmas_(\d+)")
SHORT_RUN = re.compile(r"final_N(\d+)")
BF16_TIMESTEPS = re.compile(r"bf16_timesteps_(\d+)")


def is_sampler(description: Description) -> bool:
    names = description.get("tensors", {})
    tables = any(pattern.fullmatch(name) for name in names for pattern in (NOISE_SEED, SIGMAS))
    return "analytic_network" not in description and ("sdedit" in description or tables)


def named(golden: dict[str, Tensor], pattern: re.Pattern[str]) -> dict[int, Tensor]:
    """The tensors whose names match, by the number in the name."""
    return {int(found[1]): tensor for name, tensor in golden.items() if (found := pattern.fullmatch(name))}


def levels(case: Case, num_steps: int) -> Sigmas:
    given = {name: case.description[name] for name in ("sigma_max", "sigma_min", "rho") if name in case.description}
    return karras_sigmas(num_steps, **given)


class Analytic:
    """The denoiser that the trajectories were made with; it keeps its answers."""

    def __init__(self, case: Case) -> None:
        self.given = case.description["analytic_denoiser"]
        self.answers: list[Tensor] = []

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        a, b, c, d = (self.given[name] for name in "abcd")
        level = torch.tensor(sigma, dtype=torch.float32)
        z, t = x / torch.sqrt(1 + level**2), level / (1 + level)
        self.answers.append(a * torch.tanh(z) + b * t * torch.sin(c * z) + d * (1 - t))
        return self.answers[-1]


@kind("cosmos_predict2_sampler", recognises=is_sampler)
def schedule(case: Case) -> None:
    for num_steps, golden in named(case.tensors(), SIGMAS).items():
        ours = np.array(levels(case, num_steps))
        print(f"{num_steps} steps: max relative {np.max(np.abs(ours / golden.numpy() - 1)):.2e}")
        np.testing.assert_allclose(ours, golden.numpy(), rtol=case.description["tolerance"]["sigmas"]["rtol"])
    for num_steps, golden in named(case.tensors(), BF16_TIMESTEPS).items():
        timesteps = torch.tensor([rectified_flow(sigma).noise for sigma in levels(case, num_steps)]).bfloat16()
        assert torch.equal(timesteps.float(), golden), f"{num_steps} steps: timesteps in bfloat16"


@kind("cosmos_predict2_sampler", recognises=is_sampler)
def noise(case: Case) -> None:
    golden, meanings = case.tensors(), case.description["tensors"]
    seeds = {name: int(found[1]) for name in golden if (found := NOISE_SEED.fullmatch(name))}
    if "noise" in golden and (found := STATED_SEED.search(meanings["noise"]["meaning"])):
        seeds["noise"] = int(found[1])
    for name, seed in seeds.items():
        assert torch.equal(seeded_noise(tuple(golden[name].shape), seed), golden[name]), f"{name}: seed {seed}"
        print(f"{name}: equal")


@kind("cosmos_predict2_sampler", recognises=is_sampler)
def scaling(case: Case) -> None:
    golden = case.tensors()
    if "scaling_sigma" not in golden:
        return
    rows = [rectified_flow(sigma) for sigma in golden["scaling_sigma"].tolist()]
    ours = torch.tensor([[row.skip, row.out, row.in_, row.noise] for row in rows]).T
    assert_close(ours, golden["scaling_cskip_cout_cin_cnoise"], 2e-8, 3e-7, "skip, out, in, noise")


@kind("cosmos_predict2_sampler", recognises=is_sampler)
def every_state(case: Case) -> None:
    """The whole run of which all states were kept, and the shorter ones."""
    golden, close = case.tensors(), case.description["tolerance"].get("states", {})
    if "samples" in golden:
        sigmas, denoise = levels(case, len(golden["samples"]) - 1), Analytic(case)
        states = [golden["noise"] * sigmas[0]]
        final = sample(res_2ab, denoise, SamplerState(states[0]), sigmas, lambda state: states.append(state.x))
        for index, (ours, state) in enumerate(zip(states, golden["samples"], strict=True)):
            largest = max(1.0, float(state.abs().max()))
            assert_close(ours[0], state, close["atol"] * largest, close["rtol"], f"state {index}")
        assert_close(torch.cat(denoise.answers[:-1]), golden["x0"], close["atol"], close["rtol"], "x0")
        assert_close(final, golden["final"], close["atol"], close["rtol"], "final")
        assert len(denoise.answers) == len(golden["samples"])
    for num_steps, final in named(golden, SHORT_RUN).items():
        sigmas = levels(case, num_steps)
        ours = sample(res_2ab, Analytic(case), SamplerState(golden["noise"] * sigmas[0]), sigmas)
        assert_close(ours, final, close["atol"], close["rtol"], f"{num_steps} steps")


@kind("cosmos_predict2_sampler", recognises=is_sampler)
def partial_starts(case: Case) -> None:
    """A clip re-imagined: at which step it begins, from which state, and what becomes of it."""
    if (given := case.description.get("sdedit")) is None:
        return
    golden, num_steps, close = case.tensors(), given["N"], case.description["tolerance"]["states"]
    sigmas = levels(case, num_steps)
    starts = [start_step(num_steps, strength) for strength in given["strengths"]]
    print(f"starts at {starts}")
    assert starts == given["start_index"]
    assert [sigmas[start] for start in starts] == pytest.approx(given["start_sigma"], rel=1e-12)
    for strength, run in given.get("runs", {}).items():
        step = start_step(num_steps, float(strength))
        assert step == run["edit_step"]
        start = golden["sdedit_latent"] + sigmas[step] * golden["noise"]
        largest = max(1.0, float(start.abs().max()))
        assert_close(start, golden[f"sdedit_{strength}_start"], close["atol"] * largest, what=f"{strength}, start")
        final = sample(res_2ab, Analytic(case), SamplerState(start, step=step), sigmas)
        assert_close(final, golden[f"sdedit_{strength}_final"], close["atol"], close["rtol"], f"{strength}, final")
