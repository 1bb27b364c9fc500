"""Frame arithmetic: seconds to frames and segments, frames to latent frames and chunks, strength to a first step.

Comes in and goes out: numbers, and ``Chunk``. Each function's docstring says how it rounds. Pure. Does not know
storyboards, models' names or tensors.
"""

import math
from dataclasses import dataclass


def num_frames_for(duration_s: float, fps: float) -> int:
    """The whole number of frames nearest to a duration, at least one. Half a frame rounds up."""
    return max(1, math.floor(duration_s * fps + 0.5))


def num_segments_for(duration_s: float, segment_s: float) -> int:
    """The whole number of segments nearest to a duration, at least one. Half a segment rounds up."""
    return max(1, math.floor(duration_s / segment_s + 0.5))


def num_latent_frames(num_frames: int, temporal_factor: int) -> int:
    """Latent frames of a causal video autoencoder: 1 + ceil((F - 1) / factor)."""
    return 1 + math.ceil((num_frames - 1) / temporal_factor)


def num_pixel_frames(num_latent_frames: int, temporal_factor: int) -> int:
    """Pixel frames that a causal video autoencoder decodes from latent frames: factor * (T - 1) + 1."""
    return temporal_factor * (num_latent_frames - 1) + 1


def on_grid(num_frames: int, temporal_factor: int) -> bool:
    """Whether a number of frames is exactly representable: 1, 1 + factor, 1 + 2 * factor ..."""
    return num_frames >= 1 and (num_frames - 1) % temporal_factor == 0


def start_step(num_steps: int, strength: float) -> int:
    """At which of N steps a re-imagined clip begins: 0 (from noise) at strength 1, N (it is kept) at strength 0.

    Truncated in double precision, as Cosmos-Predict2's script does: 0.8 of 35 steps begins at 6, not at 7.
    """
    return int(num_steps * (1.0 - strength))


@dataclass(frozen=True, slots=True)
class Chunk:
    """The frames of one sampler call. ``num_overlap_frames`` of them repeat what came before and are dropped."""

    num_frames: int
    num_overlap_frames: int

    @property
    def num_new_frames(self) -> int:
        return self.num_frames - self.num_overlap_frames


def chunks_for(num_frames: int, chunk_num_frames: int, first_overlap: int, next_overlap: int) -> tuple[Chunk, ...]:
    """Splits a scene into chunks of one fixed length that together give at least ``num_frames`` new frames.

    ``first_overlap`` frames of the first chunk come from the take before (0 for a cut or a picture, whose frame is
    shown), ``next_overlap`` frames of each later one from the chunk before.
    """
    chunks = [Chunk(chunk_num_frames, first_overlap)]
    while sum(chunk.num_new_frames for chunk in chunks) < num_frames:
        chunks.append(Chunk(chunk_num_frames, next_overlap))
    return tuple(chunks)
