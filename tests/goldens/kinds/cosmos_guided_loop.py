"""A whole guided Video2World run of Predict2: conditioning frames, guidance, sampler and clean step together.

Comes in: a case with a network's weights, conditioning latents and the state and answer of every evaluation.
"""

import torch

from engine.diffusion.denoisers import Conditioning, NetworkDenoiser
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise
from engine.diffusion.samplers import SamplerState, res_2ab, sample
from engine.diffusion.schedules import karras_sigmas
from tests.goldens.networks import network_of
from tests.goldens.runner import Case, Description, assert_close, kind

PER_EVALUATION = 3e-4
"""Absolute, as the goldens' README says; the whole chain is held to 1e-3 of the largest value."""


def is_loop(description: Description) -> bool:
    return "num_sampling_step" in description and "model_channels" in description.get("config", {})


def usual_scale(case: Case) -> float:
    """The original's guidance g is x0_c + g (x0_c - x0_u): 1 + g in the usual convention."""
    return 1.0 + case.description["guidance"]


def conditioning_of(case: Case) -> Conditioning:
    golden, num_given = case.tensors(), case.description["latent_conditional_frames"]
    frames = golden["gt_latent"][:, :, :num_given] if num_given else None
    return Conditioning(golden["text"], golden["negative_text"], frames)


def every_evaluation(case: Case, batched: bool) -> None:
    golden, conditioning = case.tensors(), conditioning_of(case)
    network = NetworkDenoiser(network_of(case))
    guided = Guided(network, usual_scale(case), batched)
    alone = Conditioning(conditioning.text, frames=conditioning.frames)
    without = Conditioning(golden["negative_text"], frames=conditioning.frames)
    rtol = case.description["tolerance"]["x0"]["rtol"]
    sigmas = karras_sigmas(case.description["num_sampling_step"])
    assert_close(torch.tensor(sigmas), golden["sigmas"], 0.0, 1e-6, "sigmas")
    for index, (x, sigma) in enumerate(zip(golden["inputs"], sigmas, strict=True)):
        x = x[None]
        for name, ours in (("x0_cond", network(x, sigma, alone)), ("x0_uncond", network(x, sigma, without))):
            assert_close(ours[0], golden[name][index], PER_EVALUATION, rtol, f"{name} at {sigma:.4g}")
        assert_close(guided(x, sigma, conditioning)[0], golden["x0"][index], PER_EVALUATION, rtol, f"x0 at {sigma:.4g}")


@kind("cosmos_guided_loop", recognises=is_loop)
def evaluations_batched(case: Case) -> None:
    every_evaluation(case, batched=True)


@kind("cosmos_guided_loop", recognises=is_loop)
def evaluations_one_after_the_other(case: Case) -> None:
    every_evaluation(case, batched=False)


@kind("cosmos_guided_loop", recognises=is_loop)
def whole_chain(case: Case) -> None:
    golden, conditioning = case.tensors(), conditioning_of(case)
    noise = seeded_noise(tuple(golden["noise"].shape), case.description["seed"])
    assert torch.equal(noise, golden["noise"]), "the noise of this seed"
    sigmas, network = karras_sigmas(case.description["num_sampling_step"]), NetworkDenoiser(network_of(case))
    # The original's empty negative prompt switches guidance off silently: it is scale 1.
    for name, scale in (("result", usual_scale(case)), ("result_empty_negative", 1.0)):
        if name in golden:
            guided = Guided(network, scale)
            ours = sample(
                res_2ab, lambda x, s, g=guided: g(x, s, conditioning), SamplerState(noise * sigmas[0]), sigmas
            )
            assert_close(ours, golden[name], 1e-3 * float(golden[name].abs().max()), what=name)
            if conditioning.frames is not None:
                kept = ours[:, :, : conditioning.frames.shape[2]]
                assert torch.equal(kept, conditioning.frames), "conditioning frames are kept as they are"
