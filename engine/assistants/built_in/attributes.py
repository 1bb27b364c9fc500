"""Reads subject, colour, motion and setting from the pixels of a clip of a small model whose card brings its looks.

Comes in: frames (F, H, W, 3) uint8; ``looks.json`` and ``subjects.safetensors`` of the folder that a card names
(``ModelCard.built_in``). Goes out: for each attribute the value that is seen and how likely each value is. Subjects are
saturated and settings pastel, so that the pixels of high chroma are the subject. Does not know prompts.
"""

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError

from engine.assistants.built_in.subject_net import SubjectNet
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.values import Value
from engine.storage.card_files import BUNDLED_ROOT
from engine.storage.media import Frames

LOOKS, WEIGHTS = "looks.json", "subjects.safetensors"
FEWEST_SUBJECT_PIXELS = 12
FEWEST_FRAMES = 6
_HUE_SPREAD, _SETTING_SPREAD, _STAY_SPREAD_PX = math.radians(12), 12.0, 1.5
_SAME_ASPECT = 0.03


class Looks(Value):
    """What the values look like. ``settings``: the median colours of the top and the bottom rows. ``motions``: (x, y)
    signs, y downwards; (0, 0) stays. Lengths are pixels of ``size_px``."""

    size_px: tuple[int, int]
    subject_chroma: float
    stay_px: float
    crop_px: int
    num_top_rows: int
    num_bottom_rows: int
    subjects: tuple[str, ...]
    colours: dict[str, tuple[int, int, int]]
    motions: dict[str, tuple[int, int]]
    settings: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Seen:
    """``value`` None: nothing to read it from. ``likelihoods``: by value, they sum to 1 (or all are 0)."""

    value: str | None
    likelihoods: Mapping[str, float]


class AttributeReader:
    """Thread-safe. ``net`` None: subjects are not named, as before there is a network."""

    def __init__(self, looks: Looks, net: SubjectNet | None) -> None:
        self.looks = looks
        self._net = net
        self._hues = {
            name: colorsys.rgb_to_hsv(*(v / 255 for v in rgb))[0] * 2 * math.pi for name, rgb in looks.colours.items()
        }

    def read(self, frames: Frames) -> dict[str, Seen] | None:
        """By attribute; None for a clip that is too short or of another shape."""
        fitted = self.fitted(frames)
        if fitted is None:
            return None
        readers = {"subject": self.subject, "colour": self.colour, "motion": self.motion, "setting": self.setting}
        return {name: reader(fitted) for name, reader in readers.items()}

    def fitted(self, frames: Frames) -> Frames | None:
        """At the size that the looks are of."""
        width, height = self.looks.size_px
        shape = frames.shape[1:3]
        if len(frames) < FEWEST_FRAMES or abs(shape[1] * height / (shape[0] * width) - 1) > _SAME_ASPECT:
            return None
        if shape == (height, width):
            return frames
        resized = (Image.fromarray(frame).resize((width, height), Image.Resampling.BOX) for frame in frames)
        return np.stack([np.asarray(image) for image in resized])

    def subject(self, frames: Frames) -> Seen:
        """What most frames agree on: the mean of log-probabilities over every fourth frame."""
        crops = [crop for crop in map(self.crop, frames[::4]) if crop is not None]
        if not crops or self._net is None:
            return _nothing(self.looks.subjects)
        mean = self._net.log_probabilities(np.stack(crops)).mean(0)
        return _seen(dict(zip(self.looks.subjects, np.exp(mean).tolist(), strict=True)))

    def colour(self, frames: Frames) -> Seen:
        """The name nearest to the chroma-weighted circular mean hue of the subject's pixels."""
        strength = chroma(frames)
        mask = strength > self.looks.subject_chroma
        if mask.sum() < FEWEST_SUBJECT_PIXELS:
            return _nothing(self._hues)
        rgb, weight = frames[mask].astype(np.float32) / 255, strength[mask]
        hue = np.arctan2(math.sqrt(3) * (rgb[:, 1] - rgb[:, 2]), 2 * rgb[:, 0] - rgb[:, 1] - rgb[:, 2])
        mean = math.atan2(float((weight * np.sin(hue)).sum()), float((weight * np.cos(hue)).sum()))
        distances = {name: math.remainder(mean - own, 2 * math.pi) / _HUE_SPREAD for name, own in self._hues.items()}
        return _seen(_from_distances(distances))

    def motion(self, frames: Frames) -> Seen:
        """The median centroid of the last three frames against the first three; a short way is none."""
        ends = [[at for at in map(self.centre, part) if at is not None] for part in (frames[:3], frames[-3:])]
        if not all(ends):
            return _nothing(self.looks.motions)
        dx, dy = (np.mean(ends[1], 0) - np.mean(ends[0], 0)).tolist()
        length = max(abs(dx), abs(dy))
        exponent = min(50.0, (length - self.looks.stay_px) / _STAY_SPREAD_PX)
        stays = 1 / (1 + math.exp(exponent))
        likely = {name: self._towards(signs, dx, dy, stays) for name, signs in self.looks.motions.items()}
        moving = max((name for name, signs in self.looks.motions.items() if any(signs)), key=likely.__getitem__)
        still = next(name for name, signs in self.looks.motions.items() if not any(signs))
        return Seen(still if length < self.looks.stay_px else moving, likely)

    def _towards(self, signs: tuple[int, int], dx: float, dy: float, stays: float) -> float:
        if not any(signs):
            return stays
        along = max(0.0, signs[0] * dx + signs[1] * dy)
        return (1 - stays) * along**2 / (dx**2 + dy**2 or 1.0)

    def setting(self, frames: Frames) -> Seen:
        seen = self.signature(frames)
        distances = {
            name: float(np.linalg.norm(seen - np.array(known))) / _SETTING_SPREAD
            for name, known in self.looks.settings.items()
        }
        return _seen(_from_distances(distances))

    def signature(self, frames: Frames) -> NDArray[np.floating]:
        """(6,): the median colours of the top rows and of the bottom rows."""
        top, bottom = frames[:, : self.looks.num_top_rows], frames[:, -self.looks.num_bottom_rows :]
        return np.concatenate([np.median(part.reshape(-1, 3), 0) for part in (top, bottom)])

    def centre(self, frame: NDArray[np.uint8]) -> tuple[float, float] | None:
        """Median (x, y) of the subject's pixels; None where there are too few to be a subject."""
        ys, xs = np.nonzero(chroma(frame) > self.looks.subject_chroma)
        return (float(np.median(xs)), float(np.median(ys))) if len(xs) >= FEWEST_SUBJECT_PIXELS else None

    def crop(self, frame: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(3, side, side) in [0, 1] around the subject; None where there is none."""
        at = self.centre(frame)
        if at is None:
            return None
        side = self.looks.crop_px
        padded = np.pad(frame, ((side // 2,) * 2, (side // 2,) * 2, (0, 0)), mode="edge")
        x, y = round(at[0]), round(at[1])
        return padded[y : y + side, x : x + side].transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def chroma(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """max - min of RGB in [0, 1], per pixel."""
    return (frames.max(-1).astype(np.float32) - frames.min(-1)) / np.float32(255)


def _from_distances(distances: Mapping[str, float]) -> dict[str, float]:
    """Normal likelihoods of distances in standard deviations, the nearest one's at least finite."""
    nearest = min(each**2 for each in distances.values())
    return {name: math.exp((nearest - each**2) / 2) for name, each in distances.items()}


def _seen(weights: Mapping[str, float]) -> Seen:
    total = sum(weights.values())
    likelihoods = {name: weight / total for name, weight in weights.items()}
    return Seen(max(likelihoods, key=likelihoods.__getitem__), likelihoods)


def _nothing(names: Mapping[str, object] | tuple[str, ...]) -> Seen:
    return Seen(None, dict.fromkeys(names, 0.0))


def reader_of(card: ModelCard, models_root: Path = BUNDLED_ROOT) -> AttributeReader | None:
    """The reader that a card brings; None where it brings none. Raises Rejected("model")."""
    if not card.built_in:
        return None
    folder = models_root / card.built_in
    return read_reader(folder if folder.is_dir() else BUNDLED_ROOT / card.built_in)


@lru_cache(maxsize=8)
def read_reader(folder: Path) -> AttributeReader | None:
    """None where the folder has a vocabulary alone. Raises Rejected("model") that names the file."""
    if not (folder / LOOKS).is_file():
        return None
    try:
        looks = Looks.model_validate_json((folder / LOOKS).read_bytes())
        return AttributeReader(looks, SubjectNet(folder / WEIGHTS))
    except (OSError, ValidationError, SafetensorError, KeyError) as error:
        raise Rejected("model", f"{folder}: what the built-in critic reads cannot be read: {error}") from error
