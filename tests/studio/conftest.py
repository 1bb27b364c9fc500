"""Options and fixtures of the studio's tests. Does not know what is tested.

Goldens are made again with ``pytest tests/studio --regenerate-goldens``; read the difference before committing it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.client.client import EngineClient
from engine.storage.workspace import Workspace
from tests.engine.in_process import EngineThread


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-goldens", action="store_true", help="write golden files instead of comparing")


@pytest.fixture
def regenerate_goldens(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate-goldens", default=False))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "workspace")


@pytest.fixture
def engine(workspace: Workspace) -> Iterator[EngineClient]:
    """A real engine; its group draws coloured cards. The command line attaches to it, as to any that runs."""
    with EngineThread(workspace) as client:
        yield client
