"""Reads subject, colour, motion and setting from the pixels of a clip.

In: frames (F, 64, 96, 3) uint8. Out: the four names. Colour, motion and setting are arithmetic on pixels; the subject
is read by a small convolutional network. Does not know: who drew the clip, or what was asked for.
"""

import colorsys
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tools.diorama import clips, world

SUBJECT_CHROMA = 0.46
STAY_PX = 9.0
CROP_PX = 40
SUBJECTS_FILE = Path(__file__).with_name("subjects.safetensors")


@dataclass(frozen=True, slots=True)
class Reading:
    subject: str | None
    colour: str | None
    motion: str | None
    setting: str


def chroma(frames: np.ndarray) -> np.ndarray:
    """max - min of RGB in [0, 1], per pixel."""
    return (frames.max(-1).astype(np.float32) - frames.min(-1)) / 255.0


def centre(frame: np.ndarray) -> tuple[float, float] | None:
    """Median (x, y) of the subject's pixels; None where there are too few to be a subject."""
    ys, xs = np.nonzero(chroma(frame) > SUBJECT_CHROMA)
    return (float(np.median(xs)), float(np.median(ys))) if len(xs) >= 12 else None


def motion(frames: np.ndarray) -> str | None:
    """The median centroid of the last three frames against the first three: under 9 px it stays."""
    ends = [[c for c in map(centre, part) if c is not None] for part in (frames[:3], frames[-3:])]
    if not all(ends):
        return None
    dx, dy = np.mean(ends[1], 0) - np.mean(ends[0], 0)
    if max(abs(dx), abs(dy)) < STAY_PX:
        return "stay"
    if abs(dx) >= abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


@cache
def _hues() -> dict[str, float]:
    return {n: colorsys.rgb_to_hsv(*(v / 255 for v in rgb))[0] * 2 * math.pi for n, rgb in world.COLOURS.items()}


def colour(frames: np.ndarray) -> str | None:
    """The name nearest to the chroma-weighted circular mean hue of the subject's pixels."""
    mask = chroma(frames) > SUBJECT_CHROMA
    if mask.sum() < 12:
        return None
    rgb = frames[mask].astype(np.float32) / 255
    hue = np.arctan2(math.sqrt(3) * (rgb[:, 1] - rgb[:, 2]), 2 * rgb[:, 0] - rgb[:, 1] - rgb[:, 2])
    weight = chroma(frames)[mask]
    mean = math.atan2(float((weight * np.sin(hue)).sum()), float((weight * np.cos(hue)).sum()))
    return min(_hues(), key=lambda name: abs(math.remainder(mean - _hues()[name], 2 * math.pi)))


def _signature(frames: np.ndarray) -> np.ndarray:
    top, bottom = frames[:, :14].reshape(-1, 3), frames[:, -12:].reshape(-1, 3)
    return np.concatenate([np.median(top, 0), np.median(bottom, 0)])


@cache
def _setting_signatures() -> dict[str, np.ndarray]:
    def of(setting: str) -> np.ndarray:
        rendered = [world.render(world.Combination("ball", "red", "stay", setting), seed) for seed in range(6)]
        return np.mean([_signature(r.frames[:1]) for r in rendered], 0)

    return {setting: of(setting) for setting in world.SETTINGS}


def setting(frames: np.ndarray) -> str:
    signature, known = _signature(frames), _setting_signatures()
    return min(known, key=lambda name: float(np.linalg.norm(signature - known[name])))


def read(frames: np.ndarray) -> Reading:
    return Reading(subject(frames), colour(frames), motion(frames), setting(frames))


class SubjectNet(nn.Module):
    """(N, 3, 40, 40) in [0, 1] to logits (N, 6)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 48, 64)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:], strict=False))
        self.out = nn.Linear(64 * 4, len(world.SUBJECTS))

    def forward(self, x: Tensor) -> Tensor:
        for i, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            x = F.max_pool2d(x, 2) if i < 3 else F.adaptive_avg_pool2d(x, 2)
        return self.out(x.flatten(1))


def crop(frame: np.ndarray) -> Tensor | None:
    """(3, 40, 40) around the subject, or None where there is no subject."""
    at = centre(frame)
    if at is None:
        return None
    half = CROP_PX // 2
    padded = np.pad(frame, ((half, half), (half, half), (0, 0)), mode="edge")
    x, y = round(at[0]), round(at[1])
    return torch.from_numpy(padded[y : y + CROP_PX, x : x + CROP_PX].copy()).permute(2, 0, 1).float() / 255


@cache
def _subject_net() -> SubjectNet:
    net = SubjectNet()
    net.load_state_dict({k: v.float() for k, v in load_file(SUBJECTS_FILE).items()})
    return net.eval()


@torch.no_grad()
def subject(frames: np.ndarray) -> str | None:
    """The subject most frames agree on (mean of log-probabilities over every fourth frame)."""
    crops = [c for c in map(crop, frames[::4]) if c is not None]
    if not crops:
        return None
    return world.SUBJECTS[int(_subject_net()(torch.stack(crops)).log_softmax(-1).mean(0).argmax())]


def train_subject_net(data: clips.ClipSet, num_steps: int = 700, batch: int = 64) -> None:
    """Half of the crops are blurred, so that soft edges do not decide."""
    net, rng = SubjectNet(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for step in range(num_steps):
        picked = [(i, rng.integers(world.NUM_FRAMES)) for i in rng.integers(len(data.frames), size=batch)]
        pairs = [(crop(data.frames[i, f]), int(data.attributes[i, 0])) for i, f in picked]
        x = torch.stack([_softened(c, rng) for c, _ in pairs if c is not None])
        y = torch.tensor([label for c, label in pairs if c is not None])
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / num_steps)
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, SUBJECTS_FILE)


def _softened(x: Tensor, rng: np.random.Generator) -> Tensor:
    dx, dy = rng.integers(-3, 4, size=2)
    x = torch.roll(x, (int(dy), int(dx)), (1, 2))
    x = x.flip(2) if rng.random() < 0.5 else x
    side = int(rng.choice((1, 1, 3, 3, 5)))
    x = F.avg_pool2d(F.pad(x[None], (side // 2,) * 4, mode="replicate"), side, 1)[0]
    return x + 0.02 * torch.from_numpy(rng.standard_normal(x.shape).astype(np.float32))
