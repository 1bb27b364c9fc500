"""Frames as pixels and back: the two roundings at their edges, and the groups of one latent frame each."""

import numpy as np
import torch
from torch import Tensor

from engine.layers.pixels import pixels_from, rounded_frames, split_by_latent_frame, truncated_frames
from engine.storage.media import Frames

EDGES = [-2.0, -1.0, 0.0, 0.9999, 1.0, 3.0]


def one_pixel_frames(values: list[float]) -> Tensor:
    return torch.tensor(values).view(1, 1, -1, 1, 1).expand(1, 3, len(values), 1, 1)


def levels_of(frames: Frames) -> list[int]:
    assert frames.shape[1:] == (1, 1, 3) and frames.dtype == np.uint8
    return frames[:, 0, 0, 0].tolist()


def test_levels_are_truncated() -> None:
    assert levels_of(truncated_frames(one_pixel_frames(EDGES))) == [0, 0, 127, 254, 255, 255]


def test_levels_are_rounded() -> None:
    assert levels_of(rounded_frames(one_pixel_frames(EDGES))) == [0, 0, 128, 255, 255, 255]


def test_rounding_gives_every_frame_back() -> None:
    frames = np.random.RandomState(0).randint(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    pixels = pixels_from(frames, torch.device("cpu"), torch.float32)
    assert pixels.shape == (1, 3, 3, 4, 5)
    assert abs(float(pixels[0, 1, 2, 3, 4]) - (frames[2, 3, 4, 1] / 127.5 - 1.0)) < 1e-6
    assert np.array_equal(rounded_frames(pixels), frames)


def test_the_first_latent_frame_is_one_frame_and_each_other_is_a_group() -> None:
    frames = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1).repeat(3, axis=-1)
    assert [levels_of(group) for group in split_by_latent_frame(frames, 4)] == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert [levels_of(group) for group in split_by_latent_frame(frames[:1], 4)] == [[0]]
