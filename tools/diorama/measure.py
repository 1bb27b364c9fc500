"""Reads subject, colour, motion and setting from the pixels of a clip, with what the studio's own critic reads by.

In: frames (F, 64, 96, 3) uint8. Out: the four names; the looks that the critic compares with; the network that names
subjects, trained. The reading itself is `engine/assistants/built_in/attributes.py`. Does not know: who drew the clip,
or what was asked for.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.assistants.built_in.attributes import LOOKS, WEIGHTS, AttributeReader, Looks, read_reader
from engine.assistants.built_in.attributes import chroma as chroma
from tools.diorama import clips, world

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "diorama" / "assistants"
SUBJECTS_FILE = FOLDER / WEIGHTS
NUM_TOP_ROWS, NUM_BOTTOM_ROWS = 14, 12


@dataclass(frozen=True, slots=True)
class Reading:
    subject: str | None
    colour: str | None
    motion: str | None
    setting: str | None


@cache
def reader() -> AttributeReader:
    made = read_reader(FOLDER)
    if made is None:
        raise FileNotFoundError(f"{FOLDER / LOOKS}: write it with `python -m tools.diorama subjects`")
    return made


@cache
def _cropper() -> AttributeReader:
    """Crops before there is a network."""
    return AttributeReader(Looks.model_validate(looks()), None)


def centre(frame: np.ndarray) -> tuple[float, float] | None:
    """Median (x, y) of the subject's pixels; None where there are too few to be a subject."""
    return reader().centre(frame)


def read(frames: np.ndarray) -> Reading:
    seen = reader().read(frames)
    return Reading(**{name: each.value for name, each in seen.items()}) if seen else Reading(None, None, None, None)


def looks() -> dict:
    """What the values look like, from the renderer."""

    def signature(setting: str) -> list[float]:
        rendered = [world.render(world.Combination("ball", "red", "stay", setting), seed) for seed in range(6)]
        parts = [(r.frames[:1, :NUM_TOP_ROWS], r.frames[:1, -NUM_BOTTOM_ROWS:]) for r in rendered]
        medians = [np.concatenate([np.median(part.reshape(-1, 3), 0) for part in pair]) for pair in parts]
        return [round(float(v), 3) for v in np.mean(medians, 0)]

    return {
        "size_px": [world.WIDTH_PX, world.HEIGHT_PX],
        "subject_chroma": 0.46,
        "stay_px": 9.0,
        "crop_px": 40,
        "num_top_rows": NUM_TOP_ROWS,
        "num_bottom_rows": NUM_BOTTOM_ROWS,
        "subjects": list(world.SUBJECTS),
        "colours": {name: list(rgb) for name, rgb in world.COLOURS.items()},
        "motions": {name: list(signs) for name, signs in world.MOTIONS.items()},
        "settings": {setting: signature(setting) for setting in world.SETTINGS},
    }


def write_looks() -> None:
    (FOLDER / LOOKS).write_text(json.dumps(looks(), indent=1) + "\n")


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
    pixels = _cropper().crop(frame)
    return None if pixels is None else torch.from_numpy(pixels)


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
