"""The Cosmos-Predict2 video DiT (and, by configuration, Predict1's), as a bare network.

Comes in: noisy latents already scaled for the network, one timestep per latent frame, text embeddings. Goes out: the
raw network output (for rectified flow, the velocity eps - x0). Does not know noise levels, guidance, samplers,
conditioning frames' contents, checkpoints or ranks (``TokenLayout`` hides those).

Sources: nvidia-cosmos/cosmos-predict2 ``text2image_dit.py`` and ``video2world_dit.py`` (architecture, constants).

Letters: B batch, C latent channels, T latent frames, h w latent size, S tokens of one frame (patch grid), D width,
L text length, A heads, d head width. Tokens are kept as (B, T, S, D), so that what is computed per latent frame
(timestep embedding, modulation) is broadcast over S and never computed per token.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.layers.attention import SingleRankLayout, TokenLayout, attend
from engine.layers.rotary import RotaryConfig, rope_angles, rotate
from engine.layers.transformer import Mlp, linear, modulate, timestep_sinusoid
from engine.models.cosmos.sparse import layouts_for, patterns_of
from engine.models.model import Network

NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class CosmosConfig:
    """Sizes of the network. The defaults that are not sizes are those of every released Predict2 Video2World model."""

    width: int
    num_blocks: int
    num_heads: int
    in_channels: int = 16
    out_channels: int = 16
    text_width: int = 1024
    mlp_ratio: float = 4.0
    adaln_lora_dim: int = 256
    patch_spatial: int = 2
    patch_temporal: int = 1
    condition_mask: bool = True
    """Whether the patch embedding sees the condition mask as a channel (Video2World)."""
    rope_theta: float = 10000.0
    rope_ratio_t: float = 1.0
    rope_ratio_h: float = 3.0
    rope_ratio_w: float = 3.0
    rope_base_fps: float | None = None
    """Set for Predict1, whose temporal positions follow real time."""
    rope_reference_bf16: bool = False
    """The angles as NVIDIA's scripts round them, for parity bit by bit."""
    neighborhood: str = ""
    """Whose pattern of sparse self-attention the weights were tuned for (``sparse.PATTERNS``); "": dense."""
    extra_pos_embed: tuple[int, int, int] | None = None
    """Largest (T, h, w) patch grid of the learnable absolute position embedding added before every block (Predict1)."""

    @property
    def head_dim(self) -> int:
        return self.width // self.num_heads

    @property
    def patch_channels(self) -> int:
        """Channels the patch embedding sees: latents, condition mask, padding mask."""
        return self.in_channels + int(self.condition_mask) + 1

    @property
    def rotary(self) -> RotaryConfig:
        return RotaryConfig(
            head_dim=self.head_dim,
            theta=self.rope_theta,
            ratio_t=self.rope_ratio_t,
            ratio_h=self.rope_ratio_h,
            ratio_w=self.rope_ratio_w,
            base_fps=self.rope_base_fps,
            reference_bf16=self.rope_reference_bf16,
        )


def layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)


class TimeEmbedding(nn.Module):
    """The AdaLN-LoRA timestep embedding: the normed sinusoid itself, and a 3D-wide term shared by all blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.linear_1 = linear(width, width)
        self.linear_2 = linear(width, 3 * width)
        self.norm = nn.RMSNorm(width, eps=NORM_EPS)

    def forward(self, timesteps: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(B, T) -> embedding (B, T, D), shared term (B, T, 3D)."""
        sinusoid = timestep_sinusoid(timesteps, self.width).to(dtype)
        return self.norm(sinusoid), self.linear_2(F.silu(self.linear_1(sinusoid)))


class Modulation(nn.Module):
    """shift, scale and gate of one sub-layer, per latent frame: Linear(Linear(SiLU(t))) + shared term."""

    def __init__(self, width: int, lora_dim: int, parts: int = 3) -> None:
        super().__init__()
        self.parts = parts
        self.down = linear(width, lora_dim)
        self.up = linear(lora_dim, parts * width)

    def forward(self, activated: Tensor, shared: Tensor) -> tuple[Tensor, ...]:
        """activated = SiLU(t embedding) (B, T, D), shared (B, T, 3D) -> ``parts`` tensors (B, T, 1, D)."""
        modulation = self.up(self.down(activated)) + shared[..., : self.parts * activated.shape[-1]]
        return modulation[:, :, None].chunk(self.parts, dim=-1)


class SelfAttention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.out = (linear(width, width) for _ in range(4))
        self.q_norm = nn.RMSNorm(width // num_heads, eps=NORM_EPS)
        self.k_norm = nn.RMSNorm(width // num_heads, eps=NORM_EPS)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], layout: TokenLayout, tokens_per_frame: int) -> Tensor:
        """x (B, T, S_local, D) -> the same shape."""
        q, k, v = (project(x).unflatten(-1, (self.num_heads, -1)) for project in (self.q, self.k, self.v))
        q, k = rotate(self.q_norm(q), *rope), rotate(self.k_norm(k), *rope)
        return self.out(layout.self_attend(q, k, v, tokens_per_frame).flatten(-2))


class CrossAttention(nn.Module):
    """Attention to the text without a mask: padded positions are zero vectors and take part, as trained."""

    def __init__(self, width: int, num_heads: int, text_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.out = linear(width, width), linear(width, width)
        self.k, self.v = linear(text_width, width), linear(text_width, width)
        self.q_norm = nn.RMSNorm(width // num_heads, eps=NORM_EPS)
        self.k_norm = nn.RMSNorm(width // num_heads, eps=NORM_EPS)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x (B, T, S, D), text (B, L, Dtext) -> (B, T, S, D)."""
        q = self.q_norm(self.q(x).flatten(1, 2).unflatten(-1, (self.num_heads, -1))).transpose(1, 2)
        k = self.k_norm(self.k(text).unflatten(-1, (self.num_heads, -1))).transpose(1, 2)
        v = self.v(text).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return self.out(attend(q, k, v).transpose(1, 2).flatten(-2)).unflatten(1, x.shape[1:3])


class Block(nn.Module):
    """x <- x + gate * f(LN(x) * (1 + scale) + shift) for self-attention, cross-attention and MLP in turn."""

    def __init__(self, config: CosmosConfig) -> None:
        super().__init__()
        width, heads = config.width, config.num_heads
        self.self_attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads, config.text_width)
        self.mlp = Mlp(width, int(width * config.mlp_ratio))
        self.modulation_self_attn = Modulation(width, config.adaln_lora_dim)
        self.modulation_cross_attn = Modulation(width, config.adaln_lora_dim)
        self.modulation_mlp = Modulation(width, config.adaln_lora_dim)

    def forward(
        self,
        x: Tensor,
        time: tuple[Tensor, Tensor],
        text: Tensor,
        rope: tuple[Tensor, Tensor],
        layout: TokenLayout,
        tokens_per_frame: int,
    ) -> Tensor:
        shift, scale, gate = self.modulation_self_attn(*time)
        attended = self.self_attn(modulate(layer_norm, x, shift, scale), rope, layout, tokens_per_frame)
        x = torch.addcmul(x, gate, attended)
        shift, scale, gate = self.modulation_cross_attn(*time)
        x = torch.addcmul(x, gate, self.cross_attn(modulate(layer_norm, x, shift, scale), text))
        shift, scale, gate = self.modulation_mlp(*time)
        return torch.addcmul(x, gate, self.mlp(modulate(layer_norm, x, shift, scale)))


class FinalLayer(nn.Module):
    def __init__(self, config: CosmosConfig) -> None:
        super().__init__()
        self.modulation = Modulation(config.width, config.adaln_lora_dim, parts=2)
        self.linear = linear(config.width, config.patch_spatial**2 * config.patch_temporal * config.out_channels)

    def forward(self, x: Tensor, time: tuple[Tensor, Tensor]) -> Tensor:
        return self.linear(modulate(layer_norm, x, *self.modulation(*time)))


class ExtraPosEmbed(nn.Module):
    """Predict1's ``LearnablePosEmbAxis``: t + h + w tables, brought to unit RMS over the width in float32."""

    def __init__(self, width: int, largest: tuple[int, int, int]) -> None:
        super().__init__()
        self.t, self.h, self.w = (nn.Parameter(torch.empty(n, width).uniform_(-0.04, 0.04)) for n in largest)

    def forward(self, grid: tuple[int, int, int]) -> Tensor:
        """-> (1, T, S, D) in the tables' dtype."""
        t, h, w = (table[:n] for table, n in zip((self.t, self.h, self.w), grid, strict=True))
        summed = (t[:, None, None] + h[None, :, None] + w[None, None, :]).flatten(1, 2)[None]
        norm = torch.linalg.vector_norm(summed, dim=-1, keepdim=True, dtype=torch.float32)
        return summed / (1e-6 + norm / math.sqrt(summed.shape[-1])).to(summed.dtype)


class CosmosDiT(Network):
    """The whole network; see ``forward``."""

    def __init__(self, config: CosmosConfig) -> None:
        super().__init__()
        self.config = config
        patch_volume = config.patch_spatial**2 * config.patch_temporal
        self.patch_embed = linear(config.patch_channels * patch_volume, config.width)
        self.time_embed = TimeEmbedding(config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_blocks))
        self.patterns = patterns_of(config.neighborhood, config.num_blocks)
        self.final = FinalLayer(config)
        self.extra_pos_embed = (
            ExtraPosEmbed(config.width, config.extra_pos_embed) if config.extra_pos_embed is not None else None
        )

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

        x: (B, C, T, h, w) network input. timesteps: (B, T), one per latent frame. text: (B, L, Dtext), padded with
        zero vectors. condition_mask: (B, 1, T, h, w), 1 on conditioning frames (None: zeros). padding_mask:
        (B, 1, H, W) at any size, reduced by nearest sampling (None: zeros). fps: only used with ``rope_base_fps``.
        -> (B, C_out, T, h, w), on every rank of the layout.
        """
        config, layout = self.config, layout or SingleRankLayout()
        x = self._with_masks(x, condition_mask, padding_mask)
        p, pt = config.patch_spatial, config.patch_temporal
        grid = (x.shape[2] // pt, x.shape[3] // p, x.shape[4] // p)
        tokens_per_frame = grid[1] * grid[2]

        patches = rearrange(x, "B C (T pt) (h ph) (w pw) -> B T (h w) (C pt ph pw)", pt=pt, ph=p, pw=p)
        tokens = self.patch_embed(layout.scatter(patches))
        angles = rope_angles(config.rotary, grid, fps, x.device)
        angles = layout.scatter(angles[None])[0][:, :, None]  # (T, S_local, 1, d)
        rope = angles.cos(), angles.sin()
        embedding, shared = self.time_embed(timesteps, x.dtype)
        time = F.silu(embedding), shared
        position = layout.scatter(self.extra_pos_embed(grid)) if self.extra_pos_embed is not None else None

        for block, attending in zip(self.blocks, layouts_for(self.patterns, grid, layout), strict=True):
            if position is not None:
                tokens = tokens + position
            tokens = block(tokens, time, text, rope, attending, tokens_per_frame)
        patches = layout.gather(self.final(tokens, time), tokens_per_frame)
        return rearrange(patches, "B T (h w) (ph pw pt C) -> B C (T pt) (h ph) (w pw)", h=grid[1], ph=p, pw=p, pt=pt)

    def _with_masks(self, x: Tensor, condition_mask: Tensor | None, padding_mask: Tensor | None) -> Tensor:
        """Channel order the patch embedding sees: latents, condition mask (Video2World), padding mask."""
        plane = x.new_zeros(x.shape[0], 1, *x.shape[2:])
        channels = [x]
        if self.config.condition_mask:
            channels.append(plane if condition_mask is None else condition_mask.to(x.dtype))
        if padding_mask is not None:
            small = F.interpolate(padding_mask.to(x.dtype), size=x.shape[-2:], mode="nearest")
            plane = small[:, :, None].expand_as(plane)
        return torch.cat([*channels, plane], dim=1)
