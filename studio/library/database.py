"""The tables of the library, and the database that holds them.

Comes in: a SQLAlchemy URL (SQLite in WAL mode by default). Goes out: sessions to read and to write in. Documents are
stored as JSON text, so that a row can be read by eye. A database that cannot be used raises
``DatabaseTrouble``. A change of a table is a new step at the end of ``SCHEMA``'s. Does not know what an edit or a
take means.
"""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ForeignKey, Text, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from engine.storage.migrations import DatabaseTooNew, Schema, migrate
from studio.errors import DatabaseTrouble
from studio.library.migration_steps import add_guards, critiques_of_takes, empty_negative_prompts_mean_the_models_own

BUSY_TIMEOUT_S = 20


class Row(DeclarativeBase):
    type_annotation_map = {str: Text}


class ProjectRow(Row):
    """``trashed_s`` is 0 while the project is not in the trash. Times are seconds since the epoch."""

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    num_scenes: Mapped[int]
    revision: Mapped[int]
    storyboard: Mapped[str]
    created_s: Mapped[float]
    updated_s: Mapped[float]
    trashed_s: Mapped[float] = mapped_column(default=0.0)


class RevisionRow(Row):
    """The journal. ``kind``: edit, undo, redo or take. ``undo_state``: done or undone (edits only), else none."""

    __tablename__ = "revisions"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    undo_state: Mapped[str] = mapped_column("standing")
    changes: Mapped[str]
    made_s: Mapped[float]


class TakeRow(Row):
    """``take``: the Take as JSON. ``media`` and ``poster`` are in the media store."""

    __tablename__ = "takes"
    id: Mapped[str] = mapped_column(primary_key=True)
    recipe: Mapped[str] = mapped_column(index=True)
    take: Mapped[str]
    media: Mapped[str]
    poster: Mapped[str | None]
    made_s: Mapped[float]


class SceneTakeRow(Row):
    """Which takes a scene has. The newest ``arrived_s`` is the one shown where the author chose none."""

    __tablename__ = "scene_takes"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    scene_id: Mapped[str] = mapped_column(primary_key=True)
    take_id: Mapped[str] = mapped_column(ForeignKey("takes.id"), primary_key=True)
    arrived_s: Mapped[float]


class JobRow(Row):
    """A job that was submitted. ``state`` as in the contract's JobState. ``job``: the Job as JSON."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    recipe: Mapped[str] = mapped_column(index=True)
    job: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str]
    submitted_s: Mapped[float]


class JobUseRow(Row):
    """Which scenes wait for a job: two projects may wait for one."""

    __tablename__ = "job_uses"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    scene_id: Mapped[str] = mapped_column(primary_key=True)


class MediaRow(Row):
    """A picture or clip that a project may use. ``info``: the MediaInfo as JSON. ``name``: as the author knows it."""

    __tablename__ = "media"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    info: Mapped[str]


class FilmRow(Row):
    """The newest film of a project. ``cut`` is a hash of its edit list: takes, joins, size, fps."""

    __tablename__ = "films"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    media: Mapped[str]
    poster: Mapped[str | None]
    path: Mapped[str]
    cut: Mapped[str]
    duration_s: Mapped[float]
    made_s: Mapped[float]


class CritiqueRow(Row):
    """What a critic said of a take. ``source``: which critic. ``critique``: the Critique as JSON."""

    __tablename__ = "critiques"
    take_id: Mapped[str] = mapped_column(ForeignKey("takes.id"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float]
    critique: Mapped[str]
    made_s: Mapped[float]


class VerdictRow(Row):
    """What a guard said. ``guard``: names it with the version of its lists or weights. ``subject``: ``text:`` or
    ``media:`` with a SHA-256. ``verdict``: as JSON."""

    __tablename__ = "verdicts"
    guard: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    verdict: Mapped[str]
    made_s: Mapped[float]


class HeldJobRow(Row):
    """A job that waits for a guard before it is submitted. ``place`` orders those of a project. As JSON: ``waiters``,
    ids of scenes, and ``texts``, what is judged: (scene id, place in words, text)."""

    __tablename__ = "held_jobs"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    job_id: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    job: Mapped[str]
    waiters: Mapped[str]
    texts: Mapped[str]


class GuardOffRow(Row):
    """A project whose author switched the guard off, where the host allows it."""

    __tablename__ = "guard_off"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)


class CursorRow(Row):
    """The number of the newest event handled, by engine."""

    __tablename__ = "cursors"
    engine: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int]


SCHEMA = Schema("studio", Row.metadata, (empty_negative_prompts_mean_the_models_own, critiques_of_takes, add_guards))


class Database:
    """Sessions on one database. ``write`` begins at once as a writer, so that two never wait for each other.

    ``url``: as SQLAlchemy's; SQLite's may say ``?timeout=``, seconds to wait for another program that writes.
    """

    def __init__(self, url: str) -> None:
        is_sqlite = url.startswith("sqlite")
        waits = is_sqlite and "timeout" not in make_url(url).query
        self._engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S} if waits else {})
        if is_sqlite:
            _set_up_sqlite(self._engine)
        self._writer = self._engine.execution_options(writes=True)
        with self._as_trouble():
            self._migrate()

    @staticmethod
    def file(path: Path) -> "Database":
        return Database(f"sqlite:///{path}")

    def _migrate(self) -> None:
        try:
            migrate(self._engine, SCHEMA)
        except OSError as error:
            what = f"{self._engine.url.database}: could not be copied before its update ({error.strerror or error})"
            raise DatabaseTrouble(f"{what}. Make room on the disk and start again; nothing was changed.") from error

    @contextlib.contextmanager
    def read(self) -> Generator[Session]:
        with self._as_trouble(), Session(self._engine) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Generator[Session]:
        """Committed at the end, rolled back by any error."""
        with self._as_trouble(), Session(self._writer) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def _as_trouble(self) -> Generator[None]:
        try:
            yield
        except IntegrityError:  # of our own making, not the database's
            raise
        except DatabaseTooNew as error:
            raise DatabaseTrouble(str(error)) from error
        except DBAPIError as error:
            where = self._engine.url.database or self._engine.url.render_as_string()
            hint = "See that there is room on the disk and that no other program holds it"
            lost = "if it is damaged, move it away: takes are found again from their files"
            raise DatabaseTrouble(f"{where}: the database cannot be used ({error.orig}). {hint}; {lost}.") from error

    def close(self) -> None:
        self._engine.dispose()


def _set_up_sqlite(engine: Engine) -> None:
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin by itself: we do
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
