"""What one step of a jointly denoised storyboard costs: tokens, memory, and arithmetic against local attention alone.

Comes in: a model card's sizes, a size in pixels, a number of segments. Goes out: ``JointCost``. Pure arithmetic about
TTT-Video's network (arXiv 2504.05298): local attention over each segment of 13 latent frames with its text, and
test-time training over the whole sequence, forwards and backwards. Does not know devices; the time a step takes is
measured, never computed.

Letters: N tokens of the sequence, D width, d width of a head.
"""

from dataclasses import dataclass

from engine.contract.cards import ModelCard
from engine.contract.values import SizePx

LIVE_COPIES = 12
"""Of the token sequence, that are alive at once where a block needs most: the stream itself, what attention reads and
writes, and the four times wider middle of the feed-forward layer."""
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class JointCost:
    """``ratio``: operations of a pass against those of a network with local attention alone."""

    num_tokens: int
    memory_bytes: int
    ratio: float

    @property
    def text(self) -> str:
        memory = f"about {self.memory_bytes / 2**30:.1f} GiB for the network and its sequence"
        ratio = "local attention alone, without layers that learn the film"
        if self.ratio > 1:
            ratio = f"{self.ratio:.2f} times the arithmetic of local attention alone"
        return f"each step denoises {self.num_tokens:,} tokens together: {memory}, {ratio}"


def joint_cost(card: ModelCard, size_px: SizePx, num_segments: int, num_branches: int = 1) -> JointCost:
    """Of one pass through the network; ``num_branches``: of guidance, that run in one batch."""
    assert card.joint is not None
    num_text = card.text_length(num_segments, size_px)
    per_frame = (size_px[0] // card.grid_px) * (size_px[1] // card.grid_px)
    per_segment = card.joint.segment_num_frames // card.autoencoder.temporal_factor
    num_tokens = num_segments * num_text + (num_segments * per_segment + 1) * per_frame
    local = _local_operations(card.network.width, num_segments, num_text + (per_segment + 1) * per_frame, num_tokens)
    trained = _ttt_operations(card, num_tokens)
    bytes_each = BYTES[card.precision]
    sequence_bytes = LIVE_COPIES * num_tokens * card.network.width * bytes_each
    memory_bytes = card.network.num_parameters * bytes_each + num_branches * sequence_bytes
    return JointCost(num_tokens, memory_bytes, (local + trained) / local)


def _local_operations(width: int, num_windows: int, window: int, num_tokens: int) -> int:
    """Of one block: projections (8 D^2 a token) and attention (4 N D a token) in each window, feed-forward (16 D^2)."""
    return num_windows * window * (8 * width**2 + 4 * window * width) + 16 * num_tokens * width**2


def _ttt_operations(card: ModelCard, num_tokens: int) -> int:
    """Of one block, both directions: projections (8 D^2 a token), and the inner model at work and in training.

    Products of a token with the inner weights, d^2 each way: the linear one forward for the key and for the query and
    once for the gradient; the MLP, of two matrices d x 4d, the same, and once more back through the second matrix.
    """
    if card.ttt is not None and card.ttt.ssm_layer == "none":
        return 0
    width, head = card.network.width, card.network.width // card.network.num_heads
    products = 3 if card.ttt is not None and card.ttt.ssm_layer == "ttt_linear" else 3 * 8 + 4
    return 2 * num_tokens * (8 * width**2 + 2 * products * head * width)
