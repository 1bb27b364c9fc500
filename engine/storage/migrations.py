"""A database's schema, brought to the newest version: numbered steps, each once, all or none of them.

Comes in: a SQLAlchemy engine and a ``Schema``. Goes out: the same database with the tables of this program, or a
``DatabaseTooNew`` with the reason. Version 1 is what programs wrote before versions were counted: tables and no number.
A SQLite file is copied beside itself before the first step that changes it. Does not know what a table means.

SQLite counts in its ``user_version``; other databases have a table ``schema_version`` for it.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, NullPool, create_engine, event, inspect, text

from engine.contract.errors import EngineError
from engine.storage.atomic import replacing

Step = Callable[[Connection], None]
"""Takes the tables from one version to the next, inside the transaction that it is given."""

BUSY_TIMEOUT_S = 60
"""For another process that migrates the same database just now."""
BASELINE = 1


class DatabaseTooNew(EngineError):
    """A newer program wrote this database. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Schema:
    """``tables`` are those of the newest version. ``steps[0]`` takes version 1 to 2, the next one 2 to 3, and so on.

    A step that was released is never edited: what it got wrong, the next one mends.
    """

    name: str
    tables: MetaData
    steps: tuple[Step, ...] = ()

    @property
    def version(self) -> int:
        return BASELINE + len(self.steps)


def migrate(engine: Engine, schema: Schema) -> None:
    """Makes the tables of a new database, brings an older one up to date. Raises DatabaseTooNew, DBAPIError, OSError.

    Processes that come at once wait for each other: the first migrates, the others find it done.
    """
    if _is_in_memory(engine):
        return schema.tables.create_all(engine)
    with engine.connect() as connection:
        version = _written_version(connection, schema)
    _refuse_newer(engine, version, schema)
    if version == schema.version:
        return
    writer = _writer_of(engine)
    try:
        with writer.begin() as connection:
            _lock(connection, schema)
            _migrate(connection, schema)
    finally:
        writer.dispose()


def backup_path(database: Path, version: int) -> Path:
    """Path of the copy of a SQLite file that was made before it left this version."""
    return database.with_name(f"{database.name}.version-{version}.backup")


def read_version(connection: Connection, schema: Schema) -> int:
    """0: no table of this schema is there."""
    has_tables = bool(set(inspect(connection).get_table_names()) & set(schema.tables.tables))
    return _written_version(connection, schema) or (BASELINE if has_tables else 0)


def _written_version(connection: Connection, schema: Schema) -> int:
    """0: no number was ever written."""
    if connection.dialect.name == "sqlite":
        return connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if not inspect(connection).has_table("schema_version"):
        return 0
    query = text("SELECT version FROM schema_version WHERE name = :name")
    return connection.execute(query, {"name": schema.name}).scalar() or 0


def _migrate(connection: Connection, schema: Schema) -> None:
    version = read_version(connection, schema)
    _refuse_newer(connection.engine, version, schema)
    if version == 0:
        schema.tables.create_all(connection)
    elif version < schema.version and connection.dialect.name == "sqlite":
        _back_up(connection, version)
    for step in schema.steps[version - BASELINE :] if version else ():
        step(connection)
    _write_version(connection, schema)


def _refuse_newer(engine: Engine, version: int, schema: Schema) -> None:
    if version <= schema.version:
        return
    where = engine.url.database or engine.url.render_as_string()
    what = f"{where}: was written by a newer Storyboard Studio (schema {version}, and this one knows {schema.version})"
    hint = "Update this program, or choose another workspace (--workspace). The database was not changed"
    raise DatabaseTooNew(f"{what}. {hint}{_backup_hint(engine, schema)}.")


def _backup_hint(engine: Engine, schema: Schema) -> str:
    """An older copy that this program could open, where there is one."""
    if engine.dialect.name != "sqlite":
        return ""
    copy = backup_path(Path(str(engine.url.database)), schema.version)
    return f"; {copy.name} beside it is a copy from before the update, without what was made since" * copy.is_file()


def _write_version(connection: Connection, schema: Schema) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {schema.version:d}")
        return
    row = {"name": schema.name, "version": schema.version}
    connection.execute(text("DELETE FROM schema_version WHERE name = :name"), {"name": schema.name})
    connection.execute(text("INSERT INTO schema_version (name, version) VALUES (:name, :version)"), row)


def _lock(connection: Connection, schema: Schema) -> None:
    """SQLite's writer has its lock from the beginning; PostgreSQL has locks by name. Others have only their own."""
    if connection.dialect.name == "sqlite":
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"storyboard {schema.name}"})
    columns = "name VARCHAR(40) PRIMARY KEY, version INTEGER NOT NULL"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS schema_version ({columns})"))


def _back_up(connection: Connection, version: int) -> None:
    """SQLite's own copy: whole, with what is still in the write-ahead log. It reads beside the writer's lock."""
    database = Path(str(connection.engine.url.database))
    with replacing(backup_path(database, version)) as draft:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(draft)) as copy:
            source.backup(copy)
        shutil.copymode(database, draft)


def _is_in_memory(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite" and engine.url.database in (None, "", ":memory:")


def _writer_of(engine: Engine) -> Engine:
    """An engine whose transactions hold SQLite's write lock from their beginning, and roll back changes of tables."""
    is_sqlite = engine.dialect.name == "sqlite"
    waits = is_sqlite and "timeout" not in engine.url.query
    writer = create_engine(engine.url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S} if waits else {})
    if is_sqlite:
        event.listen(writer, "connect", _no_implicit_transactions)
        event.listen(writer, "begin", _begin_as_writer)
    return writer


def _no_implicit_transactions(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _begin_as_writer(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
