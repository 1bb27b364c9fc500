"""Predict1's noise levels, EDM scaling, Euler run, and frames conditioned with augmentation; a formula for a network.

Comes in: a case with any of these. "as_written" is what NVIDIA's script computes, with its faulty replacement of the
network's output on conditioning frames; "exact" is the inverse of its scaling, which is ours. In both the script lays
the augmented frames into the sampler's state at every step, which we do not (see ``as_we_run``).
"""

import re
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from engine.diffusion.denoisers import SIGMA_AUGMENT, AugmentedFramesDenoiser, Conditioning, Denoiser, edm
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise
from engine.diffusion.samplers import SamplerState, euler, sample
from engine.diffusion.schedules import Sigmas, karras_to_zero_sigmas
from tests.goldens.runner import Case, Description, assert_close, kind

SIGMA_MAX, SIGMA_MIN = 80.0, 0.0002
SIGMAS, TIMESTEPS = re.compile(r"sigmas_(\d+)"), re.compile(r"timesteps_(\d+)")
RESULT = re.compile(r"v2w_(\w+)_result_N(\d+)")
EXAMPLE = re.compile(r"aug(\d+)_new_xt")
RATIO, RATIO_ATOL = "least_squares_ratio_result_to_gt_on_conditioned_frames", 2e-5
NOT_LAID_IN_ATOL = 10 * SIGMA_AUGMENT
"""How far frames may be where the script's last steps, below SIGMA_AUGMENT, begin from its own augmented frames and
ours from frames at those steps' own noise level: two noises of this level, each of up to 5 deviations."""


def is_sampler(description: Description) -> bool:
    return "analytic_network" in description


def levels(num_steps: int) -> Sigmas:
    return karras_to_zero_sigmas(num_steps, SIGMA_MAX, SIGMA_MIN)


@dataclass
class Formula:
    """F(x, t; k) = a tanh(x) + b sin(c x + k) cos(t), where k is the "text"; keeps what it was given."""

    given: dict[str, float]
    seen: list[Tensor] = field(default_factory=list)
    timesteps_seen: list[float] = field(default_factory=list)

    def __call__(self, x: Tensor, timesteps: Tensor, text: Tensor, *_: object, **__: object) -> Tensor:
        assert bool((timesteps == timesteps[0, 0]).all()), "Predict1 has one timestep for all frames"
        self.seen.append(x[:1])
        self.timesteps_seen.append(float(timesteps[0, 0]))
        a, b, c = (self.given[name] for name in "abc")
        time = timesteps[:, None, :, None, None]
        return a * torch.tanh(x) + b * torch.sin(c * x + text.view(-1, 1, 1, 1, 1)) * torch.cos(time)


class AsWritten:
    """The script's replacement, around our denoiser: out = latent / c_out - c_skip x, so x0 = c_skip x + c_out out."""

    def __init__(self, inner: AugmentedFramesDenoiser) -> None:
        self.inner = inner

    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        x0, frames, scaling = self.inner(x, sigma, conditioning), conditioning.frames, edm(sigma)
        if frames is None or sigma <= SIGMA_AUGMENT:
            return x0
        num_given = frames.shape[2]
        skipped = scaling.skip * self.inner.placed(x, sigma, frames)[:, :, :num_given]
        x0 = x0.clone()
        x0[:, :, :num_given] = skipped + scaling.out * (frames / scaling.out - skipped)
        return x0


def denoiser_of(case: Case) -> AugmentedFramesDenoiser:
    seed = case.description["v2w"]["augment_noise_seed"]
    return AugmentedFramesDenoiser(
        Formula(case.description["analytic_network"]), lambda shape: seeded_noise(shape, seed)
    )


def conditioning_of(case: Case, with_frames: bool) -> Conditioning:
    network, golden = case.description["analytic_network"], case.tensors()
    text, negative = (torch.full((1, 1, 1), network[name]) for name in ("k_cond", "k_uncond"))
    frames = golden["v2w_gt_latent"][:, :, : case.description["v2w"]["num_condition_t"]] if with_frames else None
    return Conditioning(text, negative, frames)


def assert_state(case: Case, ours: Tensor, golden: Tensor, what: str) -> None:
    """Relative to the largest value of the state, as the case asks for."""
    close = case.description["tolerance"]["states"]
    assert_close(ours, golden, close["atol"] * max(1.0, float(golden.abs().max())), close["rtol"], what)


@dataclass
class Run:
    """Euler steps, each from the state with the augmented frames laid in, as the script does."""

    denoiser: Denoiser
    placing: AugmentedFramesDenoiser
    conditioning: Conditioning
    states: list[Tensor] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)
    following: list[Tensor] = field(default_factory=list)

    def result(self, x: Tensor, sigmas: Sigmas) -> Tensor:
        state, frames = SamplerState(x), self.conditioning.frames
        for sigma in sigmas[:-1]:
            if frames is not None and sigma > SIGMA_AUGMENT:
                state = replace(state, x=self.placing.placed(state.x, sigma, frames))
            self.states.append(state.x)
            state = euler(self.denoise, state, sigmas)
            self.following.append(state.x)
        self.states.append(state.x)
        self.following.append(self.denoise(state.x, sigmas[-1]))
        return self.following[-1]

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        self.answers.append(self.denoiser(x, sigma, self.conditioning))
        return self.answers[-1]


def run_of(case: Case, written: str, with_frames: bool = True) -> Run:
    inner = denoiser_of(case)
    chosen: Denoiser = AsWritten(inner) if written == "as_written" else inner
    guided = Guided(chosen, 1.0 + case.description["guidance"], batched=True)
    return Run(guided, inner, conditioning_of(case, with_frames))


@kind("cosmos_predict1_sampler", recognises=is_sampler)
def schedule(case: Case) -> None:
    rtol = case.description["tolerance"]["sigmas"]["rtol"]
    for name, golden in case.tensors().items():
        if found := SIGMAS.fullmatch(name):
            assert_close(torch.tensor([*levels(int(found[1])), 0.0]), golden, 0.0, rtol, name)
        elif found := TIMESTEPS.fullmatch(name):
            ours = torch.tensor([edm(sigma).noise for sigma in levels(int(found[1]))])
            assert_close(ours, golden, rtol, rtol, name)


@kind("cosmos_predict1_sampler", recognises=is_sampler)
def text_to_world(case: Case) -> None:
    golden = case.tensors()
    if "t2w_start" not in golden:
        return
    run = run_of(case, "exact", with_frames=False)
    network = run.placing.network
    assert isinstance(network, Formula)
    sigmas = levels(len(golden["t2w_output"]))
    result = run.result(golden["t2w_start"], sigmas)
    assert_state(case, torch.cat([*run.states, result]), golden["t2w_state"], "states")
    assert_state(case, torch.cat(run.answers), golden["t2w_pred_x0"], "x0")
    assert_state(case, result, golden["t2w_result"], "result")
    assert_state(case, torch.cat(network.seen), golden["t2w_net_in"], "network input")
    assert_state(case, torch.tensor(network.timesteps_seen), golden["t2w_net_t"], "network timestep")
    scalings = [edm(sigma) for sigma in sigmas]
    for index, scaling in enumerate(scalings):
        x0 = scaling.skip * golden["t2w_state"][index] + scaling.out * golden["t2w_output"][index]
        assert_state(case, x0, golden["t2w_pred_x0"][index], f"x0 of the recorded output {index}")


@kind("cosmos_predict1_sampler", recognises=is_sampler)
def video_to_world(case: Case) -> None:
    """Both ways, every state of the run that was kept, all results, and how much too large the frames end."""
    golden, num_given = case.tensors(), case.description["v2w"]["num_condition_t"]
    if "v2w_start" not in golden:
        return
    truth = golden["v2w_gt_latent"][:, :, :num_given].flatten()
    for name in golden:
        if (found := RESULT.fullmatch(name)) is None:
            continue
        written, num_steps = found[1], int(found[2])
        run = run_of(case, written)
        result = run.result(golden["v2w_start"], levels(num_steps))
        if len(golden.get(f"v2w_{written}_state", ())) == num_steps:
            for part, ours in (("state", run.states), ("pred_x0", run.answers), ("prev", run.following)):
                kept = golden[f"v2w_{written}_{part}"]
                assert_state(case, torch.cat(ours), kept, f"{written}, {part}")
        assert_state(case, result, golden[name], name)
        ratio = float(result[:, :, :num_given].flatten() @ truth / (truth @ truth))
        print(f"{name}: conditioning frames end scaled by {ratio:.6f}")
        measured = case.description["v2w"].get("measured", {}).get(f"{written}_N{num_steps}", {})
        assert abs(ratio - measured.get(RATIO, ratio)) <= RATIO_ATOL


@kind("cosmos_predict1_sampler", recognises=is_sampler)
def single_evaluations(case: Case) -> None:
    golden, given = case.tensors(), case.description["v2w"]
    if "v2w_aug_noise" not in golden:
        return
    num_given, inner = given["num_condition_t"], denoiser_of(case)
    assert given["condition_augment_sigma"] == SIGMA_AUGMENT
    noise = inner.noise(tuple(golden["v2w_aug_noise"].shape))
    assert torch.equal(noise, golden["v2w_aug_noise"]), "the augmentation noise of this seed"
    conditioning = replace(conditioning_of(case, with_frames=True), negative_text=None)
    assert conditioning.frames is not None
    for name in golden:
        if (found := EXAMPLE.fullmatch(name)) is None:
            continue
        sigma, example = float(golden["aug_sigmas"][int(found[1])]), f"aug{found[1]}"
        x, on = golden["aug_xt"], bool(golden[f"{example}_indicator"].any())
        assert on == (sigma > SIGMA_AUGMENT)
        placed = inner.placed(x, sigma, conditioning.frames) if on else x
        assert_state(case, placed, golden[name], f"{name} at {sigma:.4g}")
        if on:
            for written, denoiser in (("exact", inner), ("as_written", AsWritten(inner))):
                ours = denoiser(x, sigma, conditioning)[:, :, :num_given]
                kept = golden[f"{example}_x0_{written}"][:, :, :num_given]
                assert_state(case, ours, kept, f"{example}, x0 {written}")


@kind("cosmos_predict1_sampler", recognises=is_sampler)
def as_we_run(case: Case) -> None:
    """The sampler's own state: the other frames are the script's, conditioning frames are next to its exact ones."""
    golden, num_given = case.tensors(), case.description["v2w"]["num_condition_t"]
    if "v2w_start" not in golden:
        return
    run = run_of(case, "exact")
    for name in golden:
        if (found := RESULT.fullmatch(name)) is not None and found[1] == "exact":
            ours = sample(euler, run.denoise, SamplerState(golden["v2w_start"]), levels(int(found[2])))
            assert_state(case, ours[:, :, num_given:], golden[name][:, :, num_given:], f"{name}, other frames")
            frames = golden[name][:, :, :num_given]
            assert_close(ours[:, :, :num_given], frames, NOT_LAID_IN_ATOL, what=f"{name}, conditioning frames")
