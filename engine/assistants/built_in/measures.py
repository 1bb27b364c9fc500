"""Faults of a clip that numbers show without any model: empty, frozen, jumping, flickering, exploding frames, a seam.

Comes in: frames (F, H, W, 3) uint8, perhaps those of the scene before. Goes out: for each fault how bad it is, 0 (not
there) to 1, and a text. Does not know prompts, models or files. The thresholds are set where one begins to see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.storage.media import Frames

Floats = NDArray[np.floating]
BLACK_LUMA, BLANK_DEVIATION = 20.0, 2.0
MOVED_LEVELS, MOVED_SHARE = 4, 0.001
"""A frame differs from the one before where this share of its pixels changes by more than so many levels."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``severity``: 0 to 1. ``text``: what is seen, as a reason of a critique."""

    name: str
    severity: float
    text: str


def faults(frames: Frames, before: Frames | None = None) -> tuple[Fault, ...]:
    """Every measure, those that found nothing too. ``before``: the last frames of the scene that this one continues."""
    luma = luma_of(frames)
    steps = step_sizes(frames)
    found = [empty(luma), frozen(frames), jump(steps), flicker(luma), exploding(frames, luma)]
    if before is not None and len(before):
        found.append(seam(before, frames))
    return tuple(found)


def luma_of(frames: Frames) -> Floats:
    """(F, H, W) float32, 0 to 255 (Rec. 709's weights)."""
    return frames.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def step_sizes(frames: Frames) -> Floats:
    """(F - 1,): the mean change from each frame to the next, in [0, 1]."""
    pairs = zip(frames[:-1], frames[1:], strict=True)
    return np.array([distance(a, b) for a, b in pairs] or [0.0])


def distance(a: Frames, b: Frames) -> float:
    """Mean absolute difference of two frames of one size, in [0, 1]."""
    return float(np.abs(a.astype(np.float32) - b).mean()) / 255


def empty(luma: Floats) -> Fault:
    """The share of frames that are black or of one flat colour."""
    black = np.percentile(luma, 99, axis=(1, 2)) < BLACK_LUMA
    flat = luma.std(axis=(1, 2)) < BLANK_DEVIATION
    share = float((black | flat).mean())
    what = "black" if black.sum() * 2 >= (black | flat).sum() else "of one flat colour"
    return Fault("empty", share, f"{_percent(share)} of the frames are {what}")


def frozen(frames: Frames) -> Fault:
    """Nothing moves: over half of the frames are like the ones before them."""
    pairs = zip(frames[:-1].astype(np.int16), frames[1:].astype(np.int16), strict=True)
    moved = [float((np.abs(b - a).max(-1) > MOVED_LEVELS).mean()) > MOVED_SHARE for a, b in pairs]
    share = 1 - float(np.mean(moved)) if moved else 0.0
    return Fault("frozen", _ramp(share, 0.5, 1.0), f"nothing moves in {_percent(share)} of the frames")


def jump(steps: Floats) -> Fault:
    """One change between two frames that is far larger than the others: a cut inside the scene."""
    at, usual = int(steps.argmax()), float(np.median(steps))
    severity = _ramp(float(steps[at]), max(4 * usual, 0.04), max(4 * usual, 0.04) + 0.12)
    return Fault("jump", severity, f"the picture jumps at frame {at + 1}")


def flicker(luma: Floats) -> Fault:
    """Brightness goes up and down from frame to frame; a fade is none."""
    mean = luma.mean(axis=(1, 2))
    bends = mean[2:] - 2 * mean[1:-1] + mean[:-2]
    rms = float(np.sqrt((bends**2).mean())) / 255 if len(bends) else 0.0
    return Fault("flicker", _ramp(rms, 0.01, 0.06), "the brightness flickers")


def exploding(frames: Frames, luma: Floats) -> Fault:
    """Fine detail or clipped colours grow along the clip, as noise does where a model loses its way."""
    across, down = np.abs(np.diff(luma, axis=2)).mean(axis=(1, 2)), np.abs(np.diff(luma, axis=1)).mean(axis=(1, 2))
    growth = math.log2(_late(across + down, 4.0))
    clipped = [float(np.isin(frame, (0, 255)).mean()) for frame in frames]
    quarter = max(1, len(clipped) // 4)
    more_clipped = (sum(clipped[-quarter:]) - sum(clipped[:quarter])) / quarter
    severity = max(_ramp(growth, 0.6, 2.0), _ramp(more_clipped, 0.1, 0.4))
    return Fault("exploding", severity, "noise or clipped colours grow towards the end")


def seam(before: Frames, frames: Frames) -> Fault:
    """How far the first frame is from the last one of the scene before, beyond the usual change from frame to frame."""
    if before.shape[1:] != frames.shape[1:]:
        return Fault("seam", 0.0, "the scene before has another size")
    usual = max(float(np.median(step_sizes(before))), float(np.median(step_sizes(frames))))
    gap = distance(before[-1], frames[0])
    return Fault("seam", _ramp(gap, 2 * usual + 0.01, 2 * usual + 0.13), "it does not join the scene before it")


def quality(found: Sequence[Fault]) -> float:
    """1 without faults, 0 where one of them is as bad as can be."""
    return math.prod(1 - fault.severity for fault in found)


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to ``low``, 1 from ``high`` on."""
    return float(np.clip((value - low) / (high - low), 0, 1))


def _late(series: Floats, floor: float) -> float:
    """The last quarter's mean over the first's, both raised by ``floor``."""
    quarter = max(1, len(series) // 4)
    return (float(series[-quarter:].mean()) + floor) / (float(series[:quarter].mean()) + floor)


def _percent(share: float) -> str:
    return f"{round(100 * share)}%"
