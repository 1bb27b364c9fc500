"""Previews: a rough moving picture of a latent, by a linear map from latent channels to red, green and blue.

Comes in: an x0 estimate and the map of the model's card. Goes out: an animated WebP file. Does not know samplers or
jobs.

Letters: C latent channels, T latent frames, h w latent size.
"""

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from engine.contract.card_values import LatentPreview
from engine.contract.values import SizePx
from engine.storage.atomic import open_replacing
from engine.storage.media import Frames

MAX_WIDTH_PX = 320
MIN_INTERVAL_S = 0.1


def preview_frames(x0: Tensor, preview: LatentPreview | None) -> Frames:
    """x0 (1, C, T, h, w) -> (T, h, w, 3) uint8. Without a map: the latent's own main directions as brightness."""
    if preview is None:
        return _main_directions(x0[0].float())
    weight = torch.tensor(preview.weight, dtype=torch.float32, device=x0.device)  # (3, C)
    bias = torch.tensor(preview.bias, dtype=torch.float32, device=x0.device)
    rgb = torch.einsum("CThw,cC->Thwc", x0[0].float(), weight) + bias
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _main_directions(latent: Tensor) -> Frames:
    """(C, T, h, w) -> (T, h, w, 3): the strongest principal component as brightness, the next two as a tint."""
    flat = latent.flatten(1) - latent.flatten(1).mean(dim=1, keepdim=True)  # (C, N)
    _, directions = torch.linalg.eigh(flat @ flat.T)
    main = directions[:, -3:].flip(1)
    main = F.pad(main, (0, 3 - main.shape[1]))  # fewer than three channels: no tint in the directions that are absent
    main = main * torch.where(main.sum(dim=0) < 0, -1.0, 1.0)  # one sign, so that nothing flickers from step to step
    light, *tints = (main.T @ flat).unflatten(1, latent.shape[1:])
    spread = light.std().clamp_min(1e-6)
    rgb = torch.stack([light, light + 0.4 * tints[0], light + 0.4 * tints[1]], dim=-1) / (4 * spread) + 0.5
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def write_preview(frames: Frames, size_px: SizePx, frame_s: float, path: Path) -> None:
    """An endless WebP of about the take's size (at most MAX_WIDTH_PX wide), written whole or not at all."""
    width = min(size_px[0], MAX_WIDTH_PX)
    shown = (width, max(1, round(width * size_px[1] / size_px[0])))
    pictures = [Image.fromarray(np.asarray(frame)).resize(shown, Image.Resampling.BICUBIC) for frame in frames]
    with open_replacing(path, durable=False) as file:
        pictures[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=max(20, round(frame_s * 1000)),
            loop=0,
            quality=75,
            method=0,
        )


class PreviewClock:
    """When a preview is due: every so many evaluations, and never more than ten a second."""

    def __init__(self, every: int) -> None:
        self.every, self.evaluation, self.last_s = every, 0, -1.0

    def is_due(self) -> bool:
        """Called once after each evaluation."""
        self.evaluation += 1
        due = self.evaluation % self.every == 0 and time.monotonic() - self.last_s >= MIN_INTERVAL_S
        if due:
            self.last_s = time.monotonic()
        return due
