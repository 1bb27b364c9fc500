"""Migrations: each step once, all or none of them, with a copy first; what a newer program wrote is left alone.

Comes in: a schema of toy tables with steps of its own. Goes out: failures. Does not know the program's real tables.
"""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, create_engine, text

from engine.storage.migrations import DatabaseTooNew, Schema, Step, backup_path, migrate, read_version

ROOT = Path(__file__).parents[3]


def tables(*columns: str) -> MetaData:
    metadata = MetaData()
    names = [Column(name, String, server_default="") for name in columns]
    Table("boats", metadata, Column("id", Integer, primary_key=True), *names)
    return metadata


def add_column(name: str) -> Step:
    def step(connection: Connection) -> None:
        connection.execute(text(f"ALTER TABLE boats ADD COLUMN {name} VARCHAR DEFAULT '{name}'"))

    return step


def breaks(connection: Connection) -> None:
    raise ZeroDivisionError


OLD = Schema("toy", tables("name"))
NEW = Schema("toy", tables("name", "colour", "size"), (add_column("colour"), add_column("size")))


def database_at(folder: Path) -> Engine:
    return create_engine(f"sqlite:///{folder / 'toy.db'}")


def version_of(engine: Engine, schema: Schema = NEW) -> int:
    with engine.connect() as connection:
        return read_version(connection, schema)


def rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM boats").fetchall()


def old_database(folder: Path, write_version: int | None = None) -> Engine:
    """As a program before versions were counted left it: tables, a row, and no number."""
    engine = database_at(folder)
    OLD.tables.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO boats (name) VALUES ('Ida')"))
    if write_version is not None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"PRAGMA user_version = {write_version}")
    return engine


def test_a_new_database_has_the_newest_tables_and_runs_no_step(tmp_path: Path) -> None:
    engine = database_at(tmp_path)
    migrate(engine, Schema("toy", tables("name"), (breaks,)))
    assert version_of(engine) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["toy.db"]


@pytest.mark.parametrize("write_version", [None, 1])
def test_an_older_database_is_brought_up_to_date_and_copied_first(tmp_path: Path, write_version: int | None) -> None:
    engine = old_database(tmp_path, write_version)
    migrate(engine, NEW)
    assert rows(tmp_path / "toy.db") == [(1, "Ida", "colour", "size")]
    assert version_of(engine) == 3
    copy = backup_path(tmp_path / "toy.db", 1)
    assert rows(copy) == [(1, "Ida")]
    migrate(engine, NEW)
    assert rows(tmp_path / "toy.db") == [(1, "Ida", "colour", "size")], "the second time there is nothing to do"


def test_only_the_steps_that_are_missing_run(tmp_path: Path) -> None:
    engine = old_database(tmp_path)
    middle = Schema("toy", tables("name", "colour"), NEW.steps[:1])
    migrate(engine, middle)
    migrate(engine, Schema("toy", NEW.tables, (breaks, NEW.steps[1])))
    assert rows(tmp_path / "toy.db") == [(1, "Ida", "colour", "size")]
    assert rows(backup_path(tmp_path / "toy.db", 2)) == [(1, "Ida", "colour")]


def test_a_baseline_without_steps_gets_its_number_and_no_copy(tmp_path: Path) -> None:
    engine = old_database(tmp_path)
    migrate(engine, OLD)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["toy.db"]


def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    engine = old_database(tmp_path)
    before = list(sqlite3.connect(tmp_path / "toy.db").iterdump())
    with pytest.raises(ZeroDivisionError):
        migrate(engine, Schema("toy", NEW.tables, (NEW.steps[0], breaks)))
    assert list(sqlite3.connect(tmp_path / "toy.db").iterdump()) == before
    assert version_of(engine) == 1
    migrate(engine, NEW)
    assert rows(tmp_path / "toy.db") == [(1, "Ida", "colour", "size")]


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    engine = old_database(tmp_path)
    migrate(engine, NEW)
    before = (tmp_path / "toy.db").read_bytes()
    with pytest.raises(DatabaseTooNew) as caught:
        migrate(engine, OLD)
    words = str(caught.value)
    assert "toy.db: was written by a newer Storyboard Studio (schema 3, and this one knows 1)" in words
    assert "Update this program, or choose another workspace" in words
    assert "toy.db.version-1.backup" in words, "the copy that this program could open is named"
    assert (tmp_path / "toy.db").read_bytes() == before


def test_rows_in_the_write_ahead_log_are_in_the_copy(tmp_path: Path) -> None:
    engine = old_database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "toy.db")) as reader:
        reader.execute("PRAGMA journal_mode=WAL")
        reader.execute("SELECT * FROM boats").fetchall()
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO boats (name) VALUES ('Nell')"))
        assert (tmp_path / "toy.db-wal").stat().st_size > 0, "else this test shows nothing"
        migrate(engine, NEW)
    assert [row[1] for row in rows(backup_path(tmp_path / "toy.db", 1))] == ["Ida", "Nell"]


def test_a_database_in_memory_has_its_tables() -> None:
    engine = create_engine("sqlite://")
    migrate(engine, NEW)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT colour FROM boats")).all() == []


AT_ONCE = """
import sys, time
from pathlib import Path
from sqlalchemy import create_engine, text
from engine.storage.migrations import Schema, migrate
from tests.engine.storage.test_migrations import tables

def slowly(connection):
    time.sleep(0.3)
    connection.execute(text("ALTER TABLE boats ADD COLUMN colour VARCHAR DEFAULT 'colour'"))
    connection.execute(text("UPDATE boats SET name = name || '!'"))

folder, start = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0.0, start - time.time()))
migrate(create_engine(f"sqlite:///{folder / 'toy.db'}"), Schema("toy", tables("name", "colour"), (slowly,)))
"""


@pytest.mark.parametrize(
    ("prepare", "expected"), [(old_database, [(1, "Ida!", "colour")]), (database_at, [])], ids=["older", "new"]
)
def test_processes_that_open_at_once_migrate_once(
    prepare: Callable[[Path], Engine], expected: list[tuple[object, ...]], tmp_path: Path
) -> None:
    prepare(tmp_path)
    command = [sys.executable, "-c", AT_ONCE, str(tmp_path), str(time.time() + 1.0)]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert rows(tmp_path / "toy.db") == expected
