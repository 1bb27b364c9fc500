"""NeMo DFM's EDM sampler and preconditioning: our schedule, denoiser, guidance, and Euler steps of one evaluation.

Our states are float32, so the float64 goldens are met by a plain Euler loop over our tables, and the float32 goldens
by what really runs. Goldens in bfloat16 are informative: the reference rounds every coefficient, we do not.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.diffusion.denoisers import Conditioning, NetworkDenoiser, edm
from engine.diffusion.guidance import Guided
from engine.diffusion.samplers import SamplerState, euler, sample
from engine.diffusion.schedules import karras_to_zero_sigmas
from tests.goldens.runner import Case, Description, assert_close, kind


def is_sampler(description: Description) -> bool:
    of_dfm = description.get("source", {}).get("repository") == "NVIDIA-NeMo/DFM"
    return of_dfm and "sigma_min_used" in description.get("config", {})


class Analytic:
    """The case's network: a * x + b * tanh(x) + c * c_noise + d * mean(text), in the dtype of x."""

    def __init__(self, coefficients: Description) -> None:
        self.a, self.b, self.c, self.d = (coefficients[letter] for letter in "abcd")
        self.num_calls = 0

    def __call__(self, x: Tensor, timesteps: Tensor, text: Tensor, *_: object, **__: object) -> Tensor:
        self.num_calls += 1
        spread = (-1,) + (1,) * (x.dim() - 1)
        mean = text.mean(dim=tuple(range(1, text.dim()))).view(spread)
        return self.a * x + self.b * x.tanh() + self.c * timesteps[:, 0].view(spread).to(x.dtype) + self.d * mean


def levels(config: Description, num_steps: int) -> tuple[float, ...]:
    return karras_to_zero_sigmas(num_steps, config["sigma_max"], config["sigma_min_used"], config["rho"])


@kind("dfm sampler", recognises=is_sampler)
def check_tables(case: Case) -> None:
    config, tables = case.description["config"], case.description["tables"]
    for name, golden in tables.items():
        if name.startswith("sigma_float64"):
            ours = (*levels(config, len(golden) - 1), 0.0)
            assert_close(torch.tensor(ours).double(), torch.tensor(golden).double(), 1e-12, 1e-12, name)
    ours = levels(config, tables["num_steps"])
    scalings = [edm(sigma, config["sigma_data"]) for sigma in ours]
    coefficients = torch.tensor([[s.skip, s.out, s.in_, s.noise] for s in scalings], dtype=torch.float64)
    golden = torch.tensor(tables["c_skip_c_out_c_in_c_noise_float64"], dtype=torch.float64)
    assert_close(coefficients, golden, 1e-12, 1e-12, "coefficients")


@kind("dfm sampler", recognises=is_sampler)
def check_float64(case: Case) -> None:
    """Plain Euler with our levels and coefficients: that our maths is the reference's, without rounding."""
    golden, config, tolerance = case.tensors(), case.description["config"], case.description["tolerance"]
    network, sigmas = Analytic(config["network"]), (*levels(config, config["num_steps"]), 0.0)
    text, weight = golden["in.context"].double(), config["guidance"] + 1.0
    x = golden["in.noise"].double() * config["sigma_max"]
    for index, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        scaling = edm(sigma, config["sigma_data"])

        def x0_for(text: Tensor, x: Tensor = x, scaling=scaling) -> Tensor:  # noqa: ANN001
            noise = torch.full((1, 1), scaling.noise, dtype=torch.float64)
            return scaling.skip * x + scaling.out * network(scaling.in_ * x, noise, text)

        without = x0_for(text * 0)
        x0 = without + weight * (x0_for(text) - without)
        atol = tolerance["traj.float64.*"]["atol"]
        assert_close(x, golden["traj.float64.x"][index], atol, what=f"x {index}")
        assert_close(x0, golden["traj.float64.x0"][index], atol, what=f"x0 {index}")
        x = x + (following - sigma) * (x - x0) / sigma
    assert_close(x, golden["out.float64"], tolerance["out.float64"]["atol"], what="out float64")


@kind("dfm sampler", recognises=is_sampler)
def check_what_runs(case: Case) -> None:
    """Denoiser, guidance and sampler of the runtime: g of theirs is g + 1 of ours, the empty text is zero rows."""
    golden, config = case.tensors(), case.description["config"]
    network, sigmas = Analytic(config["network"]), levels(config, config["num_steps"])
    weight = config["guidance"] + 1.0
    assert weight == config["effective_cfg_weight"]
    text = golden["in.context"]
    conditioning = Conditioning(text=text, negative_text=torch.zeros_like(text))
    scaling: Callable[[float], object] = lambda sigma: edm(sigma, config["sigma_data"])  # noqa: E731
    guided = Guided(NetworkDenoiser(network, scaling), weight, batched=False)
    x = as_latent(golden["in.noise"]) * config["sigma_max"]
    states, answers = [], []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        states.append(x)
        answers.append(guided(x, sigma, conditioning))
        return answers[-1]

    out = sample(euler, denoise, SamplerState(x), sigmas)
    assert network.num_calls == 2 * config["num_steps"], "one evaluation a step and branch"
    atol = case.description["tolerance"]["out.float32"]["fp32_atol"]
    for index, (state, answer) in enumerate(zip(states, answers, strict=True)):
        assert_close(as_stored(state), golden["traj.float32.x"][index], atol, 1e-6, f"x {index}")
        assert_close(as_stored(answer), golden["traj.float32.x0"][index], atol, what=f"x0 {index}")
    assert_close(as_stored(out), golden["out.float32"], atol, what="out float32")
    assert_close(as_stored(out), golden["out.float64"].float(), atol, what="out float64, in float32")
    bound = case.description["tolerance"]["out.bfloat16"]["max_abs_vs_float64"]
    assert_close(as_stored(out), golden["out.bfloat16"].float(), 1.5 * bound, what="out bfloat16, informative")


def as_latent(tokens: Tensor) -> Tensor:
    """(1, S, D) -> (1, D, S, 1, 1): tokens as latent frames of one pixel."""
    return tokens.transpose(1, 2)[..., None, None]


def as_stored(latent: Tensor) -> Tensor:
    return latent[..., 0, 0].transpose(1, 2)
