"""The engine's tables: jobs with their state, events in order, and the queue's lasting settings.

Comes in: a SQLAlchemy URL. Goes out: a database engine whose tables are those of this version. Does not know what a
state or an event means. A change of a table is a new step at the end of ``SCHEMA``'s.
"""

import sqlite3
from typing import Literal

from sqlalchemy import BigInteger, Connection, Engine, Integer, String, Text, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from engine.contract.events import JobState
from engine.storage.migrations import Schema, migrate

MAX_LOG_PAGES = 20_000
"""Of SQLite's write-ahead log (80 MB) before a writer has to empty it and wait for the disk; see ``empty_log``."""

_Seq = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    pass


JobKind = Literal["film", "assistant"]


class JobRow(Base):
    """One job, of a film or of an assistant (``kind``). ``place`` orders the waiting ones; ``failures`` counts attempts
    that ended by a group's death."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[JobState] = mapped_column(String(16), index=True)
    place: Mapped[int] = mapped_column(Integer, default=0)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str] = mapped_column(Text, default="")
    changed_s: Mapped[float] = mapped_column(default=0.0)
    kind: Mapped[JobKind] = mapped_column(String(16), default="film", server_default="film")


class EventRow(Base):
    """One event. ``ends_job`` is the job's id on its terminal event alone: the database refuses a second one."""

    __tablename__ = "events"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  numbers of deleted events are never used again
    seq: Mapped[int] = mapped_column(_Seq, primary_key=True, autoincrement=True)
    job_id: Mapped[str | None] = mapped_column(String(80), index=True)
    type: Mapped[str] = mapped_column(String(16))
    ends_job: Mapped[str | None] = mapped_column(String(80), unique=True)
    body: Mapped[str] = mapped_column(Text)


class SettingRow(Base):
    """A lasting setting of the engine: whether the queue is paused."""

    __tablename__ = "facts"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


def _add_kind(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN kind VARCHAR(16) NOT NULL DEFAULT 'film'")


SCHEMA = Schema("engine", Base.metadata, (_add_kind,))


def open_database(url: str) -> Engine:
    """Connects, and migrates. SQLite: write-ahead log, so that readers never wait for the writer.

    Raises DatabaseTooNew, SQLAlchemyError.
    """
    is_sqlite = make_url(url).get_backend_name() == "sqlite"
    engine = create_engine(url, connect_args={"timeout": 30} if is_sqlite else {}, pool_pre_ping=not is_sqlite)
    if is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
    migrate(engine, SCHEMA)
    return engine


def empty_log(engine: Engine) -> None:
    """Moves SQLite's write-ahead log into the database file, which waits for the disk, without holding up writers."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"wal_autocheckpoint={MAX_LOG_PAGES}"):
        connection.execute(f"PRAGMA {pragma}")
