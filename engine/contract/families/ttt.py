"""The TTT family (TTT-Video on CogVideoX-5B), as far as no torch is needed: text length and cost of a joint film.

Comes in: a card. Goes out: its settings and traits. Does not know files, devices or tensors; the time that a step takes
is measured, never computed.

Source: "One-Minute Video Generation with Test-Time Training", arXiv 2504.05298: local attention over each segment of
13 latent frames with its text, and test-time training over the whole sequence, forwards and backwards.

Letters: N tokens of the sequence, D width, d width of a head.
"""

from typing import Literal

from pydantic import Field

from engine.contract.card_values import BaseCard, FamilySettings, Precision
from engine.contract.families.traits import FamilyTraits, JointCost
from engine.contract.values import SizePx

LIVE_COPIES = 12
"""Copies of the token sequence that are alive at once where a block needs most: the residual stream, inputs and outputs
of attention, and the four times wider hidden layer of the feed-forward network."""
BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


class TttSettings(FamilySettings):
    """What the weights of a TTT-Video network do not say."""

    ssm_layer: Literal["ttt_mlp", "ttt_linear", "none"]
    """none: a CogVideoX network, which has no such layers and is TTT-Video with gates of zero."""
    mini_batch_size: int = Field(gt=0)
    base_lr: float = Field(gt=0)
    segment_latent_frames: int = Field(default=12, gt=0)
    compile_scan: bool = False
    """Compiles the scan over the tokens with torch.compile: for GPUs, where its many small kernels cost launch time."""


class TttTraits(FamilyTraits):
    settings_type = TttSettings
    autoencoder_kinds = ("cogvideox",)
    loader = "engine.models.ttt.load"

    @property
    def settings(self) -> TttSettings | None:
        return self.card.settings_as(TttSettings)

    @property
    def title(self) -> str:
        return "TTT-Video"

    def text_length(self, num_segments: int, size_px: SizePx) -> int:
        """As trained; for a number of segments that no weights were trained with, the largest number of tokens with
        which the whole sequence is made of full mini-batches."""
        longest = super().text_length(num_segments, size_px)
        if self.settings is None or num_segments in self.card.text.by_num_segments:
            return longest
        video = (self.settings.segment_latent_frames * num_segments + 1) * self._tokens_per_frame(size_px)
        mini_batch = self.settings.mini_batch_size
        fitting = (n for n in range(longest, 0, -1) if (n * num_segments + video) % mini_batch == 0)
        return next(fitting, longest)

    def joint_cost(self, size_px: SizePx, num_segments: int, num_branches: int) -> JointCost | None:
        card = self.card
        if card.joint is None:
            return None
        num_text, per_frame = self.text_length(num_segments, size_px), self._tokens_per_frame(size_px)
        per_segment = card.joint.segment_num_frames // card.autoencoder.temporal_factor
        num_tokens = num_segments * num_text + (num_segments * per_segment + 1) * per_frame
        window = num_text + (per_segment + 1) * per_frame
        local = _local_operations(card.network.width, num_segments, window, num_tokens)
        sequence_bytes = LIVE_COPIES * num_tokens * card.network.width * BYTES[card.precision]
        memory_bytes = card.network.num_parameters * BYTES[card.precision] + num_branches * sequence_bytes
        return JointCost(num_tokens, memory_bytes, (local + _ttt_operations(card, num_tokens)) / local)

    def _tokens_per_frame(self, size_px: SizePx) -> int:
        return (size_px[0] // self.card.grid_px) * (size_px[1] // self.card.grid_px)


def _local_operations(width: int, num_windows: int, window: int, num_tokens: int) -> int:
    """Of one block: projections (8 D^2 a token) and attention (4 N D a token) in each window, feed-forward (16 D^2)."""
    return num_windows * window * (8 * width**2 + 4 * window * width) + 16 * num_tokens * width**2


def _ttt_operations(card: BaseCard, num_tokens: int) -> int:
    """Of one block, both directions: projections (8 D^2 a token), and the inner model's use and training.

    Products of a token with the inner weights, d^2 each way: the linear one forward for the key and for the query and
    once for the gradient; the MLP, of two matrices d x 4d, the same, and once more back through the second matrix.
    """
    settings = card.settings_as(TttSettings)
    if settings is not None and settings.ssm_layer == "none":
        return 0
    width, head = card.network.width, card.network.width // card.network.num_heads
    products = 3 if settings is not None and settings.ssm_layer == "ttt_linear" else 3 * 8 + 4
    return 2 * num_tokens * (8 * width**2 + 2 * products * head * width)
