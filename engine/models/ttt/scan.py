"""The scan of a test-time-training layer: a small model per head, trained on the sequence while it is read.

Comes in: queries, keys, values and step sizes of all tokens, the inner model's first weights, a ``ScanOrder``. Goes
out: what the inner model recalls for every token, and the weights it ended with. For every mini-batch: one step of
gradient descent on 1/2 |LN(f(k)) - (v' - k)|^2, then q + LN(f(q)) with the new weights. State and arithmetic are
float32; beside the sequence itself nothing grows with its length. Plain twin: ``engine.models.ttt.plain``. Does not
know projections, gates or ranks.

Source: "One-Minute Video Generation with Test-Time Training", arXiv 2504.05298, section 3, in its primal form.

Letters: B batch, N all tokens, A heads, d head width, H inner hidden width, g mini-batches of a group, C tokens of a
mini-batch, Z = B*A.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.ttt.config import INNER_EPS
from engine.models.ttt.rotary import rotate_pairs
from engine.models.ttt.scan_order import ScanOrder

GROUP_TOKENS = 1024
"""Tokens brought into the scan's form at once: enough to make that cheap, few enough to be small beside the film."""
STD_EPS = 1e-8
"""Of the targets' normalisation, outside the square root."""

Weights = tuple[Tensor, ...]
"""(W1, b1) of TTT-Linear, (W1, b1, W2, b2) of TTT-MLP: (A, d, H), (A, 1, H), (A, H, d), (A, 1, d); rows times W."""


@dataclass(frozen=True, slots=True)
class InnerNorm:
    """gamma and beta, each (A, d): of the inner model's layer norm, and of the targets."""

    gamma: Tensor
    beta: Tensor


@dataclass(frozen=True, slots=True)
class Streams:
    """q, k, v (B, N, A, d) in the order of the tokens' numbers; steps (B, N, A) float32, over d and C already."""

    q: Tensor
    k: Tensor
    v: Tensor
    steps: Tensor


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive mini-batches in scan order: q, k, pull (g, Z, C, d), steps (g, Z, C, 1), all float32."""

    q: Tensor
    k: Tensor
    pull: Tensor
    """gamma * (target - beta), so that the loss's gradient at the norm's output is gamma^2 * LN(f(k)) - pull."""
    steps: Tensor


Scan = Callable[[Weights, InnerNorm, Streams, ScanOrder, int], tuple[Tensor, Weights]]
Step = Callable[[Weights, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(weights, changed in place; gamma^2; q, k, pull, steps of one mini-batch) -> f(q) with the new weights (Z, C, d)."""


def scan(
    weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, mini_batch_size: int
) -> tuple[Tensor, Weights]:
    """-> (B, N, A, d) in the dtype of q, by the tokens' numbers; and the last weights, float32 with Z for A."""
    return scan_in_order(eager_step(weights), weights, norm, streams, order, mini_batch_size)


def scan_compiled(
    weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, mini_batch_size: int
) -> tuple[Tensor, Weights]:
    """``scan`` with the step of one mini-batch through ``torch.compile``."""
    return scan_in_order(compiled_step(eager_step(weights)), weights, norm, streams, order, mini_batch_size)


def eager_step(weights: Weights) -> Step:
    return mlp_step if len(weights) == 4 else linear_step


@cache
def compiled_step(step: Step) -> Step:
    return torch.compile(step, dynamic=False)


def scan_in_order(
    step: Step, weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, mini_batch_size: int
) -> tuple[Tensor, Weights]:
    batch, num_tokens = streams.q.shape[:2]
    state = tuple(weight.float().repeat(batch, 1, 1) for weight in weights)
    gamma, beta = (x.float().repeat(batch, 1)[:, None] for x in (norm.gamma, norm.beta))  # (Z, 1, d)
    out = torch.empty_like(streams.q)
    for places in group_places(num_tokens, mini_batch_size):
        group = prepared(streams, norm, order, places, mini_batch_size)
        recalled = recall_group(step, state, gamma, group)
        finished = torch.addcmul(group.q + beta, inner_norm(recalled), gamma)
        out.index_copy_(1, order.tokens[places], unfolded(finished, batch).to(out.dtype))
    return out, state


def group_places(num_tokens: int, mini_batch_size: int) -> list[slice]:
    """Whole mini-batches in groups, then what is left as one shorter mini-batch."""
    whole = num_tokens // mini_batch_size * mini_batch_size
    size = max(1, GROUP_TOKENS // mini_batch_size) * mini_batch_size
    groups = [slice(start, min(start + size, whole)) for start in range(0, whole, size)]
    return groups + ([slice(whole, num_tokens)] if whole < num_tokens else [])


def prepared(streams: Streams, norm: InnerNorm, order: ScanOrder, places: slice, mini_batch_size: int) -> Group:
    """Unit queries and keys, rotated; targets; step sizes: of these places of the scan."""
    tokens, rotations = order.tokens[places], order.rotations[places][:, None]
    q, k, v = (x.index_select(1, tokens).float() for x in (streams.q, streams.k, streams.v))
    q, k = (rotate_pairs(F.normalize(x, dim=-1), rotations) for x in (q, k))
    gamma = norm.gamma.float()
    pull = gamma.square() * standardised(v - k)
    steps = streams.steps.index_select(1, order.steps[places])[..., None]
    return Group(*(folded(x, mini_batch_size) for x in (q, k, pull, steps)))


def standardised(x: Tensor) -> Tensor:
    """Zero mean and unit deviation over d, with the unbiased deviation: v' = gamma * this(v - k) + beta + k."""
    centred = x - x.mean(-1, keepdim=True)
    std = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / (x.shape[-1] - 1) ** 0.5
    return centred / (std + STD_EPS)


def folded(x: Tensor, mini_batch_size: int) -> Tensor:
    """(B, g*C, A, ...) -> (g, Z, C, ...); fewer tokens than C are one short mini-batch."""
    size = min(mini_batch_size, x.shape[1])
    return x.unflatten(1, (-1, size)).permute(1, 0, 3, 2, 4).flatten(1, 2).contiguous()


def unfolded(x: Tensor, batch: int) -> Tensor:
    """(g, Z, C, d) -> (B, g*C, A, d)."""
    return x.unflatten(1, (batch, -1)).permute(1, 0, 3, 2, 4).flatten(1, 2)


def recall_group(step: Step, state: Weights, gamma: Tensor, group: Group) -> Tensor:
    """One mini-batch after the other. -> f(q), (g, Z, C, d); ``state`` holds what was learned."""
    gamma_squared = gamma.square()
    recalled = torch.empty_like(group.q)
    for i in range(len(recalled)):
        recalled[i] = step(state, gamma_squared, group.q[i], group.k[i], group.pull[i], group.steps[i])
    return recalled


def mlp_step(weights: Weights, gamma_squared: Tensor, q: Tensor, k: Tensor, pull: Tensor, steps: Tensor) -> Tensor:
    """f(x) = gelu(x W1 + b1) W2 + b2. The hidden layer's gradient goes through W2 as it was before the step."""
    w1, b1, w2, b2 = weights
    z1 = torch.baddbmm(b1, k, w1)
    x2 = F.gelu(z1, approximate="tanh")
    g2 = gradient(torch.baddbmm(b2, x2, w2), gamma_squared, pull) * steps
    g1 = torch.ops.aten.gelu_backward(torch.bmm(g2, w2.mT), z1, approximate="tanh")
    descend(w2, b2, x2, g2)
    descend(w1, b1, k, g1)
    return torch.baddbmm(b2, F.gelu(torch.baddbmm(b1, q, w1), approximate="tanh"), w2)


def linear_step(weights: Weights, gamma_squared: Tensor, q: Tensor, k: Tensor, pull: Tensor, steps: Tensor) -> Tensor:
    """f(x) = x W1 + b1."""
    w1, b1 = weights
    descend(w1, b1, k, gradient(torch.baddbmm(b1, k, w1), gamma_squared, pull) * steps)
    return torch.baddbmm(b1, q, w1)


def descend(weight: Tensor, bias: Tensor, inputs: Tensor, gradient: Tensor) -> None:
    """W -= inputs^T gradient; b -= its sum over the mini-batch. The step sizes are in ``gradient``."""
    weight.baddbmm_(inputs.mT, gradient, alpha=-1)
    bias.sub_(gradient.sum(1, keepdim=True))


def gradient(z: Tensor, gamma_squared: Tensor, pull: Tensor) -> Tensor:
    """Of the loss 1/2 |gamma * LN(z) + beta - target|^2 with respect to z, token by token. All (Z, C, d)."""
    shape = [z.shape[-1]]
    normed, mean, scale = torch.native_layer_norm(z, shape, None, None, INNER_EPS)
    at_norm = gamma_squared * normed - pull
    output_mask = [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(at_norm, z, shape, mean, scale, None, None, output_mask)[0]


def inner_norm(z: Tensor) -> Tensor:
    """LN over d, without gamma and beta."""
    return F.layer_norm(z, z.shape[-1:], eps=INNER_EPS)
