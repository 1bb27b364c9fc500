"""Measures of faults, on clips whose faults are known by construction."""

import numpy as np
import pytest

from engine.assistants.built_in import measures
from engine.storage.media import Frames

SCENE = np.random.default_rng(0).integers(60, 190, (1, 16, 24, 3)).astype(np.float64)


def clip(pixels: object) -> Frames:
    return np.clip(np.round(np.asarray(pixels)), 0, 255).astype(np.uint8)


def sliding(num_frames: int = 16) -> Frames:
    """A picture that moves by a pixel a frame: no fault."""
    return clip(np.concatenate([np.roll(SCENE, i, axis=2) for i in range(num_frames)]))


def moving(gain: np.ndarray | float = 1.0, plus: np.ndarray | float = 0.0) -> Frames:
    return clip(sliding().astype(np.float64) * gain + plus)


def severities(frames: Frames, before: Frames | None = None) -> dict[str, float]:
    return {fault.name: fault.severity for fault in measures.faults(frames, before)}


TIME = np.arange(16.0)[:, None, None, None]
NOISE = np.random.default_rng(1).normal(0, 1, (16, 16, 24, 3))
SMOOTH = np.broadcast_to(np.linspace(60, 190, 24)[None, None, :, None], (16, 16, 24, 3))
FAULTY = {
    "empty": clip(np.zeros((16, 16, 24, 3))),
    "frozen": clip(np.repeat(SCENE, 16, axis=0)),
    "jump": np.concatenate([clip(np.full((8, 16, 24, 3), 70) + 9 * NOISE[:8]), clip(180 + 9 * NOISE[8:])]),
    "flicker": moving(plus=12 * (-1) ** TIME),
    "exploding": clip(SMOOTH + 0.05 * TIME**2.5 * NOISE),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_seen(name: str) -> None:
    assert severities(FAULTY[name])[name] > 0.9


@pytest.mark.parametrize("frames", [sliding(), moving(gain=1 - TIME / 20), moving(plus=NOISE)])
def test_movement_fades_and_grain_are_no_faults(frames: Frames) -> None:
    assert max(severities(frames).values()) == 0
    assert measures.quality(measures.faults(frames)) == 1


def test_half_black_is_half_as_good() -> None:
    frames = np.concatenate([np.zeros_like(sliding(8)), sliding(8)])
    assert severities(frames)["empty"] == 0.5


def test_a_seam_is_what_exceeds_the_usual_change() -> None:
    whole = clip(sliding(32) / 8 + 60)
    assert severities(whole[16:], whole[:16])["seam"] == 0
    assert severities(whole[16:] + np.uint8(60), whole[:16])["seam"] > 0.9


def test_one_frame_is_measured_too() -> None:
    assert severities(sliding(1), sliding(1)) == dict.fromkeys(
        ("empty", "frozen", "jump", "flicker", "exploding"), 0
    ) | {"seam": 0}
