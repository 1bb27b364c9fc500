"""The original's pure-torch form of the scan, which no trained weights have met: for its recorded outputs alone.

Comes in and goes out: as ``engine.models.ttt.scan.scan``, and the film's ``Extent``. It differs in two things: each
token of a mini-batch recalls with the step sizes of the block that it itself came from (the kernels: of the block that
the last token came from), and the inner norm's eps is 1e-8. Whole mini-batches only.

Letters: N all tokens, A heads, d head width, C tokens of a mini-batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.ttt.plain import gelu, gelu_slope
from engine.models.ttt.rotary import rotate_pairs
from engine.models.ttt.scan import InnerNorm, Scan, Streams, Weights, standardised
from engine.models.ttt.scan_order import Extent, ScanOrder, interleaved

EPS = 1e-8


def dual_scan(extent: Extent) -> Scan:
    """The scan, for films of this extent."""
    places = interleaved(extent)

    def scan(
        weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, size: int
    ) -> tuple[Tensor, Weights]:
        done = [scan_one_dual(places, weights, norm, streams, order, size, b) for b in range(len(streams.q))]
        return torch.stack([out for out, _ in done]), tuple(map(torch.cat, zip(*(s for _, s in done), strict=True)))

    return scan


def scan_one_dual(
    places: Tensor, weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, size: int, b: int
) -> tuple[Tensor, Weights]:
    """One film of the batch: -> (N, A, d), last weights."""
    back = torch.empty_like(order.tokens)
    back[places] = order.tokens  # place in this scan's film before interleaving -> token
    gamma, beta = norm.gamma[:, None], norm.beta[:, None]
    q, k, v = (x[b][order.tokens].transpose(0, 1) for x in (streams.q, streams.k, streams.v))  # (A, N, d)
    q, k = (rotate_pairs(F.normalize(x, dim=-1), order.rotations) for x in (q, k))
    pull = gamma.square() * standardised(v - k)
    state, parts = weights, []
    for start in range(0, len(places), size):
        at = slice(start, start + size)
        blocks = places[at] // size
        rows = streams.steps[b][back[blocks[:, None] * size + torch.arange(size)]].permute(2, 0, 1)  # (A, C, C)
        z, state = mini_batch(state, gamma, q[:, at], k[:, at], pull[:, at], rows)
        parts.append(q[:, at] + gamma * normed(z)[0] + beta)
    out = torch.empty_like(streams.q[b])
    out[order.tokens] = torch.cat(parts, dim=1).transpose(0, 1)
    return out, state


def mini_batch(
    state: Weights, gamma: Tensor, q: Tensor, k: Tensor, pull: Tensor, rows: Tensor
) -> tuple[Tensor, Weights]:
    """Outputs without new weights ever being formed: Z = q W - (rows * q k^T) G + b - rows G."""
    last = rows[:, -1:].mT  # (A, C, 1)
    layers = [(state[i], state[i + 1]) for i in range(0, len(state), 2)]
    inputs, hidden = [k], k
    for i, (w, b) in enumerate(layers):
        hidden = inputs[-1] @ w + b
        if i + 1 < len(layers):
            inputs.append(gelu(hidden))
            before = hidden
    slope = norm_slope(hidden, gamma, pull)
    slopes = [slope] if len(layers) == 1 else [(slope @ layers[1][0].mT) * gelu_slope(before), slope]
    z, new = q, []
    for i, ((w, b), given, slope) in enumerate(zip(layers, inputs, slopes, strict=True)):
        z = gelu(z) if i else z
        z = z @ w - (rows * (z @ given.mT)) @ slope + b - rows @ slope
        new += [w - (last * given).mT @ slope, b - (last * slope).sum(1, keepdim=True)]
    return z, tuple(new)


def norm_slope(z: Tensor, gamma: Tensor, pull: Tensor) -> Tensor:
    xhat, std = normed(z)
    at = gamma.square() * xhat - pull
    return (at - at.mean(-1, keepdim=True) - xhat * (at * xhat).mean(-1, keepdim=True)) / std


def normed(z: Tensor) -> tuple[Tensor, Tensor]:
    centred = z - z.mean(-1, keepdim=True)
    std = (centred.square().mean(-1, keepdim=True) + EPS).sqrt()
    return centred / std, std
