"""One tiny model for all tests of this folder, and a group of ranks for the tests of a file."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.engine.runtime.group import Group, make_model_once


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model, its card and a workspace."""
    folder = tmp_path_factory.mktemp("ranks")
    make_model_once(folder)
    return folder


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def group(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Group]:
    """Real ranks, with a workspace of their own, for all tests of a file."""
    with Group(tmp_path_factory.mktemp(f"group{request.param}"), request.param) as group:
        yield group
