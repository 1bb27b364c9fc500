"""Run in a process of its own: loads a card's network, tells how far the memory peaked above the start.

Comes in: models' root, a card, precision. Goes out: bytes. Does not know what the test allows.
"""

from pathlib import Path

import torch

from engine.contract.cards import ModelCard
from engine.models.cosmos.load import load_model
from tests.engine.checkpoints.measure_memory import memory


def main(root: Path, card: ModelCard, precision: str) -> int:
    torch.set_num_threads(1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = memory("VmRSS")
    network = load_model(card, root, "bfloat16" if precision == "bfloat16" else "float32", with_codecs=False).network
    touched = sum(float(parameter.sum()) for parameter in network.parameters())
    assert touched == touched
    return memory("VmHWM") - before
