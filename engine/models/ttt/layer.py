"""One transformer layer of TTT-Video: modulated local attention with gated TTT both ways, then a modulated MLP.

Comes in: text and video tokens, the activated timestep embedding, and where the tokens are (``SequenceInfo``). Goes
out: the tokens after the layer. Names of modules and parameters are the original checkpoints'. Does not know patches,
timesteps, segments' texts or ranks (``TokenLayout`` hides those).

Source: arXiv 2504.05298, section 3.

Letters: B batch, n segments, L text tokens of a segment, T latent frames, S tokens of one latent frame, N all tokens,
D width, A heads, d head width, E width of the timestep embedding, C tokens of a mini-batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.layers.attention import TokenLayout
from engine.layers.transformer import modulate
from engine.models.ttt.attention import LocalAttention
from engine.models.ttt.config import NORM_EPS, TttConfig
from engine.models.ttt.scan import InnerNorm, Scan, Streams, Weights, scan, scan_compiled
from engine.models.ttt.scan_order import Extent, ScanOrder

PIECE_FRAMES = 13
"""Latent frames (or texts) that pass through the MLP at once, so that its wide hidden layer does not grow with the
film."""


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """What every layer knows of the sequence of tokens: its extent, rotary positions and scan orders.

    ``rotations`` (T, S, d/2): of the whole video. ``orders``: forward and backward.
    """

    extent: Extent
    rotations: Tensor
    orders: tuple[ScanOrder, ScanOrder]
    layout: TokenLayout


class TttLayer(nn.Module):
    """A layer whose hidden state is a small model per head, trained on the sequence while it is read."""

    def __init__(self, config: TttConfig) -> None:
        super().__init__()
        width, heads, head = config.width, config.num_heads, config.head_dim
        self.num_heads, self.mini_batch_size = heads, config.mini_batch_size
        self.largest_step = config.base_lr / head / config.mini_batch_size
        self.scan: Scan = scan_compiled if config.compile_scan else scan
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(width, width) for _ in range(4))
        self.post_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.learnable_ttt_lr_weight = nn.Parameter(torch.randn(heads, 1, width) * 0.02)
        self.learnable_ttt_lr_bias = nn.Parameter(torch.zeros(heads, 1))
        self.ttt_norm_weight = nn.Parameter(torch.ones(heads, head))
        self.ttt_norm_bias = nn.Parameter(torch.zeros(heads, head))
        self.inner_names = self._make_inner(heads, head, head * config.inner_width, config.ssm_layer == "ttt_mlp")

    def _make_inner(self, heads: int, head: int, hidden: int, is_mlp: bool) -> tuple[str, ...]:
        """Parameters of the inner model before the first token, W (A, in, out) and b (A, 1, out): their names."""
        widths = [(head, hidden), (hidden, head)] if is_mlp else [(head, head)]
        for number, (inner, outer) in enumerate(widths, start=1):
            self.register_parameter(f"W{number}", nn.Parameter(torch.randn(heads, inner, outer) * 0.02))
            self.register_parameter(f"b{number}", nn.Parameter(torch.zeros(heads, 1, outer)))
        return tuple(f"{kind}{number}" for number in range(1, len(widths) + 1) for kind in "Wb")

    def forward(self, text: Tensor, video: Tensor, sequence: SequenceInfo, order: ScanOrder) -> tuple[Tensor, Tensor]:
        """text (B, n, L_local, D), video (B, T, S_local, D) -> the same shapes, from one scan through all of them."""
        weights, norm = self.inner(sequence.layout)
        recalled, _ = self.scan(weights, norm, self.streams(text, video, sequence), order, self.mini_batch_size)
        extent = sequence.extent
        text, video = recalled.split([extent.num_text, extent.num_tokens - extent.num_text], dim=1)
        text = text.unflatten(1, (extent.num_segments, extent.text_tokens))
        video = video.unflatten(1, (extent.latent_frames, extent.tokens_per_frame))
        text, video = (self.wo(self.post_norm(sequence.layout.to_tokens(x).flatten(-2))) for x in (text, video))
        return text, video

    def inner(self, layout: TokenLayout) -> tuple[Weights, InnerNorm]:
        """The inner model of this rank's heads, before the first token."""
        weights = (self.get_parameter(name) for name in self.inner_names)
        norm = InnerNorm(layout.heads(self.ttt_norm_weight), layout.heads(self.ttt_norm_bias))
        return tuple(layout.heads(weight) for weight in weights), norm

    def streams(self, text: Tensor, video: Tensor, sequence: SequenceInfo) -> Streams:
        """All tokens of this rank's heads."""
        q, k, v = (
            self._sequence(lambda x, w=w: w(x).unflatten(-1, (self.num_heads, -1)), text, video, sequence)
            for w in (self.wq, self.wk, self.wv)
        )
        rates = self._sequence(self._rates, text, video, sequence)[..., 0]
        return Streams(q, k, v, self.largest_step * torch.sigmoid(rates.float()))

    def _rates(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., A, 1), before the sigmoid."""
        return F.linear(x, self.learnable_ttt_lr_weight[:, 0], self.learnable_ttt_lr_bias[:, 0])[..., None]

    @staticmethod
    def _sequence(project: Callable[[Tensor], Tensor], text: Tensor, video: Tensor, sequence: SequenceInfo) -> Tensor:
        """-> (B, N, A_local, d): all text, then all video."""
        layout, extent = sequence.layout, sequence.extent
        texts = layout.to_heads(project(text), extent.text_tokens).flatten(1, 2)
        return torch.cat([texts, layout.to_heads(project(video), extent.tokens_per_frame).flatten(1, 2)], dim=1)


class Gate(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gating_alpha = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, recalled: Tensor) -> Tensor:
        """x + tanh(alpha) * recalled."""
        return torch.addcmul(x, torch.tanh(self.gating_alpha), recalled)


class SeqModelingBlock(LocalAttention):
    """Local attention, then TTT forward and backward, each added through a gate. The backward scan starts from the
    first weights again."""

    def __init__(self, config: TttConfig) -> None:
        super().__init__(config.width, config.num_heads)
        self.ssm = nn.ModuleDict()
        if config.ssm_layer != "none":
            self.ssm["ttt"] = TttLayer(config)
            for way in ("forward", "backward"):
                for kind in ("video", "text"):
                    self.add_module(f"{way}_ssm_gating_{kind}", Gate(config.width))

    def forward(self, text: Tensor, video: Tensor, sequence: SequenceInfo) -> tuple[Tensor, Tensor]:
        """text (B, n, L_local, D), video (B, T, S_local, D) -> the same shapes."""
        text, video = self.attend(text, video, sequence.extent, sequence.rotations, sequence.layout)
        return self.scan_both_ways(text, video, sequence)

    def scan_both_ways(self, text: Tensor, video: Tensor, sequence: SequenceInfo) -> tuple[Tensor, Tensor]:
        """The TTT layer's two scans over attended tokens. Same shapes."""
        for ttt in self.ssm.values():
            for way, order in zip(("forward", "backward"), sequence.orders, strict=True):
                text, video = self._gated(way, text, video, *ttt(text, video, sequence, order))
        return text, video

    def _gated(
        self, way: str, text: Tensor, video: Tensor, recalled_text: Tensor, recalled_video: Tensor
    ) -> tuple[Tensor, Tensor]:
        text_gate, video_gate = (self.get_submodule(f"{way}_ssm_gating_{kind}") for kind in ("text", "video"))
        return text_gate(text, recalled_text), video_gate(video, recalled_video)


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layer1, self.layer2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer2(F.gelu(self.layer1(x), approximate="tanh"))


def modulation(time_width: int, parts: int) -> nn.Sequential:
    """SiLU, then shifts, scales and gates; the SiLU is applied once for all layers, so its place is empty."""
    return nn.Sequential(nn.Identity(), nn.Linear(time_width, parts))


class TransformerLayer(nn.Module):
    """x <- x + gate * f(LN(x) * (1 + scale) + shift), for attention with TTT and for the MLP; text and video share
    norms and weights and have a modulation of their own."""

    def __init__(self, config: TttConfig) -> None:
        super().__init__()
        self.pre_seq_layernorm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.pre_seq_adaLN_modulation = modulation(config.time_width, 6 * config.width)
        self.seq_modeling_block = SeqModelingBlock(config)
        self.pre_mlp_layernorm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.pre_mlp_adaLN_modulation = modulation(config.time_width, 6 * config.width)
        self.mlp = Mlp(config.width, config.mlp_width)

    def forward(self, text: Tensor, video: Tensor, time: Tensor, sequence: SequenceInfo) -> tuple[Tensor, Tensor]:
        """text (B, n, L_local, D), video (B, T, S_local, D), time = SiLU(t embedding) (B, E) -> text, video."""
        shift, scale, gate, text_shift, text_scale, text_gate = self._parts(self.pre_seq_adaLN_modulation, time)
        attended_text, attended_video = self.seq_modeling_block.attend(
            modulate(self.pre_seq_layernorm, text, text_shift, text_scale),
            modulate(self.pre_seq_layernorm, video, shift, scale),
            sequence.extent,
            sequence.rotations,
            sequence.layout,
        )
        attended_text, attended_video = self.seq_modeling_block.scan_both_ways(attended_text, attended_video, sequence)
        text, video = torch.addcmul(text, text_gate, attended_text), torch.addcmul(video, gate, attended_video)
        shift, scale, gate, text_shift, text_scale, text_gate = self._parts(self.pre_mlp_adaLN_modulation, time)
        return self._through_mlp(text, text_shift, text_scale, text_gate), self._through_mlp(video, shift, scale, gate)

    def _through_mlp(self, x: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        """x + gate * MLP(modulated x), some frames at a time. (B, T, S_local, D) -> the same shape."""
        pieces = [
            torch.addcmul(piece, gate, self.mlp(modulate(self.pre_mlp_layernorm, piece, shift, scale)))
            for piece in x.split(PIECE_FRAMES, dim=1)
        ]
        return torch.cat(pieces, dim=1)

    @staticmethod
    def _parts(modulation: nn.Module, time: Tensor) -> tuple[Tensor, ...]:
        """Six tensors (B, 1, 1, D): shift, scale, gate of the video, then of the text."""
        return modulation(time)[:, None, None].chunk(6, dim=-1)
