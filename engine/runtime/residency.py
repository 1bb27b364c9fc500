"""Offload, the simplest rung: a component is on the device only while it works.

Comes in: a module and a device. Goes out: the same module, there. Does not know what the module computes.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


@contextmanager
def resident(module: M, device: torch.device, keep: bool = False) -> Generator[M]:
    """``module`` on ``device`` inside the block; afterwards back in host memory, unless it is to be kept there."""
    module.to(device)
    try:
        yield module
    finally:
        if not keep:
            withdraw(module, device)


def withdraw(module: nn.Module, device: torch.device) -> None:
    """Back to host memory, if it was on ``device``."""
    if device.type != "cpu":
        module.to("cpu")
        torch.cuda.empty_cache()
