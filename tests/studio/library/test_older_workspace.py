"""A workspace that an older program wrote: it opens, shows what it showed, and rendering goes on from there.

Comes in: ``tests/fixtures/workspace-431cf24`` (its README says what is in it). Goes out: failures. Does not know how
migrations work.
"""

import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.service.tables import SCHEMA as ENGINE_SCHEMA
from engine.service.tables import open_database
from engine.storage.workspace import Workspace
from studio.errors import DatabaseTrouble
from studio.library.database import SCHEMA as STUDIO_SCHEMA
from studio.library.database import Database
from studio.studio import Studio
from studio.views.types import BoardView
from tests.engine.in_process import EngineThread

ROOT = Path(__file__).parents[3]
ARCHIVE = ROOT / "tests" / "fixtures" / "workspace-431cf24" / "workspace.tar.gz"
PATIENCE_S = 120.0


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "workspace", filter="data")
    return Workspace.at(tmp_path / "workspace")


def user_version(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def set_version(database: Path, version: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def board_when(studio: Studio, project_id: str, wanted: Callable[[BoardView], bool]) -> BoardView:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        board = studio.views.board(project_id)
        if wanted(board):
            return board
        assert time.monotonic() < deadline_s, board.model_dump_json(indent=1)
        time.sleep(0.05)


def test_its_databases_are_of_before_versions_were_counted(workspace: Workspace) -> None:
    assert user_version(workspace.studio_database) == user_version(workspace.engine_database) == 0


def test_it_opens_shows_its_takes_as_fresh_and_undoes(workspace: Workspace) -> None:
    studio = Studio(workspace)
    try:
        (summary,) = studio.projects.summaries()
        assert summary.title == "Two hills"
        board = studio.views.board(summary.id)
        assert board.scenes[0].state == "fresh" and board.scenes[0].negative_prompt is None
        assert [len(card.takes) for card in board.scenes] == [2, 0, 0]
        assert studio.projects.open(summary.id).storyboard.scenes[2].prompt == "a yellow boat at dawn"
        assert studio.projects.undo(summary.id).storyboard.scenes[2].prompt == "a green boat at night"
        assert studio.projects.redo(summary.id).storyboard.scenes[2].prompt == "a yellow boat at dawn"
        assert studio.projects.redo(summary.id).storyboard.scenes[2].prompt == "a white boat in fog"
        copy = studio.projects.duplicate(summary.id)
        assert studio.views.board(copy.id).scenes[0].state == "fresh", "takes are copied row by row"
    finally:
        studio.close()
    assert user_version(workspace.studio_database) == STUDIO_SCHEMA.version


def test_rendering_goes_on_from_there(workspace: Workspace) -> None:
    engine = EngineThread(workspace)
    studio = Studio(workspace, engine.__enter__())
    try:
        (summary,) = studio.projects.summaries()
        chosen = studio.projects.open(summary.id).storyboard.scenes[0].chosen_take
        assert chosen is not None
        assert board_when(studio, summary.id, lambda board: board.render.paused).scenes[1].state == "queued"
        studio.rendering.resume()
        board_when(studio, summary.id, lambda board: board.scenes[1].state == "fresh")
        studio.rendering.render(summary.id)
        board = board_when(studio, summary.id, lambda board: board.film.up_to_date and not board.render.busy)
        assert [card.state for card in board.scenes] == ["fresh"] * 3
        assert studio.projects.open(summary.id).storyboard.scenes[0].chosen_take == chosen
    finally:
        studio.close()
        engine.__exit__()
    assert user_version(workspace.engine_database) == ENGINE_SCHEMA.version


def test_a_database_of_a_newer_studio_is_refused_in_words(workspace: Workspace) -> None:
    set_version(workspace.studio_database, STUDIO_SCHEMA.version + 1)
    with pytest.raises(DatabaseTrouble, match=r"studio\.db: was written by a newer Storyboard Studio .*Update this"):
        Database.file(workspace.studio_database)
    assert user_version(workspace.studio_database) == STUDIO_SCHEMA.version + 1


def test_a_database_of_a_newer_engine_is_refused_in_words(workspace: Workspace) -> None:
    set_version(workspace.engine_database, ENGINE_SCHEMA.version + 1)
    command = [sys.executable, "-m", "engine.service", "--workspace", str(workspace.root), "--group", "fake"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 2
    assert "engine.db: was written by a newer Storyboard Studio" in ended.stderr
    assert "Update this program" in ended.stderr
    assert "Traceback" not in ended.stderr


def columns_of(database: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(row[1:4] for row in connection.execute(f"PRAGMA table_info({name})")) for name in tables}


def test_a_migrated_database_has_the_tables_of_a_new_one(workspace: Workspace, tmp_path: Path) -> None:
    """Else somebody changed a table and wrote no step for those who have the older one."""
    for path in (workspace.studio_database, tmp_path / "studio.db"):
        Database.file(path).close()
    for path in (workspace.engine_database, tmp_path / "engine.db"):
        open_database(f"sqlite:///{path}").dispose()
    assert columns_of(workspace.studio_database) == columns_of(tmp_path / "studio.db")
    assert columns_of(workspace.engine_database) == columns_of(tmp_path / "engine.db")
