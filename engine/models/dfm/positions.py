"""The frozen position table of the DFM DiT: three-dimensional sines and cosines, and how far it reaches.

Comes in: a patch grid. Goes out: one row for every token, or a refusal that says which limit. Does not know latents,
checkpoints or ranks.

Source: NVIDIA-NeMo/DFM ``common/dit_embeddings.py`` (SinCosPosEmb3D) over diffusers' ``get_3d_sincos_pos_embed``: a
row is [temporal D/4 | width 3D/8 | height 3D/8], each [sin | cos] of position * 10000^(-2i/d), in float64.

Letters: T, h, w patch grid; S = h*w; D width.
"""

import torch
from torch import Tensor, nn

from engine.contract.errors import Rejected

Grid = tuple[int, int, int]


def axis_rows(num: int, width: int) -> Tensor:
    """(num, width) float64: sines, then cosines, of the positions 0..num-1."""
    half = width // 2
    omega = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device="cpu") / half)
    angles = torch.outer(torch.arange(num, dtype=torch.float64, device="cpu"), omega)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def sincos_table(largest: Grid, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The whole table (T*h*w, D), row t*h*w + y*w + x. ``width`` is a multiple of 16."""
    num_t, num_h, num_w = largest
    quarter, spatial = width // 4, 3 * width // 8
    table = torch.empty(num_t, num_h, num_w, width, dtype=dtype, device="cpu")
    table[..., :quarter] = axis_rows(num_t, quarter)[:, None, None]
    table[..., quarter : quarter + spatial] = axis_rows(num_w, spatial)[None, None]
    table[..., quarter + spatial :] = axis_rows(num_h, spatial)[None, :, None]
    return table.flatten(0, 2)


def check_reach(grid: Grid, largest: Grid) -> None:
    """Raises Rejected("size") where the grid leaves the table: the reference would read other tokens' rows there."""
    names = ("latent frames", "patches of height", "patches of width")
    over = [
        f"{size} {name}, at most {limit}"
        for size, limit, name in zip(grid, largest, names, strict=True)
        if size > limit
    ]
    if over:
        raise Rejected(
            "size", f"Beyond the model's position table: {'; '.join(over)}. Choose a smaller or shorter film."
        )


class Positions(nn.Module):
    """The table as the checkpoint holds it (or as computed where it holds none)."""

    def __init__(self, largest: Grid, width: int) -> None:
        super().__init__()
        self.largest = largest
        self.table = nn.Parameter(torch.empty(largest[0] * largest[1] * largest[2], width), requires_grad=False)

    def forward(self, grid: Grid) -> Tensor:
        """-> (1, T, S, D). Raises Rejected("size") beyond the table."""
        check_reach(grid, self.largest)
        num_t, num_h, num_w = grid
        return self.table.unflatten(0, self.largest)[:num_t, :num_h, :num_w].flatten(1, 2)[None]
