"""CogVideoX's three-dimensional rotary position embedding: pairs of neighbours, a quarter of a head for time.

Comes in: a patch grid. Goes out: rotations (unit complex numbers), and rotated queries and keys. Does not know what the
tokens are.

Letters: T h w grid of patches; S = h*w; d head width; A heads.
"""

import torch
from torch import Tensor

from engine.models.ttt.config import ROPE_THETA


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """How a head's width is shared between (t, h, w): 16, 24, 24 of 64."""
    return head_dim // 4, head_dim // 8 * 3, head_dim // 8 * 3


def rotations(head_dim: int, grid: tuple[int, int, int], device: torch.device | str = "cpu") -> Tensor:
    """-> (T, h*w, d/2) complex64: frequencies theta**(-2j/dim) per axis, the axes in the order t, h, w."""
    parts: list[Tensor] = []
    for axis, (length, dim) in enumerate(zip(grid, axis_dims(head_dim), strict=True)):
        exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=device)[: dim // 2] / dim
        angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), 1.0 / ROPE_THETA**exponents)
        shape = [length if i == axis else 1 for i in range(3)]
        parts.append(angles.view(*shape, -1).expand(*grid, -1))
    angles = torch.cat(parts, dim=-1).flatten(1, 2)
    return torch.polar(torch.ones_like(angles), angles)


def rotate_pairs(x: Tensor, by: Tensor) -> Tensor:
    """Rotates neighbouring pairs, in float32. x (..., d), by (..., d/2) complex, broadcast -> x's shape and dtype."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * by).flatten(-2).to(x.dtype)
