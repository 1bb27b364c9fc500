"""Projects and their journal: every edit ever made, undo and redo, in a database.

Comes in: storyboards and pure changes of them, with the revision they were made on. Goes out: projects, each with its
newest revision. Nothing is ever overwritten: a write applies its changes to the newest revision, or is a
``RevisionConflict``. Does not know takes, plans, the engine or the page.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.contract.values import Value
from studio.document.diff import StoryboardDiff, Touched, apply_diff, collisions, diff_between, reversed_diff, touched
from studio.document.storyboard import Storyboard, document_of, read_document
from studio.errors import LibraryError, ProjectMissing, RevisionConflict, StoryboardError
from studio.library.database import Database, ProjectRow, RevisionRow

Change = Callable[[Storyboard], Storyboard]


class ProjectSummary(Value):
    """``updated_s``: seconds since the epoch."""

    id: str
    title: str
    num_scenes: int
    updated_s: float


class Project(Value):
    """A project at its newest revision."""

    id: str
    revision: int
    storyboard: Storyboard
    can_undo: bool
    can_redo: bool


class IdTaken(LibraryError):
    """A project of this id was made already."""


class Library:
    def __init__(self, database: Database) -> None:
        self._database = database

    def projects(self) -> list[ProjectSummary]:
        """All that are not in the trash, newest change first."""
        query = select(ProjectRow).where(ProjectRow.trashed_s == 0).order_by(ProjectRow.updated_s.desc(), ProjectRow.id)
        with self._database.read() as session:
            return [_summary(row) for row in session.scalars(query)]

    def is_new(self) -> bool:
        """Whether no project was ever made here."""
        with self._database.read() as session:
            return session.scalars(select(ProjectRow.id).limit(1)).first() is None

    def create(self, storyboard: Storyboard, project_id: str | None = None) -> Project:
        """Raises IdTaken, for an id in the trash too."""
        row = _new_row(storyboard, project_id or f"p-{secrets.token_hex(5)}")
        with self._database.write() as session:
            if session.get(ProjectRow, row.id) is not None:
                raise IdTaken(f"project {row.id}: this id is taken already. Make the project with another id.")
            session.add(row)
            session.flush()
            return _project(session, row)

    def id_of_file(self, path: str) -> str:
        """The id of the project that belongs to a storyboard file, made or not."""
        return f"f-{hashlib.sha256(path.encode()).hexdigest()[:10]}"

    def project_of_file(self, path: str, storyboard: Storyboard) -> Project:
        """The project that belongs to a file: made with this storyboard if it is not there, else as it is."""
        with self._database.write() as session:  # one transaction: two processes may come at once
            row = session.get(ProjectRow, self.id_of_file(path))
            if row is None:
                row = _new_row(storyboard, self.id_of_file(path))
                session.add(row)
            row.trashed_s = 0.0
            session.flush()
            return _project(session, row)

    def open(self, project_id: str) -> Project:
        """Raises ProjectMissing."""
        with self._database.read() as session:
            return _project(session, _row(session, project_id))

    def trash(self, project_id: str, trashed: bool) -> None:
        with self._database.write() as session:
            row = _row(session, project_id, trashed=not trashed)
            row.trashed_s = time.time() if trashed else 0.0

    def edit(self, project_id: str, revision: int, change: Change) -> Project:
        """Makes a change that was decided on ``revision``; others' changes since then are kept beside it.

        Raises StoryboardError for a change that cannot be made, RevisionConflict where both touched the same.
        """
        with self._database.write() as session:
            row = _row(session, project_id)
            since = _since(session, row, revision)
            before = _storyboard(row)
            after = _changed(row, before, change, stale=bool(since))
            changes = diff_between(before, after)
            _refuse_collisions(row, changes, since)
            if changes:
                _forget_undone(session, project_id)
                _record(session, row, after, "edit", changes)
            return _project(session, row)

    def amend(self, project_id: str, change: Change) -> Project:
        """Makes a change that is not the author's edit, such as a take arriving: undo does not see it."""
        with self._database.write() as session:
            row = _row(session, project_id)
            before = _storyboard(row)
            after = change(before)
            if changes := diff_between(before, after):
                _record(session, row, after, "take", changes)
            return _project(session, row)

    def undo(self, project_id: str) -> Project:
        """Takes the newest edit back that is done; the project as it is where there is none."""
        return self._switch(project_id, "done", "undone")

    def redo(self, project_id: str) -> Project:
        return self._switch(project_id, "undone", "done")

    def _switch(self, project_id: str, undo_state: str, becomes: str) -> Project:
        with self._database.write() as session:
            row = _row(session, project_id)
            entry = _next_to_switch(session, project_id, undo_state)
            if entry is not None:
                changes = StoryboardDiff.model_validate_json(entry.changes)
                diff = reversed_diff(changes) if becomes == "undone" else changes
                before = _storyboard(row)
                after = apply_diff(before, diff)
                entry.undo_state = becomes
                kind = "undo" if becomes == "undone" else "redo"
                _record(session, row, after, kind, diff_between(before, after))
            return _project(session, row)


def _new_row(storyboard: Storyboard, project_id: str) -> ProjectRow:
    now = time.time()
    return ProjectRow(
        id=project_id,
        title=storyboard.title,
        num_scenes=len(storyboard.scenes),
        revision=1,
        storyboard=_text(storyboard),
        created_s=now,
        updated_s=now,
        trashed_s=0.0,
    )


def _summary(row: ProjectRow) -> ProjectSummary:
    return ProjectSummary(id=row.id, title=row.title, num_scenes=row.num_scenes, updated_s=row.updated_s)


def _text(storyboard: Storyboard) -> str:
    return json.dumps(document_of(storyboard), ensure_ascii=False)


def _storyboard(row: ProjectRow) -> Storyboard:
    """Older schemas are upgraded as they are read."""
    return read_document(json.loads(row.storyboard), f"project {row.id}")


def _row(session: Session, project_id: str, trashed: bool = False) -> ProjectRow:
    row = session.get(ProjectRow, project_id, with_for_update=True)
    if row is None or (row.trashed_s > 0) != trashed:
        where = "in the trash" if row is None and trashed else "here"
        raise ProjectMissing(f"project {project_id}: is not {where} (any more). Open another project.")
    return row


def _project(session: Session, row: ProjectRow) -> Project:
    query = select(RevisionRow.undo_state).where(RevisionRow.project_id == row.id, RevisionRow.undo_state != "none")
    undo_states = set(session.scalars(query.distinct()))
    return Project(
        id=row.id,
        revision=row.revision,
        storyboard=_storyboard(row),
        can_undo="done" in undo_states,
        can_redo="undone" in undo_states,
    )


def _since(session: Session, row: ProjectRow, revision: int) -> list[StoryboardDiff]:
    """What authors changed after a revision; takes that arrived are no author's edit and never conflict."""
    if not 1 <= revision <= row.revision:
        message = f"revision {revision} is not one of this project (1 to {row.revision}). Load the project again."
        raise RevisionConflict(message, row.revision)
    query = select(RevisionRow.changes).where(
        RevisionRow.project_id == row.id, RevisionRow.revision > revision, RevisionRow.kind != "take"
    )
    return [StoryboardDiff.model_validate_json(text) for text in session.scalars(query.order_by(RevisionRow.revision))]


def _changed(row: ProjectRow, before: Storyboard, change: Change, stale: bool) -> Storyboard:
    try:
        return change(before)
    except StoryboardError as error:
        if not stale:
            raise
        message = f"{error}. The storyboard was changed elsewhere in the meantime; look at it and try again."
        raise RevisionConflict(message, row.revision) from error


def _refuse_collisions(row: ProjectRow, changes: StoryboardDiff, since: list[StoryboardDiff]) -> None:
    theirs: set[Touched] = set()
    for other in since:
        theirs |= touched(other)
    both = collisions(touched(changes), theirs)
    if both:
        scene_id, field = min(both)
        old, new = changes.scenes.get(scene_id, {}).get(field) or changes.fields.get(field) or ("", "")
        what = f"{field} of {scene_id}" if scene_id and field != "*" else scene_id or field
        message = f"{what} was changed elsewhere while you edited it. Both texts are kept: choose one, or join them."
        raise RevisionConflict(message, row.revision, yours=_shown(new), theirs=_shown(old))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _forget_undone(session: Session, project_id: str) -> None:
    """A new edit ends redo: what was undone stays in the journal, and can no longer be done again."""
    undone = (RevisionRow.project_id == project_id, RevisionRow.undo_state == "undone")
    session.execute(update(RevisionRow).where(*undone).values({RevisionRow.undo_state: "none"}))


def _next_to_switch(session: Session, project_id: str, undo_state: str) -> RevisionRow | None:
    """For undo the newest done edit; for redo the oldest undone one, which was undone last."""
    newest_first = RevisionRow.revision.desc() if undo_state == "done" else RevisionRow.revision.asc()
    of_project = (RevisionRow.project_id == project_id, RevisionRow.undo_state == undo_state)
    return session.scalars(select(RevisionRow).where(*of_project).order_by(newest_first).limit(1)).first()


def _record(session: Session, row: ProjectRow, after: Storyboard, kind: str, changes: StoryboardDiff) -> None:
    row.revision += 1
    row.title = after.title
    row.num_scenes = len(after.scenes)
    row.storyboard = _text(after)
    row.updated_s = time.time()
    entry = RevisionRow(
        project_id=row.id,
        revision=row.revision,
        kind=kind,
        undo_state="done" if kind == "edit" else "none",
        changes=changes.model_dump_json(),
        made_s=row.updated_s,
    )
    session.add(entry)
    session.flush()
