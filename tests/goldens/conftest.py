"""The option ``--goldens DIR``, and one thread: with small tensors two wait for each other whenever a core is busy."""

from pathlib import Path

import pytest
import torch

pytest.register_assert_rewrite("tests.goldens.runner", "tests.goldens.kinds")
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--goldens",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder with golden cases, may be given several times (default: those of this repository)",
    )
