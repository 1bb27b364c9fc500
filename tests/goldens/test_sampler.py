"""Sampler, scalings, guidance and frame conditioning against the original's numbers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.runtime.denoiser import Conditioning, NetworkDenoiser, edm, rectified_flow
from engine.runtime.guidance import Guided
from engine.runtime.sampling import SAMPLERS, SamplerState, euler, karras_sigmas, res_2ab, sample, seeded_noise
from tests.goldens.cases import assert_close, description, network_of, tensors

GOLDEN = tensors("p2_sampler")
LOOP = tensors("p2_guided_v2w_loop")


def analytic(x: Tensor, sigma: float) -> Tensor:
    """The denoiser that the golden trajectories were made with."""
    given = description("p2_sampler")["analytic_denoiser"]
    level = torch.tensor(sigma, dtype=torch.float32)
    z, t = x / torch.sqrt(1 + level**2), level / (1 + level)
    return given["a"] * torch.tanh(z) + given["b"] * t * torch.sin(given["c"] * z) + given["d"] * (1 - t)


@pytest.mark.parametrize("num_steps", [4, 10, 35])
def test_sigmas(num_steps: int) -> None:
    np.testing.assert_allclose(karras_sigmas(num_steps), GOLDEN[f"sigmas_{num_steps}"].numpy(), rtol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_noise_is_exact(seed: int) -> None:
    assert torch.equal(seeded_noise((1, 16, 2, 2, 2), seed), GOLDEN[f"init_noise_seed{seed}"])


def test_every_state_of_35_steps() -> None:
    sigmas, states, answers = karras_sigmas(35), [GOLDEN["noise"] * 80.0], []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        answers.append(analytic(x, sigma))
        return answers[-1]

    final = sample(res_2ab, denoise, SamplerState(states[0]), sigmas, lambda state: states.append(state.x))
    for index, (ours, golden) in enumerate(zip(states, GOLDEN["samples"], strict=True)):
        assert_close(ours[0], golden, 1e-5 * max(1.0, float(golden.abs().max())), what=f"state {index}")
    assert_close(torch.cat(answers[:-1]), GOLDEN["x0"], 1e-5, 1e-5, "x0")
    assert_close(final, GOLDEN["final"], 1e-5, 1e-5, "final")
    assert len(answers) == 36


@pytest.mark.parametrize("num_steps", [4, 10])
def test_short_runs(num_steps: int) -> None:
    state = SamplerState(GOLDEN["noise"] * 80.0)
    final = sample(res_2ab, analytic, state, karras_sigmas(num_steps))
    assert_close(final, GOLDEN[f"final_N{num_steps}"], 1e-5, 1e-5, f"{num_steps} steps")


@pytest.mark.parametrize("strength", ["0.4", "0.8"])
def test_partial_starts(strength: str) -> None:
    sigmas, run = karras_sigmas(35), description("p2_sampler")["sdedit"]["runs"][strength]
    start = GOLDEN["sdedit_latent"] + sigmas[run["edit_step"]] * GOLDEN["noise"]
    assert_close(start, GOLDEN[f"sdedit_{strength}_start"], 1e-5, 1e-6, "start")
    final = sample(res_2ab, analytic, SamplerState(start, step=run["edit_step"]), sigmas)
    assert_close(final, GOLDEN[f"sdedit_{strength}_final"], 1e-5, 1e-5, "final")


def test_rectified_flow_scaling() -> None:
    for sigma, golden in zip(GOLDEN["scaling_sigma"].tolist(), GOLDEN["scaling_cskip_cout_cin_cnoise"].T, strict=True):
        scaling = rectified_flow(sigma)
        ours = torch.tensor([scaling.skip, scaling.out, scaling.in_, scaling.noise])
        assert_close(ours, golden, 2e-8, 3e-7, f"sigma {sigma}")


def test_edm_scaling_and_euler_of_predict1() -> None:
    golden = tensors("p1_sampler")
    sigmas = golden["sigmas_5"].tolist()
    for index, (x, output) in enumerate(zip(golden["t2w_state"], golden["t2w_output"], strict=False)):
        scaling = edm(sigmas[index])
        assert_close(scaling.in_ * x, golden["t2w_net_in"][index], 1e-5, 1e-5, "network input")
        assert_close(torch.tensor(scaling.noise), golden["t2w_net_t"][index], 1e-6, 1e-6, "network timestep")
        x0 = scaling.skip * x + scaling.out * output
        assert_close(x0, golden["t2w_pred_x0"][index], 1e-5, 1e-5, "x0")
        state = euler(lambda *_, x0=x0: x0, SamplerState(x, step=index), tuple(sigmas))
        following = golden["t2w_state"][index + 1]
        assert_close(state.x, following, 1e-5 * max(1.0, float(following.abs().max())), what=f"state {index + 1}")


def guided_denoiser(batched: bool) -> Guided:
    """The golden's guidance 7 is x0_c + 7 (x0_c - x0_u): 8 in the usual convention."""
    return Guided(NetworkDenoiser(network_of("p2_guided_v2w_loop")), scale=8.0, batched=batched)


def loop_conditioning() -> Conditioning:
    return Conditioning(LOOP["text"], LOOP["negative_text"], LOOP["gt_latent"][:, :, :1])


@pytest.mark.parametrize("batched", [True, False])
def test_each_guided_evaluation(batched: bool) -> None:
    denoiser = guided_denoiser(batched)
    for x, sigma, golden in zip(LOOP["inputs"], karras_sigmas(4), LOOP["x0"], strict=True):
        ours = denoiser(x[None], sigma, loop_conditioning())
        assert_close(ours[0], golden, 3e-4, 1e-3, f"sigma {sigma:.4g}")


def test_the_whole_guided_chain() -> None:
    denoiser, conditioning = guided_denoiser(True), loop_conditioning()
    assert torch.equal(seeded_noise(tuple(LOOP["noise"].shape), 3), LOOP["noise"])
    start = SamplerState(LOOP["noise"] * 80.0)
    result = sample(SAMPLERS["res_2ab"], lambda x, s: denoiser(x, s, conditioning), start, karras_sigmas(4))
    assert_close(result, LOOP["result"], 1e-3 * float(LOOP["result"].abs().max()), what="result")
    assert torch.equal(result[:, :, :1], LOOP["gt_latent"][:, :, :1])


def test_scale_1_is_the_branch_alone() -> None:
    """What the original gives with an empty negative prompt, where both branches are the same."""
    inner = NetworkDenoiser(network_of("p2_guided_v2w_loop"))
    conditioning, calls = loop_conditioning(), []

    def counted(x: Tensor, sigma: float, given: Conditioning) -> Tensor:
        calls.append(x.shape[0])
        return inner(x, sigma, given)

    alone = Guided(counted, scale=1.0)
    start = SamplerState(LOOP["noise"] * 80.0)
    result = sample(res_2ab, lambda x, s: alone(x, s, conditioning), start, karras_sigmas(4))
    golden = LOOP["result_empty_negative"]
    assert_close(result, golden, 1e-3 * float(golden.abs().max()), what="result")
    assert calls == [1] * 5
