"""One film whatever the number of ranks: heads spread over real processes, gloo on the CPU."""

import os
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from engine.layers.attention import SingleRankLayout
from tests.engine.forked import Forked
from tests.engine.models.ttt.ranks_main import KINDS, evaluated, main

TOLERANCE = 1e-5


def on_ranks(num_ranks: int, output: Path) -> dict[str, Tensor]:
    assert Forked(main, num_ranks, os.environ, output).wait(240) == 0
    made = load_file(output)
    assert made["num_ranks"].item() == num_ranks
    return made


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_same_film_and_less_memory(num_ranks: int, tmp_path: Path) -> None:
    found = on_ranks(num_ranks, tmp_path / "out")
    for kind in KINDS:
        alone, peak = evaluated(kind, SingleRankLayout())
        difference, peaks = (found[kind] - alone).abs(), found[f"{kind}_peaks"].tolist()
        print(f"{kind}, {num_ranks} ranks against 1: max {difference.max():.2e}, mean {difference.mean():.2e}")
        print(f"{kind}, peak bytes of tensors: {peak} on 1 rank, {peaks} on {num_ranks}")
        assert alone.std() > 0.1
        assert difference.max() < TOLERANCE
        assert max(peaks) < 1.4 * peak / num_ranks
