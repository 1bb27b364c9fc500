"""The golden runner itself: what it finds, and that it never passes over a case silently."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.goldens.runner import DEFAULT_FOLDERS, assert_close, goldens_in


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        gzip.compress(json.dumps(content).encode()) if path.suffix == ".gz" else json.dumps(content).encode()
    )
    return path


@pytest.mark.parametrize("name", ["new.json", "new.json.gz", "below/new.json"])
def test_a_case_of_no_known_kind_fails_by_name(tmp_path: Path, name: str) -> None:
    written(tmp_path, name, {"case": "new", "something": 1})
    (tmp_path / "README.md").write_text("no case")
    (tmp_path / "SHA256SUMS").write_text("no case")
    [golden] = goldens_in([tmp_path])
    assert golden.id == "new"
    with pytest.raises(AssertionError, match="no kind recognises it .its keys: case, something."):
        golden.check(golden.case)


@pytest.mark.parametrize("content", [b"{", b"[1, 2]"])
def test_a_case_that_is_no_description_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.json").write_bytes(content)
    [golden] = goldens_in([tmp_path])
    with pytest.raises(AssertionError, match=r"broken\.json"):
        golden.check(golden.case)


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_cases_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=name):
        goldens_in([tmp_path / name])


def test_a_case_is_known_by_its_content(tmp_path: Path) -> None:
    """Under another name and in another folder every case of the suite gets the same checks, of one kind."""
    originals = {golden.case.folder / golden.case.name: golden for golden in goldens_in(DEFAULT_FOLDERS)}
    for number, golden in enumerate(originals.values()):
        written(tmp_path, f"{number}.json", golden.case.description)
    checks = {golden.check for golden in goldens_in(DEFAULT_FOLDERS)}
    assert all(check.__module__.startswith("tests.goldens.kinds.") for check in checks)
    assert {golden.check for golden in goldens_in([tmp_path])} == checks


@pytest.mark.parametrize(("ours", "close"), [([1.0, 2.0], True), ([1.0, 2.1], False), ([1.0, float("nan")], False)])
def test_closeness(ours: list[float], close: bool, capsys: pytest.CaptureFixture[str]) -> None:
    golden = torch.tensor([1.0, 2.0])
    if close:
        assert_close(torch.tensor(ours), golden, 1e-6, what="values")
    else:
        with pytest.raises(AssertionError, match="1 of 2 too far"):
            assert_close(torch.tensor(ours), golden, 1e-6, what="values")
    assert "values: max" in capsys.readouterr().out
