"""The DFM DiT (NeMo DFM's ``DiTCrossAttentionModel``) in plain PyTorch, as a bare network.

Comes in: noisy latents already scaled for the network, a noise level, text embeddings. Goes out: the raw network output
(EDM's F). Does not know noise schedules, guidance, samplers, checkpoints or ranks (``TokenLayout`` hides those).

Source: NVIDIA-NeMo/DFM ``dit_model.py``, ``dit_layer_spec.py``, ``common/dit_attention.py``.

Letters: B batch, C latent channels, T latent frames, h w latent size, S tokens of one frame (patch grid), D width,
L text length, A heads, d head width. Tokens are kept as (B, T, S, D). A token's features are in the order
(ph, pw, pt, C), on the way in and on the way out.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.contract.errors import Rejected
from engine.layers.attention import SingleRankLayout, TokenLayout, attend
from engine.layers.transformer import Mlp, linear, modulate
from engine.models.dfm.positions import Grid, Positions
from engine.models.model import Network

DEFAULT_FPS = 30.0
"""What the weights met in training, where batches carry no frame rate."""


@dataclass(frozen=True, slots=True)
class DfmConfig:
    """Sizes of the network; the defaults are those of every preset of the reference (S, B, L, XL)."""

    width: int
    num_blocks: int
    num_heads: int
    mlp_width: int
    in_channels: int = 16
    out_channels: int = 16
    text_width: int = 1024
    adaln_lora_dim: int = 256
    fps_width: int = 256
    patch_spatial: int = 2
    patch_temporal: int = 1
    largest: Grid = (34, 40, 40)
    """Patch grid (T, h, w) that the position table covers."""
    norm_eps: float = 1e-5
    """Of LayerNorm and of the RMSNorm on queries and keys. The reference's source says 1e-6, but the field has no
    annotation, so its dataclass keeps Megatron's 1e-5: the weights were trained with that."""

    @property
    def head_dim(self) -> int:
        return self.width // self.num_heads

    @property
    def patch_volume(self) -> int:
        return self.patch_spatial**2 * self.patch_temporal


def to_tokens(x: Tensor, patch_spatial: int = 2, patch_temporal: int = 1) -> Tensor:
    """(B, C, T, h, w) -> (B, T', S, ph*pw*pt*C)."""
    p, pt = patch_spatial, patch_temporal
    return rearrange(x, "B C (T pt) (h ph) (w pw) -> B T (h w) (ph pw pt C)", pt=pt, ph=p, pw=p)


def from_tokens(tokens: Tensor, grid: Grid, patch_spatial: int = 2, patch_temporal: int = 1) -> Tensor:
    """The inverse of ``to_tokens``; ``grid`` is the patch grid."""
    p, pt = patch_spatial, patch_temporal
    return rearrange(tokens, "B T (h w) (ph pw pt C) -> B C (T pt) (h ph) (w pw)", h=grid[1], ph=p, pw=p, pt=pt)


def sinusoid(values: Tensor, width: int, shift: int) -> Tensor:
    """(B) -> (B, width) float32: sines first, frequencies exp(-ln(10000) * j / (width/2 - shift))."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=values.device) / (half - shift)
    angles = values.float()[:, None] * torch.exp(-math.log(10000.0) * exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Embedding(nn.Module):
    """A number as a vector: sinusoid, Linear, SiLU, Linear. ``shift`` is the sinusoid's (noise level 0, fps 1)."""

    def __init__(self, width: int, shift: int) -> None:
        super().__init__()
        self.width, self.shift = width, shift
        self.linear_1, self.linear_2 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """(B) -> (B, width)."""
        return self.linear_2(F.silu(self.linear_1(sinusoid(values, self.width, self.shift).to(dtype))))


class Modulation(nn.Module):
    """shift, scale and gate of the three sub-layers: chunk9(Linear(Linear(SiLU(embedding))))."""

    def __init__(self, width: int, lora_dim: int) -> None:
        super().__init__()
        self.down, self.up = linear(width, lora_dim), linear(lora_dim, 9 * width)

    def forward(self, activated: Tensor) -> tuple[Tensor, ...]:
        """SiLU(embedding) (B, D) -> nine tensors (B, 1, 1, D)."""
        return self.up(self.down(activated))[:, None, None].chunk(9, dim=-1)


class SelfAttention(nn.Module):
    """Rows of ``qkv`` are interleaved per head, [q | k | v] of head 0, then of head 1: Megatron's order, as read."""

    def __init__(self, config: DfmConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv, self.out = linear(config.width, 3 * config.width), linear(config.width, config.width)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=config.norm_eps)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=config.norm_eps)

    def forward(self, x: Tensor, layout: TokenLayout, tokens_per_frame: int) -> Tensor:
        """(B, T, S_local, D) -> the same shape. Every token attends to all of the sample; no rotary embedding."""
        q, k, v = self.qkv(x).unflatten(-1, (self.num_heads, 3, -1)).unbind(-2)
        return self.out(layout.self_attend(self.q_norm(q), self.k_norm(k), v, tokens_per_frame).flatten(-2))


class CrossAttention(nn.Module):
    """Attention to the text without a mask: rows past the prompt's end are zero, give logit 0 and value 0, and take
    part, as trained. Rows of ``kv`` are interleaved per head, [k | v]."""

    def __init__(self, config: DfmConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q, self.out = linear(config.width, config.width), linear(config.width, config.width)
        self.kv = linear(config.text_width, 2 * config.width)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=config.norm_eps)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=config.norm_eps)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x (B, T, S_local, D), text (B, L, Dtext) -> x's shape."""
        q = self.q_norm(self.q(x).flatten(1, 2).unflatten(-1, (self.num_heads, -1))).transpose(1, 2)
        k, v = self.kv(text).unflatten(-1, (self.num_heads, 2, -1)).unbind(-2)
        attended = attend(q, self.k_norm(k).transpose(1, 2), v.transpose(1, 2))
        return self.out(attended.transpose(1, 2).flatten(-2)).unflatten(1, x.shape[1:3])


class Block(nn.Module):
    """x <- x + gate * f(LN(x) * (1 + scale) + shift) for self-attention, cross-attention and MLP in turn."""

    def __init__(self, config: DfmConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps, elementwise_affine=False)
        self.modulation = Modulation(config.width, config.adaln_lora_dim)
        self.self_attn, self.cross_attn = SelfAttention(config), CrossAttention(config)
        self.mlp = Mlp(config.width, config.mlp_width)

    def forward(self, x: Tensor, activated: Tensor, text: Tensor, layout: TokenLayout, tokens_per_frame: int) -> Tensor:
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2, shift_3, scale_3, gate_3 = self.modulation(activated)
        attended = self.self_attn(modulate(self.norm, x, shift_1, scale_1), layout, tokens_per_frame)
        x = torch.addcmul(x, gate_1, attended)
        x = torch.addcmul(x, gate_2, self.cross_attn(modulate(self.norm, x, shift_2, scale_2), text))
        return torch.addcmul(x, gate_3, self.mlp(modulate(self.norm, x, shift_3, scale_3)))


class DfmDiT(Network):
    """The whole network; see ``forward``. It ends without norm and without modulation, as the reference does."""

    def __init__(self, config: DfmConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = nn.Linear(config.in_channels * config.patch_volume, config.width)
        self.positions = Positions(config.largest, config.width)
        self.time_embed = Embedding(config.width, shift=0)
        self.fps_embed = Embedding(config.fps_width, shift=1)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_blocks))
        self.final = nn.Linear(config.width, config.patch_volume * config.out_channels)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        text: Tensor,
        condition_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        fps: float | None = None,
        layout: TokenLayout | None = None,
    ) -> Tensor:
        """One evaluation.

        x: (B, C, T, h, w) network input, h and w multiples of the patch. timesteps: (B, T), of which the first of each
        sample is used: the model knows one noise level per sample (c_noise = ln(sigma)/4). text: (B, L, Dtext), padded
        with zero rows. fps: 30 where None. The masks are there for the interface and are not read: the model was not
        trained with conditioning frames. -> (B, C_out, T, h, w), on every rank of the layout.
        Raises Rejected("size") for a size off the patch grid or beyond the position table.
        """
        config, layout = self.config, layout or SingleRankLayout()
        grid = self._grid(x)
        patches = to_tokens(x, config.patch_spatial, config.patch_temporal)
        tokens = self.patch_embed(layout.scatter(patches)) + layout.scatter(self.positions(grid))
        activated = F.silu(self._embed(timesteps[:, 0], fps, x.dtype))
        for block in self.blocks:
            tokens = block(tokens, activated, text, layout, grid[1] * grid[2])
        patches = layout.gather(self.final(tokens), grid[1] * grid[2])
        return from_tokens(patches, grid, config.patch_spatial, config.patch_temporal)

    def _embed(self, noise: Tensor, fps: float | None, dtype: torch.dtype) -> Tensor:
        """noise (B) -> (B, D): the noise level's vector, and the frame rate's laid on its first channels."""
        rate = torch.full_like(noise, DEFAULT_FPS if fps is None else fps, dtype=torch.float32)
        rate = self.fps_embed(rate, dtype)
        return self.time_embed(noise, dtype) + F.pad(rate, (0, self.config.width - rate.shape[1]))

    def _grid(self, x: Tensor) -> Grid:
        p, pt = self.config.patch_spatial, self.config.patch_temporal
        frames, height, width = x.shape[2:]
        if frames % pt or height % p or width % p:
            raise Rejected(
                "size",
                f"Latents of {frames} frames and {width}x{height} do not divide into patches of {pt} frames and "
                f"{p}x{p}. Choose a size on the model's grid.",
            )
        return frames // pt, height // p, width // p
