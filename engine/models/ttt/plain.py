"""The scan of a test-time-training layer in its plainest form: token by token, every formula spelled out.

Comes in and goes out: as ``engine.models.ttt.scan.scan``; it is that function's plain twin. Only the heads of one token
are taken together. Slow; for tests and benchmarks. Does not know projections, gates or ranks.

Source: arXiv 2504.05298, section 3; the derivative of the tanh GELU and of the layer norm as its kernels write them.

Letters: N all tokens, A heads, d head width, H inner hidden width, C tokens of a mini-batch.
"""

import torch
from torch import Tensor

from engine.models.ttt.config import INNER_EPS
from engine.models.ttt.scan import InnerNorm, Streams, Weights
from engine.models.ttt.scan_order import ScanOrder

GELU_A, GELU_B = 0.79788456, 0.044715


def scan_plain(
    weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, mini_batch_size: int
) -> tuple[Tensor, Weights]:
    """As ``scan``."""
    done = [scan_one(weights, norm, streams, order, mini_batch_size, b) for b in range(len(streams.q))]
    last = tuple(torch.cat(parts) for parts in zip(*(state for _, state in done), strict=True))
    return torch.stack([out for out, _ in done]).to(streams.q.dtype), last


def scan_one(
    weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, mini_batch_size: int, b: int
) -> tuple[Tensor, Weights]:
    """One film of the batch: -> (N, A, d), last weights."""
    state = [weight.float().clone() for weight in weights]
    gamma, beta = norm.gamma.float(), norm.beta.float()
    out = torch.zeros(streams.q.shape[1:])
    places = range(len(order.tokens))
    for first in range(0, len(places), mini_batch_size):
        batch = places[first : first + mini_batch_size]
        changes = [torch.zeros_like(weight) for weight in state]
        for place in batch:
            token, step_token = int(order.tokens[place]), int(order.steps[place])
            k = rotated(unit(streams.k[b, token].float()), order.rotations[place])
            goal = target(k, streams.v[b, token].float(), gamma, beta)
            step = streams.steps[b, step_token][:, None, None]  # (A, 1, 1)
            for change, slope in zip(changes, slopes(state, gamma, beta, k, goal), strict=True):
                change += step * slope
        state = [weight - change for weight, change in zip(state, changes, strict=True)]
        for place in batch:
            token = int(order.tokens[place])
            q = rotated(unit(streams.q[b, token].float()), order.rotations[place])
            out[token] = q + gamma * normed(inner(state, q)[-1])[0] + beta
    return out, tuple(state)


def slopes(state: list[Tensor], gamma: Tensor, beta: Tensor, k: Tensor, goal: Tensor) -> list[Tensor]:
    """Gradient of 1/2 |LN(f(k)) - (goal - k)|^2 with respect to each weight. k, goal: (A, d)."""
    hidden, z = inner(state, k)
    width = z.shape[-1]
    xhat, std = normed(z)
    at_norm = (gamma * xhat + beta - (goal - k)) * gamma
    at_z = width * at_norm - at_norm.sum(-1, keepdim=True) - xhat * (at_norm * xhat).sum(-1, keepdim=True)
    at_z = at_z / (width * std)
    if len(state) == 2:
        return [outer(k, at_z), at_z[:, None]]
    at_hidden = (state[2] @ at_z[..., None])[..., 0] * gelu_slope(hidden)
    return [outer(k, at_hidden), at_hidden[:, None], outer(gelu(hidden), at_z), at_z[:, None]]


def inner(state: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """x (A, d) -> the hidden layer before its GELU (A, H) (TTT-Linear: the output), the output (A, d)."""
    hidden = (x[:, None] @ state[0] + state[1])[:, 0]
    if len(state) == 2:
        return hidden, hidden
    return hidden, (gelu(hidden)[:, None] @ state[2] + state[3])[:, 0]


def normed(z: Tensor) -> tuple[Tensor, Tensor]:
    """-> normalised over d, the deviation it was divided by."""
    centred = z - z.mean(-1, keepdim=True)
    std = (centred.square().mean(-1, keepdim=True) + INNER_EPS).sqrt()
    return centred / std, std


def target(k: Tensor, v: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """v' = gamma * normalised(v - k) + beta + k, with the unbiased deviation."""
    u = v - k
    return gamma * (u - u.mean(-1, keepdim=True)) / (u.std(-1, keepdim=True) + 1e-8) + beta + k


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def rotated(x: Tensor, rotations: Tensor) -> Tensor:
    """x (A, d), rotations (d/2,) complex: pairs of neighbours."""
    first, second = x[..., 0::2], x[..., 1::2]
    pair = [first * rotations.real - second * rotations.imag, first * rotations.imag + second * rotations.real]
    return torch.stack(pair, dim=-1).flatten(-2)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(GELU_A * x * (1 + GELU_B * x * x)))


def gelu_slope(x: Tensor) -> Tensor:
    t = torch.tanh(GELU_A * x * (1 + GELU_B * x * x))
    return 0.5 * x * ((1 - t * t) * (GELU_A + 3 * GELU_A * GELU_B * x * x)) + 0.5 * (1 + t)


def outer(x: Tensor, y: Tensor) -> Tensor:
    """(A, m), (A, n) -> (A, m, n)."""
    return x[..., None] * y[:, None]
