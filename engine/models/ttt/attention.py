"""Attention inside each segment: its own text and its latent frames, one of which it shares with the next segment.

Comes in: text and video tokens. Goes out: the attended tokens. Text never sees another segment; the shared frame takes
the mean of its two segments. Does not know modulation, TTT or ranks (``TokenLayout`` hides those).

Source: CogVideoX's joint attention (arXiv 2408.06072), cut into 3 s segments by TTT-Video (arXiv 2504.05298).

Letters: B batch, n segments, L text tokens of a segment, T latent frames, S tokens of one latent frame, D width,
A heads, d head width.
"""

import torch
from torch import Tensor, nn

from engine.layers.attention import Attend, TokenLayout
from engine.models.ttt.config import NORM_EPS
from engine.models.ttt.rotary import rotate_pairs
from engine.models.ttt.scan_order import Extent


class LocalAttention(nn.Module):
    """Projections with biases; queries and keys are normed per head; rotary positions for video alone."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.q_norm = nn.LayerNorm(width // num_heads, eps=NORM_EPS)
        self.k_norm = nn.LayerNorm(width // num_heads, eps=NORM_EPS)

    def attend(
        self, text: Tensor, video: Tensor, extent: Extent, rotations: Tensor, layout: TokenLayout
    ) -> tuple[Tensor, Tensor]:
        """text (B, n, L_local, D), video (B, T, S_local, D), rotations (T, S, d/2) -> the same shapes."""
        texts = self._to_heads(text, extent.text_tokens, layout)
        videos = self._to_heads(video, extent.tokens_per_frame, layout)
        text, video = attend_segments(layout.attend, texts, videos, rotations, extent.segment_latent_frames)
        # The mean over a shared frame's two segments is taken before the projection, which is linear.
        return self.o(layout.to_tokens(text).flatten(-2)), self.o(layout.to_tokens(video).flatten(-2))

    def _to_heads(self, x: Tensor, tokens_per_frame: int, layout: TokenLayout) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, S_local, D) -> q, k, v of this rank's heads, each (B, T, S, A_local, d)."""
        heads = (self.num_heads, -1)  # each is normed and sent before the next is made: long films are large
        q = layout.to_heads(self.q_norm(self.q(x).unflatten(-1, heads)), tokens_per_frame)
        k = layout.to_heads(self.k_norm(self.k(x).unflatten(-1, heads)), tokens_per_frame)
        v = layout.to_heads(self.v(x).unflatten(-1, heads), tokens_per_frame)
        return q, k, v


def attend_segments(
    attend: Attend, text: tuple[Tensor, ...], video: tuple[Tensor, ...], rotations: Tensor, segment_latent_frames: int
) -> tuple[Tensor, Tensor]:
    """q, k, v of the text, each (B, n, L, A, d), and of the video, each (B, T, S, A, d) -> both attended.

    Segment i sees latent frames [i*m, (i+1)*m]; its rotary positions begin at 0. The last of them is the first of the
    next, and its two results are averaged.
    """
    m = segment_latent_frames
    out_text, out_video = torch.empty_like(text[0]), torch.empty_like(video[0])
    positions = rotations[: m + 1, :, None]  # (m+1, S, 1, d/2)
    for i in range(text[0].shape[1]):
        texts = [x[:, i] for x in text]
        q, k, v = (x[:, i * m : (i + 1) * m + 1] for x in video)
        videos = [rotate_pairs(q, positions), rotate_pairs(k, positions), v]
        joined = [torch.cat([t, f.flatten(1, 2)], dim=1).transpose(1, 2) for t, f in zip(texts, videos, strict=True)]
        attended = attend(joined[0], joined[1], joined[2]).transpose(1, 2)
        out_text[:, i] = attended[:, : texts[0].shape[1]]
        frames = attended[:, texts[0].shape[1] :].unflatten(1, q.shape[1:3])
        if i:
            frames = torch.cat([(frames[:, :1] + out_video[:, i * m : i * m + 1]) / 2, frames[:, 1:]], dim=1)
        out_video[:, i * m : (i + 1) * m + 1] = frames
    return out_text, out_video
