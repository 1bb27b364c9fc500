"""Faces in frames: found by a detector, made unrecognisable by coarse pixels. All faces, whoever they are of.

Comes in: frames (H, W, 3) uint8. Goes out: frames of the same shape. YuNet runs through OpenCV, which is an extra of
this package; its weights are one file that is downloaded by hand. Does not know files of video, takes or policies.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import AssistantFailed

Frame = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""(left, top, width, height) in pixels; it may reach beyond the frame."""

NUM_BLOCKS = 5
"""A face becomes so many pixels in each direction."""
MIN_SIDE_PX = 20
"""Smaller faces cannot be recognised."""
YUNET = Path("opencv/face_detection_yunet/face_detection_yunet_2023mar.onnx")
"""Under the models' root; published as opencv/face_detection_yunet."""


class FaceDetector(Protocol):
    def boxes(self, frame: Frame) -> list[Box]: ...


def pixelate(frame: Frame, boxes: Sequence[Box]) -> Frame:
    """A copy in which each box is NUM_BLOCKS x NUM_BLOCKS areas of one colour; boxes under MIN_SIDE_PX are left."""
    coarse = frame.copy()
    height, width = frame.shape[:2]
    for left, top, box_width, box_height in boxes:
        if min(box_width, box_height) < MIN_SIDE_PX:
            continue
        columns = _edges(left, left + box_width, width)
        rows = _edges(top, top + box_height, height)
        for y0, y1 in zip(rows, rows[1:], strict=False):
            for x0, x1 in zip(columns, columns[1:], strict=False):
                if y1 > y0 and x1 > x0:
                    coarse[y0:y1, x0:x1] = np.rint(frame[y0:y1, x0:x1].mean(axis=(0, 1)))
    return coarse


def _edges(start: int, end: int, limit: int) -> list[int]:
    """Of the blocks between two sides of a box, inside the frame."""
    return [min(max(round(edge), 0), limit) for edge in np.linspace(start, end, NUM_BLOCKS + 1)]


class YuNet:
    """OpenCV's face detector. ``threshold``: of its confidence, 0 to 1."""

    def __init__(self, weights: Path, threshold: float = 0.7) -> None:
        """Raises AssistantFailed where OpenCV or the weights are missing, naming what to do."""
        if not weights.is_file():
            what = f"{weights}: the weights of the face detector are not there"
            raise AssistantFailed(f"{what}. Put the file of https://huggingface.co/opencv/face_detection_yunet there.")
        try:
            import cv2  # pyright: ignore[reportMissingImports]  (an extra)
        except ImportError as error:
            raise AssistantFailed("OpenCV is missing. Install it: pip install 'storyboard-studio[faces]'.") from error
        opencv: Any = cv2
        try:
            self._detector: Any = opencv.FaceDetectorYN.create(str(weights), "", (320, 320), threshold, 0.4, 5000)
        except opencv.error as error:
            raise AssistantFailed(f"{weights}: is no model that OpenCV can read. Download it again.") from error

    def boxes(self, frame: Frame) -> list[Box]:
        height, width = frame.shape[:2]
        self._detector.setInputSize((width, height))
        found: Any = self._detector.detect(np.ascontiguousarray(frame[:, :, ::-1]))[1]  # it wants blue first
        faces = [] if found is None else [[round(float(side)) for side in face[:4]] for face in found]
        return [(left, top, wide, high) for left, top, wide, high in faces]
