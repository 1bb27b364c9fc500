"""Conditioning pictures and clips: how they are resized and cropped, to the level.

Comes in: a case whose sources are a formula. Does not know latents.

The clip's size as stated in the published case (157x313) is not the one its frames were made from: those are frames of
37x29, found by taking the formula's slope from the golden frames, and reproduced to the last level. A stated size that
gives other frames is therefore searched for.

Letters: F H W frames and pixels.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from engine.contract.values import SizePx
from engine.runtime.conditioning import crop_offset, fit, resized_shape
from engine.storage.media import Frames
from tests.goldens.runner import Case, Description, kind

CLIP = re.compile(r"(\d+) frames of (\d+)x(\d+)")
KEPT = re.compile(r"frames ([\d,]+) of the (\d+)-frame")
CLIP_NAME = re.compile(r"video_nlat(\d+)")
FOUND_PX = (37, 29)
SEARCHED_PX = range(8, 129)
EQUAL_SHARE = 0.995
TEMPORAL_FACTOR = 4


def is_resize(description: Description) -> bool:
    return "synthetic_image" in description or "shape_table" in description


def synthetic(size: SizePx, k: list[int], frame: int = 0) -> Frames:
    """(1, H, W, 3) by the case's formula: k0 and k1 move with the frame."""
    y, x, c = np.meshgrid(np.arange(size[1]), np.arange(size[0]), np.arange(3), indexing="ij")
    levels = x * (k[0] + frame) + y * (k[1] + 2 * frame) + c * k[2] + (x * y) % k[3] * k[4]
    return (levels % 256).astype(np.uint8)[None]


def target_of(case: Case) -> SizePx:
    return case.description["target"]["width"], case.description["target"]["height"]


def difference(ours: Frames, golden: Tensor) -> np.ndarray[Any, np.dtype[np.int64]]:
    """ours (F, H, W, 3), golden (F, 3, H, W)."""
    return np.abs(ours.transpose(0, 3, 1, 2).astype(np.int64) - golden.numpy().astype(np.int64))


def is_same(ours: Frames, golden: Tensor, max_levels: int) -> bool:
    far = difference(ours, golden)
    return far.max() <= max_levels and np.mean(far == 0) >= EQUAL_SHARE


def assert_same(ours: Frames, golden: Tensor, max_levels: int, what: str) -> None:
    far = difference(ours, golden)
    print(f"{what}: max {far.max()}, mean {far.mean():.2e}, equal {np.mean(far == 0):.4f}")
    assert is_same(ours, golden, max_levels), f"{what}: max {far.max()} levels, equal {np.mean(far == 0):.4f}"


@kind("conditioning_resize", recognises=is_resize)
def pictures(case: Case) -> None:
    if "per_image" not in case.description:
        return
    golden, k, target = case.tensors(), case.description["synthetic_image"]["k"], target_of(case)
    for image in case.description["per_image"]:
        size, key = (image["src_w"], image["src_h"]), image["key"]
        source = synthetic(size, k)
        assert int(source.sum()) == image["src_sum"], f"{key}: the source is not the golden's"
        assert resized_shape(size, target) == (image["resized_w"], image["resized_h"])
        assert crop_offset(resized_shape(size, target), target) == (image["crop_left"], image["crop_top"])
        assert_same(fit(source, target), golden[key][None], case.description["tolerance"]["max_abs"], key)


@kind("conditioning_resize", recognises=is_resize)
def shapes(case: Case) -> None:
    for row in case.description.get("shape_table", []):
        source, target = tuple(row["src_wh"]), tuple(row["target_wh"])
        resized = resized_shape(source, target)
        assert list(resized) == row["resized_wh"], f"{source} to {target}"
        assert list(crop_offset(resized, target)) == row["crop_left_top"], f"{source} to {target}"


@kind("conditioning_resize", recognises=is_resize)
def clips(case: Case) -> None:
    """The last 4 (T - 1) + 1 frames of the clip; what follows them repeats the last."""
    if "video" not in case.description.get("synthetic_image", {}):
        return
    golden, target = case.tensors(), target_of(case)
    names = {name: int(found[1]) for name in golden if (found := CLIP_NAME.fullmatch(name))}
    if not names:
        return
    k, max_levels = case.description["synthetic_image"]["k"], case.description["tolerance"]["max_abs"]
    found = CLIP.search(case.description["synthetic_image"]["video"])
    assert found is not None, "the case does not say what its clip is"
    num_frames, stated = int(found[1]), (int(found[2]), int(found[3]))
    last = golden[next(iter(names))][-1:]
    size = next(
        (size for size in sizes(stated) if is_same(fit(synthetic(size, k, num_frames - 1), target), last, max_levels)),
        stated,
    )
    print(f"the clip's frames are of {size[0]}x{size[1]}, stated as {stated[0]}x{stated[1]}")
    clip = np.concatenate([synthetic(size, k, frame) for frame in range(num_frames)])
    for name, num_latents in names.items():
        given = fit(clip[-(TEMPORAL_FACTOR * (num_latents - 1) + 1) :], target)
        indices = kept_indices(case.description["tensors"][name]["meaning"])
        ours = np.stack([given[min(index, len(given) - 1)] for index in indices])
        assert_same(ours, golden[name], max_levels, name)


def sizes(stated: SizePx) -> Iterator[SizePx]:
    yield from (stated, FOUND_PX)
    yield from itertools.product(SEARCHED_PX, SEARCHED_PX)


def kept_indices(meaning: str) -> list[int]:
    """Which frames of the padded clip the case holds."""
    found = KEPT.search(meaning)
    assert found is not None, f"which frames are kept: {meaning}"
    return [int(index) for index in found[1].split(",")]


@kind("conditioning_resize", recognises=is_resize)
def frame_by_frame(case: Case) -> None:
    """A clip is fitted as its frames are."""
    if "synthetic_image" not in case.description:
        return
    k, target = case.description["synthetic_image"]["k"], target_of(case)
    frames = np.concatenate([synthetic(FOUND_PX, k, frame) for frame in range(3)])
    apart = np.concatenate([fit(frame[None], target) for frame in frames])
    assert np.array_equal(fit(frames, target), apart)
