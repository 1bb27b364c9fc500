"""Options and fixtures of the studio's tests. Does not know what is tested.

Goldens are made again with ``pytest tests/studio --regenerate-goldens``; read the difference before committing it.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-goldens", action="store_true", help="write golden files instead of comparing")


@pytest.fixture
def regenerate_goldens(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate-goldens", default=False))
