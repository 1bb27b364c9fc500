"""The borders that a linter cannot see: what an import drags in, and the habits that every file keeps.

Comes in: the source tree. Goes out: a failure that names the file. Does not know what the code does.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for room in ("studio", "engine", "tools", "benchmarks", "tests") for path in (ROOT / room).rglob("*.py")
)
FORBIDDEN = {
    "a mock where a working fake could stand": re.compile(r"unittest[.]mock|Magic" + r"Mock|monkeypatch[.]setattr"),
    "unsafe loading": re.compile(r"weights_only\s*=\s*Fal" + r"se|pickle[.]loa"),
    "a shell": re.compile(r"shell\s*=\s*Tr" + r"ue"),
}


@pytest.mark.parametrize(
    "modules",
    [
        "studio, engine.contract, engine.assistants, engine.service",
        "studio.studio, studio.cli.main, engine.assistants.endpoint",
    ],
)
def test_the_studio_and_the_service_start_without_torch(modules: str) -> None:
    code = f"import {modules}, sys; sys.exit('torch' in sys.modules or 'gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr or f"importing {modules} also imports torch or gradio"


def test_every_file_says_what_it_is() -> None:
    bare = [str(path.relative_to(ROOT)) for path in SOURCES if path.stat().st_size and not _has_header(path)]
    assert not bare, f"no header docstring in {bare}"


def _has_header(path: Path) -> bool:
    text = path.read_text()
    return text.lstrip().startswith(('"""', 'r"""', "#!"))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_forbidden_habits(what: str) -> None:
    found = [str(path.relative_to(ROOT)) for path in SOURCES if FORBIDDEN[what].search(path.read_text())]
    assert not found, f"{what} in {found}"
