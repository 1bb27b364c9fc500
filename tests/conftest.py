"""What every test runs under: one thread for small tensors, and no CUDA device.

Comes in: nothing. Goes out: the environment of this process and of every engine and rank that a test starts, set
before torch is imported. A test that means a CUDA device takes the fixture ``cuda`` and gives its environment to the
processes it starts; every other test computes on the CPU, on a machine with GPUs too.
"""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fake_endpoint import FakeEndpoint

VISIBLE = os.environ.get("CUDA_VISIBLE_DEVICES")
"""As it was when the tests began; None where it was not set."""
NUM_DEVICES = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"

gc.disable()  # until the tests are collected: their imports make a million objects, all of which stay

# Before any of them is imported, so that a failed assertion of a shared helper shows its values.
pytest.register_assert_rewrite("tests.end_to_end", "tests.engine", "tests.fakes", "tests.goldens", "tests.studio")

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["OMP_NUM_THREADS"] = "1"  # with small tensors two threads wait for each other whenever a core is busy
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as in a rank: read when torch is imported, before ranks are forked
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of processes, each of which would import torch
os.environ["TORCHINDUCTOR_VEC_ISA_OK"] = "1"  # no program compiled for each instruction set, to see whether it runs

LONGEST_FIRST = (
    "tests/studio/ui/test_end_to_end.py",
    "tests/studio/ui/test_typing",
    "tests/end_to_end/",
    "tests/studio/ui/",
    "tests/engine/service/test_real_ranks.py",
    "tests/engine/models/ttt/test_joint_ranks.py",
    "tests/engine/models/cosmos/",
    "tests/engine/models/ttt/",
    "tests/engine/models/",
    "tests/engine/service/",
    "tests/engine/runtime/",
    "tests/studio/cli/",
    "tests/studio/test_studio_",
    "tests/studio/services/",
)
"""Files that take longest come first, so that no worker begins one when the others have nothing left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((i for i, path in enumerate(LONGEST_FIRST) if item.nodeid.startswith(path)), 99))


def pytest_collection_finish() -> None:
    """What is imported by now is no garbage: no later collection walks through it."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def cuda() -> dict[str, str]:
    """Environment variables of a process that sees this machine's CUDA devices; skips the test where there are none."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    if VISIBLE is not None:
        environment["CUDA_VISIBLE_DEVICES"] = VISIBLE
    if not _has_driver():
        pytest.skip("needs a CUDA device: nvidia-smi lists none")
    count = subprocess.run(
        [sys.executable, "-c", NUM_DEVICES], env=environment, capture_output=True, text=True, timeout=120
    )
    if count.stdout.strip() in ("", "0"):
        pytest.skip("needs a CUDA device: torch sees none")
    return environment


@pytest.fixture(scope="session")
def _fake_endpoint() -> Iterator["FakeEndpoint"]:
    from tests.fake_endpoint import FakeEndpoint

    endpoint = FakeEndpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def fake_endpoint(_fake_endpoint: "FakeEndpoint") -> "FakeEndpoint":
    """A chat-completions server in this process, well-behaved until the test says otherwise."""
    _fake_endpoint.reset()
    return _fake_endpoint


def _has_driver() -> bool:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except OSError:
        return False
    return listed.returncode == 0 and "GPU " in listed.stdout
