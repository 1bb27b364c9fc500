"""Engines for the tests of this folder, over throw-away workspaces: in this process, or a process of their own.

Comes in: pytest's temporary folders. Goes out: clients; every engine is stopped, and its ranks with it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.client.client import EngineClient
from engine.service.launch import stop_engine
from engine.storage.workspace import Workspace
from tests.engine.in_process import EngineThread, forked_engine

StartEngine = Callable[..., EngineClient]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "workspace")


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    folder = tmp_path / "cards"
    folder.mkdir()
    return folder


@pytest.fixture
def start(workspace: Workspace, cards: Path, tmp_path: Path) -> Iterator[StartEngine]:
    """``start()`` gives a client of this test's engine, a process of its own, started if it does not run."""
    clients: list[EngineClient] = []

    def start_engine() -> EngineClient:
        clients.append(forked_engine(workspace, cards=cards, models_root=tmp_path))
        return clients[-1]

    yield start_engine
    for client in clients:
        client.close()
    stop_engine(workspace)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineClient]:
    """One engine with the fake group for all tests of a file that leave it usable."""
    root = tmp_path_factory.mktemp("shared")
    (root / "cards").mkdir()
    with EngineThread(Workspace.at(root / "workspace"), cards=root / "cards", models_root=root) as client:
        yield client
