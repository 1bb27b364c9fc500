"""Tiny TTT-Video networks and films for tests. Weights are random, so that no norm, gate or bias is a neutral one.

Letters: B batch, C latent channels, T latent frames, h w latent size, n segments, L text tokens, N all tokens, A heads,
d head width.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from engine.contract.families.ttt import TttSettings
from engine.models.ttt.config import TttConfig
from engine.models.ttt.network import TttVideo
from engine.models.ttt.rotary import rotations
from engine.models.ttt.scan import InnerNorm, Streams, Weights
from engine.models.ttt.scan_order import Extent, ScanOrder, scan_orders

TINY = TttConfig(
    width=64,
    num_layers=2,
    num_heads=4,
    in_channels=16,
    out_channels=16,
    text_width=24,
    time_width=16,
    mlp_width=256,
    ssm_layer="ttt_mlp",
    mini_batch_size=4,
    base_lr=1.0,
    segment_latent_frames=3,
)
FULL = replace(
    TINY,
    width=3072,
    num_layers=42,
    num_heads=48,
    text_width=4096,
    time_width=512,
    mlp_width=12288,
    mini_batch_size=64,
    base_lr=0.1,
    segment_latent_frames=12,
)
"""The published network's sizes."""
GRID = (2, 3)
TEXT_TOKENS = 5


def settings(config: TttConfig = TINY, **changes: object) -> TttSettings:
    given: dict[str, object] = {
        "ssm_layer": config.ssm_layer,
        "mini_batch_size": config.mini_batch_size,
        "base_lr": config.base_lr,
        "segment_latent_frames": config.segment_latent_frames,
    }
    return TttSettings.model_validate(given | changes)


def make_network(config: TttConfig = TINY, seed: int = 1, **changes: object) -> TttVideo:
    """Linear weights of unit gain, the rest near its neutral value."""
    torch.manual_seed(seed)
    network = TttVideo(replace(config, **changes)).eval().requires_grad_(False)  # type: ignore[arg-type]
    for name, weight in network.named_parameters():
        neutral = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        gain = 1 / math.sqrt(weight.shape[-1]) if weight.dim() > 1 and not neutral else 0.3
        weight.copy_(neutral + gain * torch.randn_like(weight))
    return network


def make_film(
    num_segments: int, config: TttConfig = TINY, batch: int = 1, grid: tuple[int, int] = GRID, seed: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, 16, T, h, w), timesteps (B, T), text (B, n, L, D_text)."""
    torch.manual_seed(seed)
    frames = num_segments * config.segment_latent_frames + 1
    x = torch.randn(batch, config.in_channels, frames, 2 * grid[0], 2 * grid[1])
    text = torch.randn(batch, num_segments, TEXT_TOKENS, config.text_width)
    return x, torch.linspace(259.0, 700.0, batch)[:, None].expand(-1, frames), text


def make_scan(
    kind: str,
    extent: Extent,
    mini_batch_size: int,
    heads: int = 2,
    head_dim: int = 16,
    batch: int = 1,
    grid: tuple[int, int] = GRID,
) -> tuple[Weights, InnerNorm, Streams, tuple[ScanOrder, ScanOrder]]:
    """Random inner weights and streams with steps large enough to matter."""
    torch.manual_seed(3)
    hidden = 4 * head_dim if kind == "ttt_mlp" else head_dim
    weights = (torch.randn(heads, head_dim, hidden) * 0.3, torch.randn(heads, 1, hidden) * 0.1)
    if kind == "ttt_mlp":
        weights += (torch.randn(heads, hidden, head_dim) * 0.15, torch.randn(heads, 1, head_dim) * 0.1)
    norm = InnerNorm(1 + 0.3 * torch.randn(heads, head_dim), 0.1 * torch.randn(heads, head_dim))
    q, k, v = torch.randn(3, batch, extent.num_tokens, heads, head_dim)
    steps = torch.rand(batch, extent.num_tokens, heads) * 4 / head_dim / mini_batch_size
    positions = rotations(head_dim, (extent.latent_frames, *grid))
    return weights, norm, Streams(q, k, v, steps), scan_orders(extent, mini_batch_size, positions)
