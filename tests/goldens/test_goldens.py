"""Every golden case of the folders given with ``--goldens``: a test each, named after the case."""

import pytest

from tests.goldens.runner import DEFAULT_FOLDERS, Golden, goldens_in


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden" in metafunc.fixturenames:
        folders = metafunc.config.getoption("goldens", None) or [path for path in DEFAULT_FOLDERS if path.is_dir()]
        goldens = goldens_in(folders)
        metafunc.parametrize("golden", goldens, ids=[golden.id for golden in goldens])


def test_golden(golden: Golden) -> None:
    golden.check(golden.case)
