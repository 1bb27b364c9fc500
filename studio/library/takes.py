"""What belongs to projects besides storyboards: takes, jobs and who waits for them, media, films, the engine's cursor.

Comes in: jobs that were submitted, takes that arrived, files that were stored. Goes out: which scene has which takes,
and whether a project may show a file. A take that arrives is entered together with the cursor, in one transaction, so
that no crash can lose one. Does not know plans, HTTP or the page.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine.contract.events import JobState
from engine.contract.jobs import Job, Take
from engine.contract.media import MediaInfo
from engine.storage.media import MediaStore
from studio.library.database import (
    CursorRow,
    Database,
    FilmRow,
    JobRow,
    JobUseRow,
    MediaRow,
    ProjectRow,
    SceneTakeRow,
    TakeRow,
)

_R = TypeVar("_R", SceneTakeRow, MediaRow)
LIVE: tuple[JobState, ...] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class StoredTake:
    """A take as a scene has it: ``take.scene_id`` is that scene's. Times are seconds since the epoch."""

    take: Take
    poster: str | None
    made_s: float

    def of_scene(self, scene_id: str) -> "StoredTake":
        return replace(self, take=self.take.model_copy(update={"scene_id": scene_id}))


@dataclass(frozen=True, slots=True)
class KnownJob:
    job: Job
    state: JobState
    reason: str
    waiters: tuple[tuple[str, str], ...]
    """(project id, scene id) of all that wait for it."""


@dataclass(frozen=True, slots=True)
class Film:
    """``cut`` is a hash of what the film was made of; ``path`` is relative to the workspace."""

    media: str
    poster: str | None
    path: str
    cut: str
    duration_s: float
    made_s: float


class TakeRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- takes
    def takes_of(self, project_id: str) -> list[StoredTake]:
        """All takes of a project's scenes, in the order they arrived."""
        query = (
            select(SceneTakeRow, TakeRow)
            .join(TakeRow, TakeRow.id == SceneTakeRow.take_id)
            .where(SceneTakeRow.project_id == project_id)
            .order_by(SceneTakeRow.arrived_s)
        )
        with self._database.read() as session:
            return [_stored(take).of_scene(row.scene_id) for row, take in session.execute(query)]

    def scenes_with_takes(self, project_id: str) -> set[str]:
        """Ids of all scenes that ever got a take, those that are gone too."""
        with self._database.read() as session:
            return set(session.scalars(select(SceneTakeRow.scene_id).where(SceneTakeRow.project_id == project_id)))

    def newest_takes(self, limit: int = 200) -> list[Take]:
        """Of all projects, oldest first: what this machine's speed is measured from."""
        query = select(TakeRow.take).order_by(TakeRow.made_s.desc()).limit(limit)
        with self._database.read() as session:
            return [Take.model_validate_json(text) for text in reversed(session.scalars(query).all())]

    def takes_by_recipe(self, recipes: Collection[str], store: MediaStore) -> dict[str, StoredTake]:
        """By recipe, the takes that any project has and whose file is there."""
        if not recipes:
            return {}
        with self._database.read() as session:
            rows = session.scalars(select(TakeRow).where(TakeRow.recipe.in_(recipes))).all()
            return {row.recipe: _stored(row) for row in rows if store.has(row.media)}

    def media_of_recipes(self, recipes: Collection[str]) -> set[str]:
        """The files of their takes."""
        with self._database.read() as session:
            return set(session.scalars(select(TakeRow.media).where(TakeRow.recipe.in_(recipes))))

    def projects_with(self, files: Collection[str]) -> set[str]:
        """Ids of projects with takes of these files."""
        query = select(SceneTakeRow.project_id).join(TakeRow, TakeRow.id == SceneTakeRow.take_id)
        with self._database.read() as session:
            return set(session.scalars(query.where(TakeRow.media.in_(files))))

    def take_ids(self) -> set[str]:
        with self._database.read() as session:
            return set(session.scalars(select(TakeRow.id)))

    def give(self, project_id: str, scene_takes: Iterable[tuple[str, str]]) -> None:
        """Takes that are here already become takes of scenes, by (scene id, take id)."""
        with self._database.write() as session:
            for scene_id, take_id in scene_takes:
                _add_take(session, project_id, scene_id, take_id)

    def copy_takes(self, source_id: str, project_id: str) -> None:
        """A duplicate of a project has the same takes and media."""
        with self._database.write() as session:
            for row in session.scalars(select(SceneTakeRow).where(SceneTakeRow.project_id == source_id)):
                session.merge(_same(row, SceneTakeRow, project_id))
            for row in session.scalars(select(MediaRow).where(MediaRow.project_id == source_id)):
                session.merge(_same(row, MediaRow, project_id))

    def arrive(
        self, job_id: str | None, takes: Iterable[tuple[Take, str | None]], cursor: tuple[str, int] | None = None
    ) -> list[tuple[str, str]]:
        """Takes came, each with its poster: they join all scenes that wait for the job. -> (project id, scene id)."""
        with self._database.write() as session:
            waiters: list[tuple[str, str]] = []
            for take, poster in takes:
                _keep(session, take, poster)
                for project_id, scene_id in _waiting(session, take):
                    _add_take(session, project_id, scene_id, take.id)
                    waiters.append((project_id, scene_id))
            if job_id is not None:
                waiters += _waiters_of(session, job_id)
                _set_state(session, job_id, "finished", "")
            _move_cursor(session, cursor)
            return list(dict.fromkeys(waiters))

    # ---- jobs
    def expect(self, job: Job, waiters: Iterable[tuple[str, str]]) -> None:
        """A job is about to be submitted, or is already waited for by others: these scenes wait for it too."""
        with self._database.write() as session:
            if session.get(JobRow, job.id) is None:
                text = job.model_dump_json()
                row = JobRow(id=job.id, recipe=job.recipe, job=text, state="queued", reason="", submitted_s=time.time())
                session.add(row)
                session.flush()
            for project_id, scene_id in waiters:
                session.merge(JobUseRow(job_id=job.id, project_id=project_id, scene_id=scene_id))

    def end(self, job_id: str, state: JobState, reason: str, cursor: tuple[str, int] | None = None) -> None:
        """A job ended without a take, or began."""
        with self._database.write() as session:
            _set_state(session, job_id, state, reason)
            _move_cursor(session, cursor)

    def move_cursor(self, cursor: tuple[str, int]) -> None:
        """An event was handled that changes nothing here."""
        with self._database.write() as session:
            _move_cursor(session, cursor)

    def forget(self, job_id: str) -> None:
        """The engine never took this job: nobody waits for it."""
        with self._database.write() as session:
            session.execute(delete(JobUseRow).where(JobUseRow.job_id == job_id))
            session.execute(delete(JobRow).where(JobRow.id == job_id))

    def job(self, job_id: str) -> KnownJob | None:
        with self._database.read() as session:
            row = session.get(JobRow, job_id)
            return _known(session, row) if row else None

    def leave(self, job_id: str, project_id: str) -> bool:
        """A project waits for a job no longer; whether nobody does."""
        with self._database.write() as session:
            rows = session.scalars(select(JobUseRow).where(JobUseRow.job_id == job_id)).all()
            others = [row for row in rows if row.project_id != project_id]
            if others:
                for row in rows:
                    if row.project_id == project_id:
                        session.delete(row)
            return not others

    def jobs_of_recipe(self, recipe: str) -> list[KnownJob]:
        """All jobs that were ever submitted for a recipe, oldest first."""
        with self._database.read() as session:
            query = select(JobRow).where(JobRow.recipe == recipe).order_by(JobRow.submitted_s)
            return [_known(session, row) for row in session.scalars(query)]

    def jobs_of_project(self, project_id: str) -> list[KnownJob]:
        """Those that scenes of the project wait for or waited for, oldest first."""
        ids = select(JobUseRow.job_id).where(JobUseRow.project_id == project_id)
        with self._database.read() as session:
            query = select(JobRow).where(JobRow.id.in_(ids)).order_by(JobRow.submitted_s)
            return [_known(session, row) for row in session.scalars(query)]

    def waiting_jobs(self, project_id: str) -> list[KnownJob]:
        """Those that scenes of the project wait for: queued or running."""
        return [known for known in self.jobs_of_project(project_id) if known.state in LIVE]

    def live_jobs(self) -> list[KnownJob]:
        with self._database.read() as session:
            query = select(JobRow).where(JobRow.state.in_(LIVE)).order_by(JobRow.submitted_s)
            return [_known(session, row) for row in session.scalars(query)]

    # ---- media and films
    def add_media(self, project_id: str, info: MediaInfo, name: str) -> None:
        row = MediaRow(project_id=project_id, sha256=info.sha256, name=name, info=info.model_dump_json())
        with self._database.write() as session:
            session.merge(row)

    def media_of(self, project_id: str) -> dict[str, MediaInfo]:
        with self._database.read() as session:
            rows = session.scalars(select(MediaRow).where(MediaRow.project_id == project_id))
            return {row.sha256: MediaInfo.model_validate_json(row.info) for row in rows}

    def media_names(self, project_id: str) -> dict[str, str]:
        with self._database.read() as session:
            query = select(MediaRow.sha256, MediaRow.name).where(MediaRow.project_id == project_id)
            return {sha256: name for sha256, name in session.execute(query)}

    def content_type(self, project_id: str, sha256: str) -> str | None:
        """What a file is, where the project may show it; None where it may not."""
        with self._database.read() as session:
            media = session.get(MediaRow, (project_id, sha256))
            if media is not None:
                return MediaInfo.model_validate_json(media.info).content_type
            film = session.get(FilmRow, project_id)
            if film is not None and sha256 in (film.media, film.poster):
                return "video/mp4" if sha256 == film.media else "image/webp"
            return _take_content_type(session, project_id, sha256)

    def keep_film(self, project_id: str, film: Film) -> None:
        with self._database.write() as session:
            session.merge(
                FilmRow(
                    project_id=project_id,
                    media=film.media,
                    poster=film.poster,
                    path=film.path,
                    cut=film.cut,
                    duration_s=film.duration_s,
                    made_s=film.made_s,
                )
            )

    def film_of(self, project_id: str) -> Film | None:
        with self._database.read() as session:
            row = session.get(FilmRow, project_id)
            if row is None:
                return None
            return Film(row.media, row.poster, row.path, row.cut, row.duration_s, row.made_s)

    # ---- the engine's events
    def cursor(self, engine: str) -> int:
        """The number of the newest event handled of an engine."""
        with self._database.read() as session:
            row = session.get(CursorRow, engine)
            return row.seq if row is not None else 0


def _stored(row: TakeRow) -> StoredTake:
    return StoredTake(take=Take.model_validate_json(row.take), poster=row.poster, made_s=row.made_s)


def _keep(session: Session, take: Take, poster: str | None) -> None:
    """A take that was rendered again, since its file was lost or damaged, has the same id and another file."""
    known = session.get(TakeRow, take.id)
    if known is None or known.media != take.media:
        text = take.model_dump_json()
        row = TakeRow(id=take.id, recipe=take.recipe, take=text, media=take.media, poster=poster, made_s=time.time())
        session.merge(row)
        session.flush()


def _waiters_of(session: Session, job_id: str) -> list[tuple[str, str]]:
    rows = session.scalars(select(JobUseRow).where(JobUseRow.job_id == job_id))
    return [(row.project_id, row.scene_id) for row in rows]


def _waiting(session: Session, take: Take) -> list[tuple[str, str]]:
    """Who gets a take: all scenes that wait for its recipe, else the one it was made for, if that project is here.

    Of a job with several scenes each has its own; a scene that waits for it under another name finds its take by the
    recipe, when its project is looked at again. Who waited for a job that was stopped or failed waits no more.
    """
    jobs = select(JobRow.id).where(JobRow.recipe == take.job.recipe, JobRow.state.in_(LIVE))
    query = select(JobUseRow).where(JobUseRow.job_id.in_(jobs))
    if len(take.job.scene_ids) > 1:
        query = query.where(JobUseRow.scene_id == take.scene_id)
    waiters = {(row.project_id, row.scene_id) for row in session.scalars(query)}
    if not waiters and session.get(ProjectRow, take.job.project_id) is not None:
        waiters = {(take.job.project_id, take.scene_id)}
    return sorted(waiters)


def _add_take(session: Session, project_id: str, scene_id: str, take_id: str) -> None:
    """A take that a scene has already counts as arrived anew: it is what the author waited for."""
    row = SceneTakeRow(project_id=project_id, scene_id=scene_id, take_id=take_id, arrived_s=time.time())
    session.merge(row)


def _set_state(session: Session, job_id: str, state: JobState, reason: str) -> None:
    row = session.get(JobRow, job_id)
    if row is not None:
        row.state, row.reason = state, reason


def _move_cursor(session: Session, cursor: tuple[str, int] | None) -> None:
    if cursor is not None:
        session.merge(CursorRow(engine=cursor[0], seq=cursor[1]))


def _known(session: Session, row: JobRow) -> KnownJob:
    pairs = tuple(_waiters_of(session, row.id))
    state: JobState = row.state  # pyright: ignore[reportAssignmentType]
    return KnownJob(Job.model_validate_json(row.job), state, row.reason, pairs)


def _same(row: _R, kind: type[_R], project_id: str) -> _R:
    values = {column.key: getattr(row, column.key) for column in kind.__table__.columns}
    return kind(**{**values, "project_id": project_id})


def _take_content_type(session: Session, project_id: str, sha256: str) -> str | None:
    query = (
        select(TakeRow.media)
        .join(SceneTakeRow, SceneTakeRow.take_id == TakeRow.id)
        .where(SceneTakeRow.project_id == project_id)
    )
    if session.scalars(query.where(TakeRow.media == sha256).limit(1)).first():
        return "video/mp4"
    if session.scalars(query.where(TakeRow.poster == sha256).limit(1)).first():
        return "image/webp"
    named = select(TakeRow.take).join(SceneTakeRow, SceneTakeRow.take_id == TakeRow.id)
    named = named.where(SceneTakeRow.project_id == project_id, TakeRow.take.contains(sha256))
    pictures = (Take.model_validate_json(text).picture for text in session.scalars(named))
    return "image/png" if sha256 in pictures else None
