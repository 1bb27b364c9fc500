"""What guards said, and what waits for them: verdicts by guard and subject, held jobs, projects without a guard.

Comes in: verdicts, jobs. Goes out: the same, also after a restart. A verdict is kept beside takes and never in a
recipe. Does not know guards, policies or the page.
"""

import hashlib
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from engine.contract.assistants import Verdict
from engine.contract.jobs import Job
from studio.library.database import Database, GuardOffRow, HeldJobRow, VerdictRow

UNCHECKED = "unchecked"
"""The guard and the category of what stands in for a verdict where a guard could not be asked, and nothing demands
one."""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """``scene_ids``: who waits for it. ``texts``: what is judged, each as (scene id, place in words, text)."""

    job: Job
    scene_ids: tuple[str, ...]
    texts: tuple[tuple[str, str, str], ...]


def of_text(text: str) -> str:
    """The subject of a text's verdict."""
    return f"text:{hashlib.sha256(text.encode()).hexdigest()}"


def of_recipe(recipe: str) -> str:
    """The subject of what is noted of a job."""
    return f"recipe:{recipe}"


def of_media(sha256: str) -> str:
    """The subject of a take's verdict: that of its file."""
    return f"media:{sha256}"


class VerdictRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- verdicts
    def verdict(self, guard: str, subject: str) -> Verdict | None:
        with self._database.read() as session:
            row = session.get(VerdictRow, (guard, subject))
            return Verdict.model_validate_json(row.verdict) if row else None

    def verdicts(self, guard: str, subjects: Collection[str]) -> dict[str, Verdict]:
        """By subject, those that are known."""
        query = select(VerdictRow).where(VerdictRow.guard == guard, VerdictRow.subject.in_(subjects))
        with self._database.read() as session:
            return {row.subject: Verdict.model_validate_json(row.verdict) for row in session.scalars(query)}

    def all_of(self, guard: str) -> dict[str, Verdict]:
        """By subject."""
        with self._database.read() as session:
            rows = session.scalars(select(VerdictRow).where(VerdictRow.guard == guard))
            return {row.subject: Verdict.model_validate_json(row.verdict) for row in rows}

    def keep(self, guard: str, subject: str, verdict: Verdict) -> None:
        row = VerdictRow(guard=guard, subject=subject, verdict=verdict.model_dump_json(), made_s=time.time())
        with self._database.write() as session:
            session.merge(row)

    # ---- held jobs
    def hold(self, project_id: str, jobs: Sequence[HeldJob], replace: bool) -> list[HeldJob]:
        """Behind those that are held already; -> those for the same scenes, which these ``replace``."""
        scene_ids = {scene_id for held in jobs for scene_id in held.scene_ids} if replace else set[str]()
        replaced = [held for held in self.held(project_id) if scene_ids.intersection(held.scene_ids)]
        with self._database.write() as session:
            _delete(session, project_id, replaced)
            last = session.scalar(select(func.max(HeldJobRow.place)).where(HeldJobRow.project_id == project_id)) or 0
            for place, held in enumerate(jobs, start=last + 1):
                session.merge(_row_of(project_id, place, held))
        return replaced

    def held(self, project_id: str) -> list[HeldJob]:
        query = select(HeldJobRow).where(HeldJobRow.project_id == project_id).order_by(HeldJobRow.place)
        with self._database.read() as session:
            return [_held(row) for row in session.scalars(query)]

    def holding(self) -> list[str]:
        """Ids of projects with held jobs."""
        with self._database.read() as session:
            return list(session.scalars(select(HeldJobRow.project_id).distinct()))

    def release(self, project_id: str, jobs: Sequence[HeldJob]) -> None:
        with self._database.write() as session:
            _delete(session, project_id, jobs)

    # ---- the author's switch
    def is_off(self, project_id: str) -> bool:
        with self._database.read() as session:
            return session.get(GuardOffRow, project_id) is not None

    def switch(self, project_id: str, on: bool) -> None:
        with self._database.write() as session:
            if on:
                session.execute(delete(GuardOffRow).where(GuardOffRow.project_id == project_id))
            else:
                session.merge(GuardOffRow(project_id=project_id))


def _row_of(project_id: str, place: int, held: HeldJob) -> HeldJobRow:
    return HeldJobRow(
        project_id=project_id,
        job_id=held.job.id,
        place=place,
        job=held.job.model_dump_json(),
        waiters=json.dumps(held.scene_ids),
        texts=json.dumps(held.texts, ensure_ascii=False),
    )


def _held(row: HeldJobRow) -> HeldJob:
    texts = tuple((scene_id, place, text) for scene_id, place, text in json.loads(row.texts))
    return HeldJob(Job.model_validate_json(row.job), tuple(json.loads(row.waiters)), texts)


def _delete(session: Session, project_id: str, jobs: Sequence[HeldJob]) -> None:
    ids = [held.job.id for held in jobs]
    session.execute(delete(HeldJobRow).where(HeldJobRow.project_id == project_id, HeldJobRow.job_id.in_(ids)))
