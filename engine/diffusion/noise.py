"""Seeded noise, the same on every machine.

Comes in: a seed, and the index of a step. Goes out: standard normal float32 on the CPU. Does not know samplers, ranks
or devices.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

DrawNoise = Callable[[tuple[int, ...]], Tensor]
"""shape -> standard normal float32 on the CPU, the same at every call."""

StepNoise = Callable[[int, tuple[int, ...]], Tensor]
"""(index of the step, shape) -> the noise that enters x at this step, float32 on the CPU."""


def seeded_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal float32, the same on every machine: numpy's legacy generator, drawn in float64 on the CPU."""
    return torch.from_numpy(np.random.RandomState(seed % 2**32).standard_normal(shape).astype(np.float32))


def step_noise(seed: int) -> StepNoise:
    """From the seed of the run and the index of the step alone, so that a resumed run draws the same noise."""

    def draw(step: int, shape: tuple[int, ...]) -> Tensor:
        generator = np.random.RandomState([seed % 2**32, step])
        return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))

    return draw
