"""Run in a process of its own: assigns a file's weights to a network, tells how far the memory peaked above the start.

Comes in: path, precision. Goes out on stdout: bytes. Does not know what the test allows.
"""

import re
from pathlib import Path

import torch
from torch import nn

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.files import read_weights

SIDE, NUM_LAYERS = 1024, 72
"""72 layers of 4 MiB in float32: 302 MB."""


def network() -> nn.Module:
    return nn.Sequential(*(nn.Linear(SIDE, SIDE, bias=False) for _ in range(NUM_LAYERS)))


def memory(name: str) -> int:
    """VmRSS (now) or VmHWM (the peak since the last reset), in bytes; pages of mapped files included."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main(path: Path, dtype: torch.dtype) -> int:
    torch.set_num_threads(1)
    with torch.device("meta"):
        made = network()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = memory("VmRSS")
    assign_strictly(made, read_weights(path), str(path), dtype)
    touched = sum(float(parameter.sum()) for parameter in made.parameters())
    assert touched == touched
    return memory("VmHWM") - before
