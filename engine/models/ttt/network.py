"""The TTT-Video transformer as a bare network: a whole storyboard of 3 s segments in one evaluation.

Comes in: noisy latents, timesteps, one text per segment. Goes out: the raw network output (v of v-prediction). Does not
know noise levels, guidance, samplers, checkpoints or ranks (``TokenLayout`` hides those).

Sources: "One-Minute Video Generation with Test-Time Training" (arXiv 2504.05298) on CogVideoX-5B (arXiv 2408.06072);
test-time-training/ttt-video-dit (names, constants).

Letters: B batch, C latent channels, T latent frames, h w latent size, n segments, L text tokens of a segment, S tokens
of one latent frame (patch grid), D width, E width of the timestep embedding. Text is kept as (B, n, L, D) and video as
(B, T, S, D), so that both are split over ranks in the same way.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.contract.errors import Rejected
from engine.layers.attention import SingleRankLayout, TokenLayout
from engine.layers.transformer import modulate, timestep_sinusoid
from engine.models.model import Network
from engine.models.ttt.config import NORM_EPS, PATCH, TttConfig
from engine.models.ttt.layer import SequenceInfo, TransformerLayer, modulation
from engine.models.ttt.rotary import rotations
from engine.models.ttt.scan_order import Extent, check_segments, scan_orders


class PatchEmbedding(nn.Module):
    def __init__(self, config: TttConfig) -> None:
        super().__init__()
        self.vid_proj = nn.Conv2d(config.in_channels, config.width, PATCH, PATCH)
        self.text_proj = nn.Linear(config.text_width, config.width)

    def forward(self, text: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """text (B, n, L, D_text), patches (B, T, S, C*p*p) in the order (C, row, column) -> tokens of both."""
        return self.text_proj(text), F.linear(patches, self.vid_proj.weight.flatten(1), self.vid_proj.bias)


class FinalLayer(nn.Module):
    def __init__(self, config: TttConfig) -> None:
        super().__init__()
        self.adaLN_modulation = modulation(config.time_width, 2 * config.width)
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.linear = nn.Linear(config.width, PATCH**2 * config.out_channels)

    def forward(self, video: Tensor, time: Tensor) -> Tensor:
        """(B, T, S, D), time = SiLU(t embedding) (B, E) -> (B, T, S, C*p*p)."""
        shift, scale = self.adaLN_modulation(time)[:, None, None].chunk(2, dim=-1)
        return self.linear(modulate(self.norm, video, shift, scale))


class TttVideo(Network):
    """The whole network; see ``forward``."""

    def __init__(self, config: TttConfig) -> None:
        super().__init__()
        self.config = config
        time_width = config.time_width
        self.time_embed = nn.Sequential(
            nn.Linear(config.width, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        self.patch_embedding = PatchEmbedding(config)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_layers))
        self.transformer_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.final_layer = FinalLayer(config)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers, under the name that every network has for them; the weights' keys say ``layers``."""
        return self.layers

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

        x: (B, C, T, h, w) network input, T = n * segment_latent_frames + 1. timesteps: (B, T) in 0..1000, of which the
        first of each sample is used: all frames share one. text: (B, n, L, D_text), attended without a mask.
        The masks and fps mean nothing to this network. -> (B, C_out, T, h, w), on every rank of the layout.
        Raises Rejected("frames"), ("size") or ("text") where the film's shape is not the network's.
        """
        layout = layout or SingleRankLayout()
        extent = self.extent(x, text)
        grid = (x.shape[2], x.shape[3] // PATCH, x.shape[4] // PATCH)
        sequence = self.sequence_info(extent, grid, layout, x.device)
        patches = rearrange(x, "B C T (h ph) (w pw) -> B T (h w) (C ph pw)", ph=PATCH, pw=PATCH)
        text_tokens, video = self.patch_embedding(layout.scatter(text.to(x.dtype)), layout.scatter(patches))
        time = F.silu(self.time_embed(timestep_sinusoid(timesteps[:, 0], self.config.width).to(x.dtype)))
        for layer in self.layers:
            text_tokens, video = layer(text_tokens, video, time, sequence)
        patches = layout.gather(self.final_layer(self.transformer_norm(video), time), extent.tokens_per_frame)
        return rearrange(patches, "B T (h w) (C ph pw) -> B C T (h ph) (w pw)", h=grid[1], ph=PATCH, pw=PATCH)

    def sequence_info(
        self, extent: Extent, grid: tuple[int, int, int], layout: TokenLayout, device: torch.device
    ) -> SequenceInfo:
        """Positions and scan orders, the same for every layer. ``grid``: (T, rows, columns) of patches."""
        positions = rotations(self.config.head_dim, grid, device)
        return SequenceInfo(extent, positions, scan_orders(extent, self.config.mini_batch_size, positions), layout)

    def extent(self, x: Tensor, text: Tensor) -> Extent:
        """How many tokens the film has. Raises Rejected for shapes that no film of this network has."""
        config = self.config
        if text.dim() != 4 or text.shape[-1] != config.text_width or not text.shape[2]:
            expected = f"(B, segments, tokens, {config.text_width})"
            raise Rejected("text", f"the text is {tuple(text.shape)}, expected {expected}: one text per segment")
        if x.shape[3] % PATCH or x.shape[4] % PATCH:
            raise Rejected("size", f"latents of {x.shape[4]}x{x.shape[3]} do not divide into patches of {PATCH}")
        tokens_per_frame = x.shape[3] * x.shape[4] // PATCH**2
        extent = Extent(text.shape[1], text.shape[2], x.shape[2], tokens_per_frame, config.segment_latent_frames)
        check_segments(extent)
        return extent
