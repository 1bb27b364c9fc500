"""The scan of a TTT layer: against its plain form, against the definition by autograd, and its order of tokens."""

import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from engine.models.ttt import plain
from engine.models.ttt.scan import InnerNorm, Scan, gradient, linear_step, mlp_step, scan, scan_compiled
from engine.models.ttt.scan_order import Extent, interleaved, reversed_tokens, step_places
from tests.engine.models.ttt.factories import make_scan
from tests.engine.models.ttt.torch_form import dual_scan

KINDS = ("ttt_mlp", "ttt_linear")
SHAPES = {
    "one segment": (Extent(1, 6, 4, 6, 3), 6),
    "aligned": (Extent(3, 6, 7, 6, 2), 3),
    "misaligned": (Extent(2, 5, 5, 6, 2), 4),
    "mini-batch longer than a text": (Extent(3, 5, 10, 6, 3), 15),
    "a shorter last mini-batch": (Extent(3, 5, 7, 6, 2), 4),
    "shorter than a mini-batch": (Extent(1, 2, 2, 6, 1), 64),
}


def compared(ours: Tensor, golden: Tensor, what: str, atol: float) -> None:
    difference = (ours - golden).abs()
    print(f"{what}: max {difference.max():.2e}, mean {difference.mean():.2e}")
    assert difference.max() <= atol, what


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [0, 1])
def test_equals_the_plain_form(kind: str, shape: str, way: int) -> None:
    extent, size = SHAPES[shape]
    weights, norm, streams, both = make_scan(kind, extent, size, batch=2)
    ours, learned = scan(weights, norm, streams, both[way], size)
    golden, learned_plainly = plain.scan_plain(weights, norm, streams, both[way], size)
    compared(ours, golden, "recalled", 2e-5)
    for mine, theirs in zip(learned, learned_plainly, strict=True):
        compared(mine, theirs, "learned", 1e-5)
    assert (learned[0] - weights[0].repeat(2, 1, 1)).abs().max() > 0.01, "it must learn for this to mean anything"


@pytest.mark.parametrize("kind", KINDS)
def test_the_dual_form_agrees_only_where_step_sizes_are_aligned(kind: str) -> None:
    """Unequal step sizes inside a mini-batch are what separates what was trained from the original's torch code."""
    far: dict[str, float] = {}
    for shape in ("aligned", "misaligned"):
        extent, size = SHAPES[shape]
        weights, norm, streams, (there, _) = make_scan(kind, extent, size)
        differences = (
            scan(weights, norm, streams, there, size)[0] - dual_scan(extent)(weights, norm, streams, there, size)[0]
        ).abs()
        far[shape] = differences.max().item()
    print(far)
    assert far["aligned"] < 1e-3 and far["misaligned"] > 1e-2  # eps 1e-6 against 1e-8 remains


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_is_gradient_descent_on_the_stated_loss(kind: str) -> None:
    """The definition, by autograd: sum over the mini-batch of eta_j * 1/2 |LN(f(k_j)) - (v'_j - k_j)|^2."""
    extent, size = SHAPES["one segment"]
    weights, norm, streams, (order, _) = make_scan(kind, extent, size)
    _, learned = scan(weights, norm, streams, order, extent.num_tokens)  # all tokens are one mini-batch
    leaves = [weight.clone().requires_grad_() for weight in weights]
    loss = torch.zeros(())
    for place in range(extent.num_tokens):
        k = plain.rotated(plain.unit(streams.k[0, place]), order.rotations[place])
        goal = plain.target(k, streams.v[0, place], norm.gamma, norm.beta) - k
        out = norm.gamma * plain.normed(plain.inner(leaves, k)[-1])[0] + norm.beta
        loss = loss + 0.5 * (streams.steps[0, place] * (out - goal).square().sum(-1)).sum()
    loss.backward()
    for leaf, mine in zip(leaves, learned, strict=True):
        assert leaf.grad is not None
        compared(mine, leaf.detach() - leaf.grad, "learned", 1e-5)


def test_gradient_stays_finite_where_the_inner_output_is_flat() -> None:
    """A head whose inner model says the same for every channel: the norm's eps holds it."""
    flat = torch.full((1, 2, 16), 3.0)
    assert gradient(flat, torch.ones(1, 1, 16), torch.randn(1, 2, 16)).isfinite().all()


def test_values_equal_to_keys_leave_the_target_finite() -> None:
    extent, size = SHAPES["misaligned"]
    weights, norm, streams, (order, _) = make_scan("ttt_mlp", extent, size)
    k = torch.nn.functional.normalize(streams.k, dim=-1)
    still = torch.ones_like(order.rotations)
    given = type(streams)(streams.q, k, k.clone(), streams.steps)
    assert scan(weights, norm, given, type(order)(order.tokens, order.steps, still), size)[0].isfinite().all()


@pytest.mark.parametrize("way", [scan, plain.scan_plain])
def test_bfloat16_streams_keep_a_float32_state(way: Scan) -> None:
    extent, size = SHAPES["misaligned"]
    weights, norm, streams, (order, _) = make_scan("ttt_mlp", extent, size)
    rough = type(streams)(streams.q.bfloat16(), streams.k.bfloat16(), streams.v.bfloat16(), streams.steps)
    out, learned = way(tuple(w.bfloat16() for w in weights), InnerNorm(norm.gamma, norm.beta), rough, order, size)
    exact, _ = scan(weights, norm, streams, order, size)
    print(f"bfloat16 streams: max {(out.float() - exact).abs().max():.2e}")
    assert out.dtype == torch.bfloat16 and learned[0].dtype == torch.float32
    assert (out.float() - exact).abs().mean() < 0.05


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_compiled_scan_equals_the_eager_one() -> None:
    extent, size = SHAPES["misaligned"]
    weights, norm, streams, (order, _) = make_scan("ttt_linear", extent, size)
    ours, learned = scan_compiled(weights, norm, streams, order, size)
    golden, expected = scan(weights, norm, streams, order, size)
    compared(ours, golden, "compiled", 1e-5)
    compared(learned[0], expected[0], "compiled, learned", 1e-5)


@pytest.mark.parametrize("step", [mlp_step, linear_step])
def test_the_first_weights_are_never_changed(step: object) -> None:
    extent, size = SHAPES["misaligned"]
    weights, norm, streams, (order, _) = make_scan("ttt_mlp" if step is mlp_step else "ttt_linear", extent, size)
    before = [weight.clone() for weight in weights]
    scan(weights, norm, streams, order, size)
    assert all(torch.equal(a, b) for a, b in zip(before, weights, strict=True))


EXTENTS = st.builds(
    lambda n, text, per_frame, m: Extent(n, text, n * m + 1, per_frame, m),
    n=st.integers(1, 5),
    text=st.integers(1, 7),
    per_frame=st.integers(1, 6),
    m=st.integers(1, 4),
)


@given(EXTENTS)
def test_every_token_is_scanned_once_each_way(extent: Extent) -> None:
    for order in (interleaved(extent), reversed_tokens(extent)):
        assert order.sort().values.tolist() == list(range(extent.num_tokens))


@given(EXTENTS, st.integers(1, 20))
def test_step_sizes_come_from_tokens_that_are_there(extent: Extent, size: int) -> None:
    steps = step_places(interleaved(extent), size)
    assert len(steps) == extent.num_tokens and 0 <= steps.min() and steps.max() < extent.num_tokens


@given(EXTENTS, st.integers(1, 6))
def test_aligned_films_learn_each_token_with_its_own_step_size(extent: Extent, size: int) -> None:
    text, frame = extent.text_tokens * size, extent.tokens_per_frame * size
    aligned = Extent(extent.num_segments, text, extent.latent_frames, frame, extent.segment_latent_frames)
    places = interleaved(aligned)
    assert torch.equal(step_places(places, size), places)


def test_order_of_a_small_film() -> None:
    """Two segments of two words, two latent frames of one token each and the shared one."""
    extent = Extent(2, 2, 5, 1, 2)
    assert interleaved(extent).tolist() == [0, 1, 4, 5, 6, 2, 3, 7, 8]
    assert reversed_tokens(extent).tolist() == [2, 3, 0, 1, 8, 7, 6, 5, 4]  # words are read forwards, frames backwards
    assert step_places(interleaved(extent), 3).tolist() == [3, 4, 5, 0, 1, 2, 6, 7, 8]
