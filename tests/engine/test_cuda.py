"""What only a CUDA device shows: the same film as on the CPU, ranks that share a device, offload that empties it.

Each test gives the environment of ``cuda`` to the processes that it starts, and is skipped where there is no device.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.contract.events import Finished, Step
from tests.engine.models.films import frames_of
from tests.engine.runtime.group import REPOSITORY, Group, make_model_once, tiny_job
from tests.engine.runtime.test_parallel import sampled

pytestmark = pytest.mark.cuda
TOLERANCE = 1e-3
"""Of latents in float32 after eight steps: sums in another order, by other kernels."""
FRAMES_TOLERANCE = 4
"""Levels of 255: convolutions of the autoencoder may run in TF32, with ten bits of mantissa."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model and its card."""
    folder = tmp_path_factory.mktemp("cuda")
    make_model_once(folder)
    return folder


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_latents_equal_those_of_the_cpu(num_ranks: int, cuda: dict[str, str], root: Path, tmp_path: Path) -> None:
    """Two ranks share the device where there is only one."""
    difference = (sampled(num_ranks, root, tmp_path / "cuda", cuda) - sampled(1, root, tmp_path / "cpu")).abs()
    print(f"{num_ranks} ranks on CUDA against the CPU: max {difference.max():.2e}, mean {difference.mean():.2e}")
    assert difference.max() < TOLERANCE


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_a_film_equals_that_of_the_cpu(num_ranks: int, cuda: dict[str, str], tmp_path: Path) -> None:
    films = []
    for name, environment in (("cpu", os.environ), ("cuda", cuda)):
        folder = tmp_path / name
        folder.mkdir()
        with Group(folder, num_ranks, True, environment) as group:
            assert (group.device == "cpu") == (name == "cpu")
            films.append(frames_of(group, tiny_job(folder)).astype(int))
    difference = np.abs(films[0] - films[1])
    print(f"{num_ranks} ranks on CUDA against the CPU: max {difference.max()} of 255, mean {difference.mean():.3f}")
    assert difference.max() <= FRAMES_TOLERANCE


def test_memory_of_the_device_is_reported(cuda: dict[str, str], tmp_path: Path) -> None:
    with Group(tmp_path, 1, True, cuda) as group:
        events = group.run(tiny_job(tmp_path))
    assert isinstance(events[-1], Finished)
    steps = [event for event in events if isinstance(event, Step)]
    assert steps and all(event.memory_bytes > 0 for event in steps)


def test_offload_by_component_leaves_the_device_empty(cuda: dict[str, str], root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.engine.offload_main", str(root), str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, env=cuda, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    places = json.loads(done.stdout.splitlines()[-1])
    assert places == {"none": ["cuda", "cuda", True], "components": ["cpu", "cpu", False]}
