"""In which order the TTT layers scan the tokens, and which step sizes each mini-batch uses.

Comes in: numbers of segments, text tokens, latent frames and patches. Goes out: ``ScanOrder``, one per direction.
Tokens are numbered as [all text, segment after segment | all video, in raster order]. Does not know their contents.

Letters: N all tokens of text and video, L text tokens of a segment, T latent frames, S tokens of one latent frame,
n segments, C tokens of a mini-batch, d head width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.contract.errors import Rejected


@dataclass(frozen=True, slots=True)
class Extent:
    """How many tokens a film has: n segments of L text tokens, T latent frames of S tokens."""

    num_segments: int
    text_tokens: int
    latent_frames: int
    tokens_per_frame: int
    segment_latent_frames: int

    @property
    def num_text(self) -> int:
        return self.num_segments * self.text_tokens

    @property
    def num_tokens(self) -> int:
        return self.num_text + self.latent_frames * self.tokens_per_frame


@dataclass(frozen=True, slots=True)
class ScanOrder:
    """``tokens`` (N,): the token at each place of the scan. ``steps`` (N,): the token that gives its step size.
    ``rotations`` (N, d/2) complex: its rotary position; text is not rotated."""

    tokens: Tensor
    steps: Tensor
    rotations: Tensor


def check_segments(extent: Extent) -> None:
    """Raises Rejected("frames") unless every latent frame is in a segment that has a text."""
    n, length = extent.num_segments, extent.segment_latent_frames
    if n < 1:
        raise Rejected("frames", "a film needs at least one segment with its text")
    if extent.latent_frames != n * length + 1:
        raise Rejected(
            "frames",
            f"{n} segments are {n} x {length} + 1 = {n * length + 1} latent frames, not {extent.latent_frames}: "
            "give every segment one text, and the film as many frames as its segments have",
        )


def scan_orders(extent: Extent, mini_batch_size: int, rotations: Tensor) -> tuple[ScanOrder, ScanOrder]:
    """Forward and backward. ``rotations`` (T, S, d/2): of the video's tokens.

    The backward order is the same scan over the reversed film, so that its first token of video (the last of the film)
    has the rotary position (0, 0, 0).
    """
    device = rotations.device
    tokens = interleaved(extent).to(device)
    steps = step_places(tokens, mini_batch_size)
    no_rotation = rotations.new_ones(extent.num_text, rotations.shape[-1])
    ordered_rotations = torch.cat([no_rotation, rotations.flatten(0, 1)])[tokens]
    reversed_numbers = reversed_tokens(extent).to(device)
    backward = ScanOrder(reversed_numbers[tokens], reversed_numbers[steps], ordered_rotations)
    return ScanOrder(tokens, steps, ordered_rotations), backward


def interleaved(extent: Extent) -> Tensor:
    """Place in the scan -> token: each segment's text before its video; the shared first frame goes to the first."""
    tokens = torch.arange(extent.num_tokens)
    text, video = tokens[: extent.num_text], tokens[extent.num_text :]
    later = extent.segment_latent_frames * extent.tokens_per_frame
    videos = video.split([later + extent.tokens_per_frame] + [later] * (extent.num_segments - 1))
    texts = text.split(extent.text_tokens)
    return torch.cat([part for pair in zip(texts, videos, strict=True) for part in pair])


def reversed_tokens(extent: Extent) -> Tensor:
    """Token of the reversed film -> token: segments' texts in reverse order, each read forwards; video flipped."""
    tokens = torch.arange(extent.num_tokens)
    text = tokens[: extent.num_text].view(extent.num_segments, -1).flip(0).flatten()
    return torch.cat([text, tokens[extent.num_text :].flip(0)])


def step_places(places: Tensor, mini_batch_size: int) -> Tensor:
    """(N,) place in the scan -> token whose step size is used there, as the kernels the weights were trained with do.

    They cut the step sizes into mini-batches before text and video are interleaved, and give a mini-batch of the scan
    the block that its last token came from. Unless L and S are multiples of C, those belong to other tokens.
    A last, shorter mini-batch (which those kernels refuse) does the same.
    """
    num, size = len(places), mini_batch_size
    start = torch.arange(num, device=places.device) // size * size
    last = places[(start + size - 1).clamp(max=num - 1)]
    within = torch.arange(num, device=places.device) - start
    return (last // size * size + within).clamp(max=num - 1)
