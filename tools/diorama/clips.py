"""Clips rendered in advance and kept in the cache folder.

In: the cache folder and a number of clips a combination. Out: memory-mapped arrays of frames, the subject's coverage on
the latent grid, and the combinations as integers. Does not know: captions, models, training.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.diorama import world

LATENT_FRAMES, LATENT_HEIGHT, LATENT_WIDTH = 5, 8, 12


@dataclass(frozen=True, slots=True)
class ClipSet:
    """frames: (N, F, H, W, 3) uint8; coverage: (N, T, h, w) float16; attributes: (N, 4) indices."""

    frames: np.ndarray
    coverage: np.ndarray
    attributes: np.ndarray

    def combination(self, index: int) -> world.Combination:
        subject, colour, motion, setting = (int(v) for v in self.attributes[index])
        names = (world.SUBJECTS[subject], list(world.COLOURS)[colour], list(world.MOTIONS)[motion])
        return world.Combination(*names, world.SETTINGS[setting])


def attribute_indices(c: world.Combination) -> tuple[int, int, int, int]:
    colours, motions = list(world.COLOURS), list(world.MOTIONS)
    return (
        world.SUBJECTS.index(c.subject),
        colours.index(c.colour),
        motions.index(c.motion),
        world.SETTINGS.index(c.setting),
    )


def on_latent_grid(coverage: np.ndarray) -> np.ndarray:
    """(F, H, W) to (T, h, w): the first frame alone, then four frames to one latent frame; 8 x 8 pixels to one."""
    f = coverage.reshape(world.NUM_FRAMES, LATENT_HEIGHT, 8, LATENT_WIDTH, 8).mean((2, 4))
    later = f[1:].reshape(LATENT_FRAMES - 1, 4, LATENT_HEIGHT, LATENT_WIDTH).mean(1)
    return np.concatenate([f[:1], later]).astype(np.float16)


def _render(job: tuple[world.Combination, int]) -> tuple[np.ndarray, np.ndarray]:
    clip = world.render(*job)
    return clip.frames, on_latent_grid(clip.coverage)


def render_set(folder: Path, combinations: list[world.Combination], per_combination: int, first_seed: int) -> None:
    """Writes frames.npy, coverage.npy and attributes.npy; combinations interleaved, so that a prefix is balanced."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(c, first_seed + k) for k in range(per_combination) for c in combinations]
    shape = (len(jobs), world.NUM_FRAMES, world.HEIGHT_PX, world.WIDTH_PX, 3)
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, shape)
    coverage = np.zeros((len(jobs), LATENT_FRAMES, LATENT_HEIGHT, LATENT_WIDTH), np.float16)
    with ProcessPoolExecutor() as pool:
        for i, (f, c) in enumerate(pool.map(_render, jobs, chunksize=32)):
            frames[i], coverage[i] = f, c
    frames.flush()
    np.save(folder / "coverage.npy", coverage)
    np.save(folder / "attributes.npy", np.array([attribute_indices(c) for c, _ in jobs], np.int64))


def load_set(folder: Path) -> ClipSet:
    frames = np.load(folder / "frames.npy", mmap_mode="r")
    return ClipSet(frames, np.load(folder / "coverage.npy"), np.load(folder / "attributes.npy"))
