"""The denoiser stack: its order, what it observes, and the state of its wrappers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.contract.errors import Cancelled, EngineError
from engine.contract.jobs import Job, Speed
from engine.diffusion.denoisers import Conditioning, Denoiser, NetworkDenoiser
from engine.diffusion.guidance import Guided
from engine.diffusion.stack import Observed, Observer, denoiser_stack, fits, load_state_of, state_of
from tests.engine.factories import a_job
from tests.engine.runtime.tiny import tiny_card

SHAPE = (1, 6, 3, 4, 6)


class Network(torch.nn.Module):
    """Answers with a constant; remembers the batch of each evaluation."""

    def __init__(self, value: float = 0.5) -> None:
        super().__init__()
        self.value, self.batches = value, list[int]()

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
        self.batches.append(x.shape[0])
        return torch.full_like(x, self.value)


class Counter:
    """A stateful wrapper that changes nothing."""

    def __init__(self, inner: Denoiser) -> None:
        self.inner, self.count = inner, torch.tensor([0])

    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        self.count = self.count + 1
        return self.inner(x, sigma, conditioning)

    def state(self) -> dict[str, Tensor]:
        return {"count": self.count}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.count = state["count"]


def go() -> None: ...


def stack_of(
    network: Network,
    job: Job | None = None,
    step_boundary: Callable[[], None] = go,
    seen: list[Tensor] | None = None,
    wrappers: tuple[Callable[[Denoiser], Denoiser], ...] = (),
) -> Observed:
    observed = seen if seen is not None else []
    observer = Observer(step_boundary, lambda flag: flag, lambda x0, step_s: observed.append(x0))
    return denoiser_stack(tiny_card("tiny", 1), network, job or a_job(), observer, wrappers=wrappers)


def evaluate(stack: Observed) -> Tensor:
    text = torch.zeros(1, 2, 3)
    return stack(torch.ones(SHAPE), 2.0, Conditioning(text, text))


@pytest.mark.parametrize(("guidance", "batches"), [("batched", [2]), ("sequential", [1, 1])])
def test_the_order_is_observed_guided_wrappers_network(guidance: str, batches: list[int]) -> None:
    network, seen = Network(), list[Tensor]()
    job = a_job().model_copy(update={"speed": Speed.model_validate({"precision": "float32", "guidance": guidance})})
    stack = stack_of(network, job, seen=seen, wrappers=(Counter,))
    x0 = evaluate(stack)
    guided = stack.inner
    assert isinstance(guided, Guided) and isinstance(guided.inner, Counter)
    assert isinstance(guided.inner.inner, NetworkDenoiser)
    assert network.batches == batches and len(seen) == 1 and seen[0] is x0


def test_a_cancelled_job_evaluates_nothing() -> None:
    def cancel() -> None:
        raise Cancelled("stopped")

    network = Network()
    with pytest.raises(Cancelled):
        evaluate(stack_of(network, step_boundary=cancel))
    assert network.batches == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_numbers_end_the_job_before_they_are_reported(value: float) -> None:
    seen: list[Tensor] = []
    with pytest.raises(EngineError, match="tiny: the network answered with infinities"):
        evaluate(stack_of(Network(value), seen=seen))
    assert seen == []


def test_each_wrapper_gets_its_own_state_back() -> None:
    stack = stack_of(Network(), wrappers=(Counter, Counter))
    evaluate(stack)
    state = state_of(stack)
    assert set(state) == {"Counter.0/count", "Counter.1/count"}
    state["Counter.1/count"] = torch.tensor([7])
    load_state_of(stack, state)
    assert state_of(stack)["Counter.0/count"].item() == 1 and state_of(stack)["Counter.1/count"].item() == 7


def test_a_state_fits_the_stack_that_it_was_saved_with() -> None:
    plain, counted = stack_of(Network()), stack_of(Network(), wrappers=(Counter,))
    assert fits(plain, state_of(plain)) and fits(counted, state_of(counted))
    assert not fits(plain, state_of(counted)) and not fits(counted, state_of(plain))
