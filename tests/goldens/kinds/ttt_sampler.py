"""TTT-Video's schedule tables, denoiser, guidance and stochastic sampler, with the noise that was recorded.

Comes in: a case with a run of N steps, or with tables alone. Does not know networks: the case's own is a formula.
"""

import math
import re

import numpy as np
import torch
from torch import Tensor

from engine.diffusion.denoisers import Conditioning, ZeroSnrDenoiser
from engine.diffusion.guidance import Guided, guidance_weight
from engine.diffusion.samplers import SamplerState, dpmpp_2m_sde, sample
from engine.diffusion.schedules import (
    alpha_table,
    nearest_timesteps,
    zero_snr_alphas,
    zero_snr_sigmas,
    zero_snr_timesteps,
)
from tests.goldens.runner import Case, Description, assert_close, kind

ALPHA_ATOL = 2e-7
WEIGHTS = re.compile(r"guidance_weight_scale([\d.]+)_exp(\d+)")


def is_run(description: Description) -> bool:
    return "index_of_used_draw" in description.get("tables", {})


def is_table(description: Description) -> bool:
    return "denoiser_table_1000" in description


class Formula:
    """v(x, text, t) = a x + b sin(x) + c t / 1000 + d mean(text); ``text`` (B, ...), each of the batch with its own."""

    def __init__(self, a: float, b: float, c: float, d: float) -> None:
        self.a, self.b, self.c, self.d = a, b, c, d

    def __call__(self, x: Tensor, timesteps: Tensor, text: Tensor, *_: object, **__: object) -> Tensor:
        per_sample = self.c * timesteps[:, 0] / 1000 + self.d * text.flatten(1).mean(1)
        return self.a * x + self.b * torch.sin(x) + per_sample.view(-1, 1, 1, 1, 1)


def network_of(case: Case) -> Formula:
    given = case.description["config"]["network"]
    return Formula(given["a"], given["b"], given["c"], given["d"])


def weights_of(num_steps: int, scale: float, exponent: int) -> list[float]:
    sigmas = zero_snr_sigmas(num_steps)
    weight = guidance_weight("reference_wave", scale, sigmas, exponent)
    return [weight(sigma) if callable(weight) else weight for sigma in sigmas]


def shift_of(case: Case) -> float:
    return case.description["config"].get("shift_scale", 1.0)


@kind("ttt_sampler", recognises=is_run)
def tables(case: Case) -> None:
    """Timesteps, alphas, snapped levels and guidance of the run."""
    golden, num_steps = case.description["tables"], case.description["config"]["num_steps"]
    assert list(zero_snr_timesteps(num_steps)) == golden["timestep_per_step"]
    ours = [*zero_snr_alphas(num_steps, shift_of(case)).tolist(), 1.0]
    np.testing.assert_allclose(ours, golden["alpha_float32"], rtol=0, atol=ALPHA_ATOL)
    assert nearest_timesteps(num_steps, shift_of(case)) == golden["snapped_table_index"]
    atol = case.description["tolerance"]["guidance_weight_float64"]["atol"]
    config = case.description["config"]
    weights = weights_of(num_steps, config["guider_scale"], config["guider_exp"])
    print("guidance: max", np.abs(np.array(weights) - golden["guidance_weight_float64"]).max())
    np.testing.assert_allclose(weights, golden["guidance_weight_float64"], rtol=0, atol=atol)


@kind("ttt_sampler", recognises=is_run)
def every_state(case: Case) -> None:
    """The run itself, both guidance branches in one batch, with the tabulated guidance (see the case's note)."""
    golden, config = case.tensors(), case.description["config"]
    sigmas = zero_snr_sigmas(config["num_steps"], shift_of(case))
    given = dict(zip(sigmas, case.description["tables"]["guidance_weight_float64"], strict=True))
    inner = ZeroSnrDenoiser(network_of(case), config["num_steps"], shift=shift_of(case))
    guided = Guided(inner, given.__getitem__)
    conditioning = Conditioning(golden["in.cond"], golden["in.uncond"])
    states: list[Tensor] = []
    answers: list[Tensor] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        answers.append(guided(x, sigma, conditioning))
        return answers[-1]

    step = dpmpp_2m_sde(lambda index, shape: golden["noise.used"][index].reshape(shape))
    final = sample(step, denoise, SamplerState(golden["in.x_init"]), sigmas, lambda state: states.append(state.x))
    atol = {name: case.description["tolerance"][name]["fp32_atol"] for name in ("out.x", "out.final")}
    assert_close(torch.stack([*states, final]), golden["out.x"], atol["out.x"], what="states")
    assert_close(torch.stack(answers), golden["out.denoised"], atol["out.x"], what="answers")
    assert_close(final, golden["out.final"], atol["out.final"], what="final")


@kind("ttt_sampler_tables", recognises=is_table)
def tables_by_number_of_steps(case: Case) -> None:
    atol = case.description["tolerance"]["alpha_abs"]
    for number, golden in case.description["tables"].items():
        num_steps = int(number)
        assert list(zero_snr_timesteps(num_steps)) == golden["timestep_per_step"]
        np.testing.assert_allclose(zero_snr_alphas(num_steps), golden["alpha_float64_derived"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(zero_snr_alphas(num_steps), golden["alpha_float32_executed"], rtol=0, atol=atol)
        assert nearest_timesteps(num_steps) == golden["snapped_table_index"]
        name = next(key for key in golden if WEIGHTS.fullmatch(key))
        scale, exponent = WEIGHTS.fullmatch(name).groups()
        far = np.abs(np.array(weights_of(num_steps, float(scale), int(exponent))) - golden[name]).max()
        print(f"{num_steps} steps: guidance max {far:.2e}")
        assert far <= golden["guidance_weight_atol"]
        assert all(math.isfinite(sigma) and 0 < sigma <= 1 for sigma in zero_snr_sigmas(num_steps))


@kind("ttt_sampler_tables", recognises=is_table)
def table_of_1000(case: Case) -> None:
    table = alpha_table()
    for index, golden in case.description["denoiser_table_1000"]["samples"].items():
        assert abs(table[int(index)] - golden) <= case.description["tolerance"]["alpha_abs"], index


@kind("ttt_sampler_tables", recognises=is_table)
def shifted(case: Case) -> None:
    golden = case.description.get("shifted_schedule")
    if golden is not None:
        ours = zero_snr_alphas(golden["num_steps"], golden["shift_scale"])
        atol = case.description["tolerance"]["alpha_abs"]
        np.testing.assert_allclose(ours, golden["alpha_float32_executed"], rtol=0, atol=atol)
