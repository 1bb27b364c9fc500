"""One film whatever the number of ranks: real processes, gloo on the CPU."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tests.engine.forked import Forked
from tests.engine.runtime import parallel_main
from tests.engine.runtime.group import REPOSITORY

TOLERANCE = 1e-4


def sampled(num_ranks: int, root: Path, output: Path, environment: Mapping[str, str] | None = None) -> Tensor:
    """``environment``: of ranks that are started as an engine starts them, on the device that they see there."""
    network = root / "models/tiny/transformer"
    if environment is None:
        assert Forked(parallel_main.main, num_ranks, os.environ, network, output).wait(120) == 0
    else:
        spawn = [sys.executable, "-m", "engine.service.spawn_ranks", str(num_ranks)]
        script = ["-m", "tests.engine.runtime.parallel_main", str(network), str(output)]
        subprocess.run([*spawn, *script], cwd=REPOSITORY, env=dict(environment), check=True, timeout=300)
    made = load_file(output)
    assert made["num_ranks"].item() == num_ranks
    return made["latents"]


@pytest.fixture(scope="module")
def alone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return sampled(1, root, tmp_path_factory.mktemp("alone") / "latents")


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_same_latents(num_ranks: int, alone: Tensor, root: Path, tmp_path: Path) -> None:
    difference = (sampled(num_ranks, root, tmp_path / "latents") - alone).abs()
    print(f"{num_ranks} ranks against 1: max {difference.max():.2e}, mean {difference.mean():.2e}")
    assert alone.std() > 0.1
    assert difference.max() < TOLERANCE
