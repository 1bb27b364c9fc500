"""Run on each rank in ``test_network_ranks``: tiny networks with their heads over all ranks; saves the outputs.

Saved beside them: the bytes of tensors that each rank held at its peak.
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.layers.attention import TokenLayout
from engine.runtime.ranks import Ranks, Ulysses, connect
from tests.engine.models.ttt.factories import TINY, make_film, make_network
from tests.engine.models.ttt.memory import PeakMemory

GRID = (5, 3)
"""15 tokens a latent frame, and 5 words: neither divides by the ranks."""
NUM_SEGMENTS = 5
KINDS = ("ttt_mlp", "ttt_linear")


def evaluated(ssm_layer: str, layout: TokenLayout) -> tuple[Tensor, int]:
    """-> the network's output, and the bytes held at the peak."""
    network = make_network(TINY, ssm_layer=ssm_layer)
    x, timesteps, text = make_film(NUM_SEGMENTS, grid=GRID)
    with torch.no_grad(), PeakMemory() as memory:
        out = network(x, timesteps, text, layout=layout)
    return out, memory.peak_bytes


def main(output: Path) -> None:
    torch.set_num_threads(1)
    ranks = connect()
    found: dict[str, Tensor] = {"num_ranks": torch.tensor(ranks.size)}
    for kind in KINDS:
        out, peak_bytes = evaluated(kind, Ulysses(ranks))
        same = ranks.share_tensors(lambda out=out: {"out": out})["out"]
        ranks.together(lambda same=same, out=out: check(torch.equal(same, out)))
        found |= {kind: out, f"{kind}_peaks": peaks_of(ranks, peak_bytes)}
    if ranks.leads:
        save_file(found, output)
    ranks.agree(0)
    sys.stdout.flush()
    os._exit(0)  # as the worker leaves: taking the group down one rank before the other may abort either


def peaks_of(ranks: Ranks, peak_bytes: int) -> Tensor:
    peaks = [torch.zeros(1, dtype=torch.int64) for _ in range(ranks.size)]
    torch.distributed.all_gather(peaks, torch.tensor([peak_bytes]), group=ranks.control)
    return torch.cat(peaks)


def check(equal: bool) -> None:
    assert equal, "every rank holds the same output"
