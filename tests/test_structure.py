"""The shape of the source tree: file and folder sizes, paths that the documents name, names that stay retired.

Comes in: the tracked sources and the documents, as text. Goes out: a failure that names the file and the line. Does not
import the code, and does not know what it computes. What an import drags in is in ``test_borders.py``.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE_FOLDERS = ("studio", "engine", "tests", "tools", "benchmarks")
MOST_LINES = 400
MOST_MODULES = 16
DOCUMENTS = ("README.md", "DESIGN.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")))

TESTS_OF_ALL_ROOMS = {"tests/goldens", "tests/goldens/kinds", "tests/end_to_end"}
"""Test folders that belong to no single room: recorded numbers of the original programs, and whole runs."""

SOURCES = ("studio/", "engine/")

RETIRED: dict[str, tuple[str, str | tuple[str, ...]]] = {
    # name: (what it is called now, where the old name is refused; "" is everywhere)
    "Board": ("BoardView", ""),
    "Desk": ("Studio", ""),
    "Shelf": ("TakeRepository or ModelCache", ""),
    "Bell": ("ChangeNotifier", ""),
    "Changes": ("ChangeSignal, StoryboardDiff or stale", ""),
    "FactsBook": ("ProjectStateCache", ""),
    "Facts": ("ProjectState", ""),
    "Moment": ("LiveState", ""),
    "BoardsBook": ("BoardCache", ""),
    "take_in": ("handle_event", ""),
    "_went_on": ("_on_progress", ""),
    "happened": ("apply", "studio"),
    "EngineKeeper": ("EngineSupervisor", ""),
    "EngineUse": ("EngineSession", ""),
    "KnownModels": ("ModelCatalog", ""),
    "hear": ("update", ""),
    "Rendering": ("JobTracker or RenderContext", ""),
    "Room": ("RankContext", ""),
    "Wish": ("Request", ""),
    "Wishes": ("ControlFlags or BatchOptions", ""),
    "obey": ("raise_for_action", ""),
    "edge": ("step_boundary", "engine/runtime/pipeline.py"),
    "Given": ("CallInputs", ""),
    "Ends": ("Codecs", ""),
    "SavedWork": ("ResumeStore", ""),
    "Texts": ("PromptEmbeddingCache", ""),
    "Whole": ("SingleRankLayout", ""),
    "told_by": ("config_from_card", ""),
    "whose": ("describe_weights", ""),
    "Wanted": ("ModelKey", ""),
    "Setting": ("PlanContext", ""),
    "Answer": ("PlannedScene", "studio/planning"),
    "judging": ("stale", ""),
    "one_scene": ("scene", ""),
    "Before": ("PreviousScene", ""),
    "Start": ("SceneStart", ""),
    "Names": ("ReasonScope", ""),
    "odd_choices": ("outdated_choices", ""),
    "Reel": ("FilmSource", ""),
    "Uses": ("Waiters", ""),
    "FactRow": ("SettingRow", ""),
    "_lie": ("protocol_violation", ""),
    "absence": ("unavailable_reason", ""),
    "trouble": ("last_error", ""),
    "LATER": ("RETRYABLE_ERRORS", ""),
    "Walk": ("ScanOrder", ""),
    "Film": ("SequenceInfo", "engine/models/ttt"),
    "walk": ("order", "engine/models/ttt"),
    "walks": ("orders", "engine/models/ttt"),
    "turns": ("rotations", "engine/models/ttt"),
    "obeyed": ("requested_action", ""),
    **dict.fromkeys(("told", "said"), ("what it holds: message, reason, text ...", SOURCES)),
    **dict.fromkeys(("wish", "wishes"), ("request, options, conditioning ...", SOURCES)),
    **dict.fromkeys(("bell", "shelf", "desk", "reel"), ("notifier, takes, studio, source", SOURCES)),
    **dict.fromkeys(("moment", "facts"), ("live_state, project_state", "studio/views")),
}
"""Identifiers that were given up for the field's terms. Text in quotes (JSON keys, columns, kinds) is not looked at."""

RETIRED_PATHS = (
    *("boards", "commands", "ways", "ways.css"),
    *("making.py", "desk.py", "shelf.py", "bell.py", "facts.py", "judging.py", "one_scene.py", "planned.py"),
    *("known_models.py", "engine_keeper.py", "merging.py", "changes.py", "problems.py", "saved.py", "texts.py"),
    *("abilities.js", "lack.js", "either.js", "parts.js", "words.js", "boards_book.py", "project_files.py"),
)
"""File and folder names that went with them."""

PATH = re.compile(
    r"(?<![\w/.])(?:(?:studio|engine|tests|tools|benchmarks|docs|presets|assets|[.]ci)/[\w./-]*[\w/]"
    r"|(?:README|DESIGN|CONTRIBUTING|CHANGELOG)[.]md|app[.]py|pyproject[.]toml|compose[.]yaml|constraints[.]txt)"
)
"""A path of this repository, in prose or in a block of commands."""


@cache
def sources(*endings: str) -> tuple[Path, ...]:
    files = (path for folder in CODE_FOLDERS for path in sorted((ROOT / folder).rglob("*")))
    return tuple(path for path in files if path.suffix in endings and "__pycache__" not in path.parts)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_too_long() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in sources(".py", ".js", ".css")}
    too_long = {file: length for file, length in lines.items() if length > MOST_LINES}
    assert not too_long, f"over {MOST_LINES} lines: {too_long}"


def test_no_folder_is_too_full() -> None:
    modules: dict[str, int] = {}
    for path in sources(".py", ".js", ".css"):
        if path.name != "__init__.py":
            modules[name(path.parent)] = modules.get(name(path.parent), 0) + 1
    too_full = {folder: count for folder, count in modules.items() if count > MOST_MODULES}
    assert not too_full, f"over {MOST_MODULES} modules: {too_full}"


@pytest.mark.parametrize("room", ["studio", "engine", "tools"])
def test_the_tests_mirror_the_source(room: str) -> None:
    folders = {path.parent for path in (ROOT / "tests" / room).rglob("test_*.py")}
    strays = [name(folder) for folder in folders if not (ROOT / folder.relative_to(ROOT / "tests")).is_dir()]
    assert not strays, f"these folders of tests belong to no folder of {room}/: {strays}"


def test_every_folder_of_tests_belongs_somewhere() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")} - {ROOT / "tests"}
    rooms = ("tests/studio", "tests/engine", "tests/tools")
    strays = {name(folder) for folder in folders if not name(folder).startswith(rooms)} - TESTS_OF_ALL_ROOMS
    assert not strays, f"neither below {rooms} nor listed in TESTS_OF_ALL_ROOMS: {sorted(strays)}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_exists(document: str) -> None:
    missing = [(number, path) for number, path in paths_named(document) if not (ROOT / path).exists()]
    assert not missing, f"{document} names files that do not exist (line, path): {missing}"


def paths_named(document: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate((ROOT / document).read_text().splitlines(), start=1):
        for match in PATH.finditer(line):
            if "NAME" not in match.group():  # a placeholder
                yield number, match.group()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_between_documents_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / document).read_text())
    missing = [link for link in links if not ((ROOT / document).parent / link).exists()]
    assert not missing, f"{document} links to {missing}"


def test_retired_names_do_not_come_back() -> None:
    hits = [
        f"{name(path)}:{line}: {word} (now {RETIRED[word][0]})"
        for path in sources(".py")
        if path != Path(__file__).resolve()
        for word, line in identifiers(path)
        if word in RETIRED and name(path).startswith(RETIRED[word][1])
    ]
    assert not hits, "retired names are back:\n" + "\n".join(hits)


def identifiers(path: Path) -> Iterator[tuple[str, int]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.string, token.start[0]


def test_the_check_of_names_sees_code_and_not_text(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text('"""A Desk."""\nvalue = {"Desk": 1}  # Desk\nclass Desk:\n    pass\n')
    assert [(word, line) for word, line in identifiers(file) if word in RETIRED] == [("Desk", 3)]


def test_retired_files_do_not_come_back() -> None:
    hits = {
        name(path) for path in sources(".py", ".js", ".css") if set(path.relative_to(ROOT).parts) & set(RETIRED_PATHS)
    }
    assert not hits, f"retired file names are back: {sorted(hits)}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_a_document_names_exists(document: str) -> None:
    files = [path for path in sources(".py") if name(path).startswith("tests/")]
    known = {path.name for path in files} | {path.stem for path in files}
    known |= {word for path in files for word in re.findall(r"def (test_\w+)", path.read_text())}
    named = set(re.findall(r"(?<![\w/])test_\w+(?:[.]py)?", (ROOT / document).read_text()))
    assert not named - known, f"{document} names tests that do not exist: {sorted(named - known)}"


def test_every_module_has_its_line_in_the_tree_of_the_design() -> None:
    listed, folder = set[str](), ""
    for line in (ROOT / "DESIGN.md").read_text().partition("<!-- tree")[2].partition("```\n")[2].splitlines():
        if line.startswith("```"):
            break
        first = line.split()[0]
        folder = first if first.endswith("/") else folder if line.startswith(" ") else ""
        listed |= set() if first.endswith("/") else {folder + first}
    modules = {name(path) for path in sources(".py", ".js", ".css") if name(path).startswith(("studio/", "engine/"))}
    modules = {module for module in modules if not module.endswith("__init__.py")}
    missing, gone = modules - listed, {file for file in listed if not (ROOT / file).exists()}
    assert not missing and not gone, f"DESIGN.md's tree lacks {sorted(missing)} and lists {sorted(gone)}"
