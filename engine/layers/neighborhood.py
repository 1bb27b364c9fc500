"""Neighborhood attention on a grid of tokens: every query sees a window around it (Generalized Neighborhood Attention).

Comes in: queries, keys, values of all tokens of a grid, and a pattern. Goes out: the attended values. Does not know
ranks, models or which layer uses which pattern.

The rule, for each axis on its own (Hassani et al. 2025, arXiv 2504.16922; the meaning of NATTEN's ``kernel_size``,
``stride`` and ``dilation`` without causal masks):

- dilation d: the axis falls apart into d groups of every d-th position, which do not see one another;
- stride s: inside a group, s neighbours share one window, that of their middle one (of two the right one; at the end
  of the axis the last there is);
- window w: w positions of the group, w // 2 of them before that middle one, moved inwards at the borders.

Letters: B batch, A heads, d head width, T h w the grid, N = T*h*w tokens in raster order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.contract.errors import Rejected
from engine.layers.attention import Attend, TokenLayout, attend, attend_frames

Triple = tuple[int, int, int]
FULL = -1


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """Window, stride and dilation of the axes (T, h, w). A window of -1 is the whole axis."""

    window: Triple
    stride: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)

    def fitted(self, grid: Triple, base: Triple) -> "Neighborhood":
        """The pattern for another grid than ``base``, the one it was chosen for (-1 in it: any length).

        Cosmos-Predict2's rule: everything grows with the side, a window has at least 2 positions, and what does not
        fit is cut. A picture (one frame) is attended whole.
        """
        if grid[0] == 1:
            return Neighborhood((FULL, FULL, FULL))
        axes = [
            _fitted_axis(size, size if full == FULL else full, *axis)
            for size, full, *axis in zip(grid, base, self.window, self.stride, self.dilation, strict=True)
        ]
        window, stride, dilation = zip(*axes, strict=True)
        return Neighborhood(window, stride, dilation)

    def attend_on(self, grid: Triple) -> Attend:
        """As the callable that layouts take. Raises Rejected("size") where the pattern does not fit the grid."""
        self.cells(grid)
        return partial(neighborhood_attend, grid=grid, pattern=self)

    def cells(self, grid: Triple) -> "tuple[list[Cell], list[Cell], list[Cell]]":
        """Of every axis, the queries that share a window, and the window."""
        axes = zip(grid, self.window, self.stride, self.dilation, strict=True)
        t, h, w = (axis_cells(*axis) for axis in axes)
        return t, h, w

    def kept_share(self, grid: Triple) -> float:
        """Of all pairs of a query and a key, the part that is looked at."""
        share = 1.0
        for size, window in zip(grid, self.window, strict=True):
            share *= 1.0 if window == FULL else window / size
        return share


def _fitted_axis(size: int, base: int, window: int, stride: int, dilation: int) -> Triple:
    if window == FULL:
        return FULL, 1, 1
    scale = size / base
    window = min(max(2, round(window * scale)), size)
    stride = min(max(1, round(stride * scale)), window)
    return window, stride, min(max(1, round(dilation * scale)), size // window)


Cell = tuple[slice, slice]
"""Queries and keys along one axis: two runs of every d-th position."""


def axis_cells(size: int, window: int, stride: int, dilation: int) -> list[Cell]:
    """All queries of an axis, those with one window together. Raises Rejected("size") where the window does not fit."""
    if window == FULL:
        return [(slice(0, size), slice(0, size))]
    if not (1 <= stride <= window and dilation >= 1 and window * dilation <= size):
        problem = f"window {window}, stride {stride} and dilation {dilation} do not fit {size} positions"
        raise Rejected(
            "size", f"Neighborhood attention: {problem}. Choose a larger size, or weights of dense attention."
        )
    return [cell for first in range(dilation) for cell in _group_cells(first, size, window, stride, dilation)]


def _group_cells(first: int, size: int, window: int, stride: int, dilation: int) -> list[Cell]:
    """Of one dilation group: the positions ``first``, ``first + dilation``, ..."""
    length = len(range(first, size, dilation))
    queries: dict[int, list[int]] = {}
    for query in range(length):
        queries.setdefault(window_start(query, length, window, stride), []).append(query)

    def run(start: int, stop: int) -> slice:
        return slice(first + start * dilation, first + (stop - 1) * dilation + 1, dilation)

    return [(run(those[0], those[-1] + 1), run(start, start + window)) for start, those in queries.items()]


def window_start(query: int, length: int, window: int, stride: int) -> int:
    """Where the window of a query begins, in positions of its group."""
    middle = min(query // stride * stride + stride // 2, length - 1)
    return min(max(middle - window // 2, 0), length - window)


def neighborhood_attend(q: Tensor, k: Tensor, v: Tensor, grid: Triple, pattern: Neighborhood) -> Tensor:
    """Each (B, A, N, d) -> (B, A, N, d): one dense attention for all queries that share a window."""
    q, k, v = (x.unflatten(2, grid) for x in (q, k, v))
    out = torch.empty_like(q)
    for cell in product(*pattern.cells(grid)):
        queries, keys = zip(*cell, strict=True)
        seen = (part(x, where) for x, where in ((q, queries), (k, keys), (v, keys)))
        at = (slice(None), slice(None), *queries)
        out[at] = attend(*seen).unflatten(2, out[at].shape[2:5])
    return out.flatten(2, 4)


def part(x: Tensor, where: tuple[slice, ...]) -> Tensor:
    """(B, A, T, h, w, d) -> (B, A, n, d), the tokens at ``where``."""
    return x[(slice(None), slice(None), *where)].flatten(2, 4)


class Attending:
    """A layout that spreads tokens as another one does, and attends in its own way: all tokens, this rank's heads."""

    def __init__(self, layout: TokenLayout, attend: Attend) -> None:
        self.layout, self.attend = layout, attend
        self.scatter, self.gather, self.heads = layout.scatter, layout.gather, layout.heads
        self.to_heads, self.to_tokens = layout.to_heads, layout.to_tokens

    def self_attend(self, q: Tensor, k: Tensor, v: Tensor, tokens_per_frame: int) -> Tensor:
        """Each (B, T, S_local, A, d) -> the same shape; q, k and v travel between ranks together."""
        q, k, v = self.to_heads(torch.cat([q, k, v]), tokens_per_frame).chunk(3)
        return self.to_tokens(attend_frames(self.attend, q, k, v))


def neighborhood_attend_plain(q: Tensor, k: Tensor, v: Tensor, grid: Triple, pattern: Neighborhood) -> Tensor:
    """The plain twin of ``neighborhood_attend``: all pairs, and a mask."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=neighborhood_mask(grid, pattern).to(q.device))


def neighborhood_mask(grid: Triple, pattern: Neighborhood) -> Tensor:
    """(N, N) bool: whether the query of the row sees the key of the column."""
    axes = zip(grid, pattern.window, pattern.stride, pattern.dilation, strict=True)
    t, h, w = (_axis_mask(*axis) for axis in axes)
    mask = t[:, None, None, :, None, None] & h[None, :, None, None, :, None] & w[None, None, :, None, None, :]
    return mask.flatten(3, 5).flatten(0, 2)


def _axis_mask(size: int, window: int, stride: int, dilation: int) -> Tensor:
    """(size, size) bool, position by position."""
    if window == FULL:
        return torch.ones(size, size, dtype=torch.bool)
    sees: Callable[[int, int], bool] = partial(_sees, size=size, window=window, stride=stride, dilation=dilation)
    return torch.tensor([[sees(query, key) for key in range(size)] for query in range(size)])


def _sees(query: int, key: int, *, size: int, window: int, stride: int, dilation: int) -> bool:
    if query % dilation != key % dilation:
        return False
    length = -(-(size - query % dilation) // dilation)
    start = window_start(query // dilation, length, window, stride)
    return start <= key // dilation < start + window
