"""The rendered world: what is drawn can be read back from the pixels, and the held-out combinations are what they say.

In: rendered clips. Out: assertions. Does not know: the trained model.
"""

import itertools
from dataclasses import astuple

import numpy as np
import pytest

from tools.diorama import measure, world


def test_exactly_200_of_900_combinations_are_held_out() -> None:
    held_out, training = set(world.held_out_combinations()), set(world.training_combinations())
    assert (len(held_out), len(training)) == (200, 700)
    assert held_out | training == set(world.all_combinations()) and not held_out & training


def test_every_pair_of_attribute_values_is_seen_in_training() -> None:
    for first, second in itertools.combinations(range(4), 2):
        seen = {(astuple(c)[first], astuple(c)[second]) for c in world.training_combinations()}
        every = {(astuple(c)[first], astuple(c)[second]) for c in world.all_combinations()}
        assert seen == every


def test_a_seed_gives_one_clip() -> None:
    c = world.Combination("fish", "blue", "left", "night")
    assert np.array_equal(world.render(c, 3).frames, world.render(c, 3).frames)
    assert not np.array_equal(world.render(c, 3).frames, world.render(c, 4).frames)


@pytest.fixture(scope="module")
def truth() -> list[world.Clip]:
    return [world.render(c, i) for i, c in enumerate(world.held_out_combinations()[::8])]


@pytest.fixture(scope="module")
def readings(truth: list[world.Clip]) -> list[measure.Reading]:
    return [measure.read(clip.frames) for clip in truth]


@pytest.mark.parametrize(("attribute", "wrong"), [("colour", 0), ("motion", 0), ("setting", 0), ("subject", 1)])
def test_truth_is_read_back(
    truth: list[world.Clip], readings: list[measure.Reading], attribute: str, wrong: int
) -> None:
    pairs = zip(readings, truth, strict=True)
    assert sum(getattr(r, attribute) != getattr(c.combination, attribute) for r, c in pairs) <= wrong


def test_first_frames_do_not_tell_the_motion() -> None:
    """Starts of opposite motions overlap: each has a good share of its starts in the middle of the picture."""
    for motion in world.MOTIONS:
        starts = [
            measure.centre(world.render(world.Combination("ball", "red", motion, "snow"), s).frames[0])
            for s in range(12)
        ]
        central = [36 <= x <= 60 and 27 <= y <= 37 for x, y in (s for s in starts if s is not None)]
        assert np.mean(central) >= 0.35, motion


def test_a_still_picture_holds_the_subject_in_the_middle() -> None:
    x, y = measure.centre(world.render_still(world.Combination("car", "green", "up", "meadow"), 1)) or (0, 0)
    assert abs(x - 48) < 6 and abs(y - 32) < 6


def test_coverage_is_where_the_subject_is(truth: list[world.Clip]) -> None:
    clip = truth[0]
    assert clip.coverage.shape == clip.frames.shape[:3] and 0 <= clip.coverage.min() and clip.coverage.max() <= 1
    assert (
        measure.chroma(clip.frames)[clip.coverage > 0.99].mean()
        > measure.chroma(clip.frames)[clip.coverage < 0.01].mean()
    )
