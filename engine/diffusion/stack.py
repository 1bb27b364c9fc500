"""The denoiser stack of a sampler call: ``Observed(Guided(wrappers(network denoiser)))``.

Comes in: a card, a bare network, a job, and callables that observe each evaluation. Goes out: one denoiser
``(x, sigma, conditioning) -> x0``, and the state of its wrappers for a job that is resumed. Does not know samplers,
files, ranks or events.

A wrapper is a denoiser with an attribute ``inner``. One whose output depends on earlier evaluations (a step cache,
reused guidance) is ``Stateful``: without its state a resumed job would give other pixels under the same recipe.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.contract.cards import ModelCard
from engine.contract.errors import EngineError
from engine.contract.jobs import Job
from engine.diffusion.denoisers import (
    AugmentedFramesDenoiser,
    Conditioning,
    Denoiser,
    NetworkDenoiser,
    ZeroSnrDenoiser,
    edm,
    rectified_flow,
)
from engine.diffusion.guidance import Guided, guidance_weight
from engine.diffusion.noise import seeded_noise
from engine.diffusion.schedules import sigmas_for
from engine.layers.attention import TokenLayout
from engine.models.model import Network

Wrapper = Callable[[Denoiser], Denoiser]


@runtime_checkable
class Stateful(Protocol):
    """A denoiser whose output depends on earlier evaluations."""

    def state(self) -> dict[str, Tensor]:
        """Never empty after an evaluation. Later evaluations replace these tensors and do not write into them."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """What ``state`` returned, on the device of x."""
        ...


@dataclass(frozen=True, slots=True)
class Observer:
    """What watches the evaluations of a stack, on each rank.

    step_boundary: called before each evaluation; returns late (pause) or raises (cancel, leave). agree: one decision
    for all ranks. on_evaluated: x0 (B, C, T, h, w) and the seconds of each evaluation.
    """

    step_boundary: Callable[[], None]
    agree: Callable[[bool], bool]
    on_evaluated: Callable[[Tensor, float], None]


class Observed:
    """The outermost denoiser: step boundary, check for numbers, progress. Changes no value."""

    def __init__(self, inner: Denoiser, observer: Observer, model_name: str) -> None:
        self.inner, self.observer, self.model_name = inner, observer, model_name

    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        self.observer.step_boundary()
        began_s = time.monotonic()
        x0 = self.inner(x, sigma, conditioning)
        self._check_numbers(x0)
        self.observer.on_evaluated(x0, time.monotonic() - began_s)
        return x0

    def _check_numbers(self, x0: Tensor) -> None:
        """Raises EngineError where x0 has infinities or NaN: its film would be black, and kept as a take."""
        is_finite = bool(x0.isfinite().all())  # waits for the device, so that the seconds are those of the evaluation
        if not self.observer.agree(is_finite):
            what = "the network answered with infinities, or with what is no number"
            advice = "Choose precision float32 or a weaker LoRA, or get the model's files again."
            raise EngineError(f"{self.model_name}: {what}. {advice}")


def denoiser_stack(
    card: ModelCard,
    network: Network,
    job: Job,
    observer: Observer,
    dtype: torch.dtype = torch.float32,
    layout: TokenLayout | None = None,
    seed: int = 0,
    wrappers: Sequence[Wrapper] = (),
) -> Observed:
    """``seed``: of the sampler call. ``wrappers``: around the network's denoiser, the innermost first."""
    denoiser = denoiser_for(card, network, job.sampler.num_steps, dtype, layout, seed)
    for wrap in wrappers:
        denoiser = wrap(denoiser)
    weight = guidance_weight(job.guidance_schedule, job.guidance_scale, sigmas_for(job.sampler))
    guided = Guided(denoiser, weight, batched=job.speed.guidance == "batched")
    return Observed(guided, observer, card.name)


def denoiser_for(
    card: ModelCard, network: Network, num_steps: int, dtype: torch.dtype, layout: TokenLayout | None, seed: int
) -> Denoiser:
    """The network's own denoiser, without guidance. ``seed``: of the noise over Predict1's conditioning frames."""
    if card.parametrisation == "v_zero_snr":
        return ZeroSnrDenoiser(network, num_steps, dtype, layout)
    if card.traits.augments_conditioning:
        return AugmentedFramesDenoiser(network, partial(seeded_noise, seed=seed), dtype, layout, card.sigma_data)
    scaling = rectified_flow if card.parametrisation == "rectified_flow" else partial(edm, sigma_data=card.sigma_data)
    return NetworkDenoiser(network, scaling, dtype, layout, card.sigma_data)


def state_of(stack: Denoiser) -> dict[str, Tensor]:
    """The state of all wrappers, as ``NAME/KEY``."""
    wrappers = dict(_stateful(stack))
    return {f"{name}/{key}": tensor for name, wrapper in wrappers.items() for key, tensor in wrapper.state().items()}


def load_state_of(stack: Denoiser, state: dict[str, Tensor]) -> None:
    """Gives every wrapper its part of what ``state_of`` returned."""
    for name, wrapper in _stateful(stack):
        wrapper.load_state({key.partition("/")[2]: state[key] for key in state if key.partition("/")[0] == name})


def fits(stack: Denoiser, state: dict[str, Tensor]) -> bool:
    """Whether a saved state is of exactly the wrappers of this stack: another one cannot be resumed from it."""
    return {key.partition("/")[0] for key in state} == {name for name, _ in _stateful(stack)}


def _stateful(stack: Denoiser) -> Iterator[tuple[str, Stateful]]:
    """The stateful denoisers of a stack, the outermost first, named by class and by how many of it came before."""
    counts: Counter[str] = Counter()
    denoiser: Denoiser | None = stack
    while denoiser is not None:
        if isinstance(denoiser, Stateful):
            name = type(denoiser).__name__
            yield f"{name}.{counts[name]}", denoiser
            counts[name] += 1
        denoiser = getattr(denoiser, "inner", None)
