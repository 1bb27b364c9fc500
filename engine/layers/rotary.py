"""Three-dimensional rotary position embedding (RoPE) with NTK extrapolation.

Comes in: a latent grid and the model's ratios. Goes out: cosines and sines, and rotated queries and keys.
Does not know tokens' contents, ranks or models.

Letters: T, h, w grid of patches; S = h*w; d head width; A heads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RotaryConfig:
    """``theta`` and the NTK extrapolation ratios per axis; ``base_fps`` set means positions follow real time.

    ``reference_bf16`` evaluates the whole table in bfloat16, as Cosmos' released scripts do by casting the module with
    its buffers: angles are then wrong by up to 0.28 rad. For parity with those scripts, bit by bit; not for quality.
    """

    head_dim: int
    theta: float = 10000.0
    ratio_t: float = 1.0
    ratio_h: float = 1.0
    ratio_w: float = 1.0
    base_fps: float | None = None
    reference_bf16: bool = False


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """How a head's width is shared between (t, h, w): h and w take floor(d/6)*2 each, t the rest."""
    spatial = head_dim // 6 * 2
    return head_dim - 2 * spatial, spatial, spatial


def _axis(config: RotaryConfig, dim: int, ratio: float, positions: Tensor) -> Tensor:
    """Angles of one axis, (n, dim / 2), in the dtype of its positions."""
    theta = config.theta * ratio ** (dim / (dim - 2))
    exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=positions.device) / dim
    return torch.outer(positions, 1.0 / theta ** exponents.to(positions.dtype))


def rope_angles(
    config: RotaryConfig, grid: tuple[int, int, int], fps: float | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Angles in radians, (T, h*w, d) float32: [t, h, w] frequencies, repeated twice (rotate-half convention).

    Cosmos ``VideoRopePosition3DEmb``. With ``config.base_fps`` and ``fps`` the frame position is index/fps*base_fps.
    Computed in float32 whatever the network's dtype, unless ``config.reference_bf16``.
    """
    frames, height, width = grid
    dtype = torch.bfloat16 if config.reference_bf16 else torch.float32
    positions = [torch.arange(n, device=device).to(dtype) for n in grid]
    if config.base_fps is not None and fps is not None:
        positions[0] = positions[0] / torch.tensor(fps, dtype=dtype, device=device) * config.base_fps
    ratios = (config.ratio_t, config.ratio_h, config.ratio_w)
    t, h, w = (
        _axis(config, dim, ratio, along).float()
        for dim, ratio, along in zip(axis_dims(config.head_dim), ratios, positions, strict=True)
    )
    half = torch.cat(
        [
            t[:, None, None].expand(frames, height, width, -1),
            h[None, :, None].expand(frames, height, width, -1),
            w[None, None, :].expand(frames, height, width, -1),
        ],
        dim=-1,
    ).flatten(1, 2)
    return torch.cat([half, half], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates pairs (i, i + d/2). x (B, T, S, A, d); cos and sin (T, S, 1, d) float32 -> x's shape and dtype."""
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return torch.addcmul(wide * cos, turned, sin).to(x.dtype)
