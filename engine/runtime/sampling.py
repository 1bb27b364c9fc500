"""The second verb of the pipeline: from noise to clean latents, resumable at every step, the same on every rank.

Comes in: a ``RenderContext`` and the inputs of one sampler call. Goes out: latents, with the state saved on the way.
Does not know text, frames or how a denoiser or a sampler computes.

Letters: C latent channels, T latent frames, h w latent size.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from engine.diffusion import samplers
from engine.diffusion.denoisers import Denoiser
from engine.diffusion.noise import seeded_noise, step_noise
from engine.diffusion.samplers import SamplerState
from engine.diffusion.stack import Observed, Observer, Wrapper, denoiser_stack, fits, load_state_of, state_of
from engine.runtime.conditioning import CallInputs
from engine.runtime.link import Leaving
from engine.runtime.ranks import Ulysses
from engine.runtime.render_context import RenderContext
from engine.runtime.resume import state_from, tensors_of


def sample(work: RenderContext, call: int, inputs: CallInputs, wrappers: Sequence[Wrapper] = ()) -> Tensor:
    """-> clean latents (1, C, T, h, w), the same on every rank. ``wrappers``: as in ``denoiser_stack``."""
    work.progress.stage("denoise", call)
    stack = _stack(work, call, wrappers)
    state = first_state(work, call, inputs.init_latents, stack)
    with work.residency.on_device(work.model.network):
        latents = _run(work, call, inputs, stack, state)
    if work.ranks.leads:
        work.saved.keep_latents(call, latents)
    return latents


def _stack(work: RenderContext, call: int, wrappers: Sequence[Wrapper]) -> Observed:
    ranks = work.ranks
    layout = Ulysses(ranks) if ranks.size > 1 else None
    observer = Observer(work.step_boundary, lambda flag: bool(ranks.agree(int(flag))), work.evaluated)
    model, seed = work.model, work.job.seed + call
    return denoiser_stack(model.card, model.network, work.job, observer, model.dtype, layout, seed, wrappers)


def _run(work: RenderContext, call: int, inputs: CallInputs, stack: Denoiser, state: SamplerState) -> Tensor:
    """From ``state`` to the latents. The newest complete step is saved now and then, and where the ranks are to go."""
    newest = state

    def on_step(state: SamplerState) -> None:
        nonlocal newest
        newest = replace(state, extra=state_of(stack))
        if work.ranks.leads:
            work.saved.keep(call, newest)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return stack(x, sigma, inputs.conditioning)

    step = samplers.step_of(work.job.sampler.name, step_noise(work.job.seed + call))
    try:
        return samplers.sample(step, denoise, state, work.sigmas, on_step)
    except Leaving:
        if work.ranks.leads:
            work.saved.keep(call, newest, now=True)
        raise


def first_state(work: RenderContext, call: int, init_latents: Tensor | None, stack: Denoiser) -> SamplerState:
    """The saved state of an earlier attempt, or seeded noise (over a clip, part way down); the same on every rank.

    The stack gets the saved state of its wrappers; a state that was saved with other wrappers is not resumed.
    """
    state = work.saved.state(call) if work.ranks.leads else None
    if state is not None and not fits(stack, state.extra):
        state = None
    step = work.ranks.agree(state.step if state is not None else 0)
    if step == 0:
        x = _noise(work, call).to(work.ranks.device) * work.sigmas[work.first_step]
        return SamplerState(x if init_latents is None else init_latents + x, work.first_step)
    shared = state_from(work.ranks.share_tensors(lambda: tensors_of(state) if state is not None else {}), step)
    work.progress.evaluations.skip(work.evaluations_before(step) - work.evaluations_before(work.first_step))
    load_state_of(stack, shared.extra)
    return shared


def _noise(work: RenderContext, call: int) -> Tensor:
    """(1, C, T, h, w); sampler call k has the seed of the job plus k."""
    sizes, (width, height) = work.card.autoencoder, work.job.size_px
    space = height // sizes.spatial_factor, width // sizes.spatial_factor
    return seeded_noise((1, sizes.latent_channels, work.num_latents[call], *space), work.job.seed + call)


def saved_latents(work: RenderContext, call: int) -> Tensor | None:
    """The latents (1, C, T, h, w) that an earlier attempt finished, on every rank; None where it did not."""
    latents = work.saved.latents(call) if work.ranks.leads else None
    if not work.ranks.agree(int(latents is not None)):
        return None
    work.progress.evaluations.skip(work.num_evaluations)
    return work.ranks.share_tensors(lambda: {"latents": latents} if latents is not None else {})["latents"]
