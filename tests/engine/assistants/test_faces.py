"""Faces become coarse pixels, and nothing else changes; a detector that cannot run says what is missing."""

from pathlib import Path

import numpy as np
import pytest

from engine.assistants.faces import NUM_BLOCKS, YuNet, pixelate
from engine.contract.errors import AssistantFailed


def test_boxes_are_coarse_and_the_rest_is_as_it_was() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    boxes = [(10, 5, 40, 40), (70, 50, 30, 30), (60, 5, 10, 10)]  # the second reaches out of the frame
    coarse = pixelate(frame, boxes)
    face = coarse[5:45, 10:50].reshape(-1, 3)
    assert len(np.unique(face, axis=0)) <= NUM_BLOCKS**2
    assert len(np.unique(coarse[50:, 70:].reshape(-1, 3), axis=0)) <= NUM_BLOCKS**2
    changed = (coarse != frame).any(axis=2)
    assert changed[5:45, 10:50].mean() > 0.9
    changed[5:45, 10:50] = changed[50:, 70:] = False
    assert not changed.any(), "a face of 10 pixels cannot be recognised, and is left"


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(AssistantFailed, match=r"yunet\.onnx.*are not there.*Put the file"):
        YuNet(tmp_path / "yunet.onnx")
