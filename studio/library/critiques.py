"""What critics say of takes, kept with them: the score orders takes, and nothing else follows from it.

Comes in: critiques by take. Goes out: the one that counts of each take. A take that is rendered again under the same
recipe keeps its critiques. Does not know critics, recipes or the page.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select

from engine.contract.assistants import Critique
from studio.library.database import CritiqueRow, Database, SceneTakeRow

BUILT_IN = "built in"
"""The source of critiques that need no model."""


@dataclass(frozen=True, slots=True)
class StoredCritique:
    """``made_s``: seconds since the epoch."""

    critique: Critique
    made_s: float


class CritiqueRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, take_id: str, critique: Critique) -> None:
        """In place of what the same critic said of the take before."""
        text = critique.model_dump_json()
        row = CritiqueRow(
            take_id=take_id, source=critique.source, score=critique.score, critique=text, made_s=time.time()
        )
        with self._database.write() as session:
            session.merge(row)

    def of_project(self, project_id: str) -> dict[str, StoredCritique]:
        """By take, the newest critique of each take of a project's scenes; the built-in one where there is no other."""
        ids = select(SceneTakeRow.take_id).where(SceneTakeRow.project_id == project_id)
        query = select(CritiqueRow).where(CritiqueRow.take_id.in_(ids))
        query = query.order_by(CritiqueRow.source != BUILT_IN, CritiqueRow.made_s)
        with self._database.read() as session:
            return {row.take_id: _stored(row) for row in session.scalars(query)}

    def of_takes(self, take_ids: Collection[str], built_in: bool) -> dict[str, StoredCritique]:
        """By take, what the built-in critic said, or the newest word of another one."""
        query = select(CritiqueRow).where(CritiqueRow.take_id.in_(take_ids)).order_by(CritiqueRow.made_s)
        query = query.where((CritiqueRow.source == BUILT_IN) == built_in)
        with self._database.read() as session:
            return {row.take_id: _stored(row) for row in session.scalars(query)}


def _stored(row: CritiqueRow) -> StoredCritique:
    return StoredCritique(Critique.model_validate_json(row.critique), row.made_s)
