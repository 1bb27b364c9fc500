"""The steps that bring the library's tables and documents of an earlier version to today's.

Comes in: a connection inside the migration's transaction. Goes out: changed rows. A step that was released is never
edited: what it got wrong, the next one mends. Does not know the library's code of today.
"""

import json
from typing import Any, cast

from sqlalchemy import Column, Connection, Double, ForeignKey, MetaData, Table, Text, text

NEGATIVE = "negative_prompt"


def empty_negative_prompts_mean_the_models_own(connection: Connection) -> None:
    """Until now a stored scene had "" where its author had written nothing; that is null now, and "" is the author's.

    The same in the journal, so that an undo brings the same words back.
    """
    for key, document in connection.execute(text("SELECT id, storyboard FROM projects")).all():
        changed = json.dumps(_without_empty(json.loads(document)), ensure_ascii=False)
        update = text("UPDATE projects SET storyboard = :value WHERE id = :id")
        connection.execute(update, {"value": changed, "id": key})
    query = text("SELECT project_id, revision, changes FROM revisions")
    for project_id, revision, changes in connection.execute(query).all():
        changed = json.dumps(_without_empty(json.loads(changes)), ensure_ascii=False)
        update = text("UPDATE revisions SET changes = :value WHERE project_id = :id AND revision = :revision")
        connection.execute(update, {"value": changed, "id": project_id, "revision": revision})


def add_guards(connection: Connection) -> None:
    """Tables for guards: their verdicts, jobs that wait for one, projects that are not guarded."""
    connection.execute(
        text(
            "CREATE TABLE verdicts (guard TEXT NOT NULL, subject TEXT NOT NULL, verdict TEXT NOT NULL, "
            "made_s DOUBLE NOT NULL, PRIMARY KEY (guard, subject))"
        )
    )
    connection.execute(
        text(
            "CREATE TABLE held_jobs (project_id TEXT NOT NULL REFERENCES projects (id), job_id TEXT NOT NULL, "
            "place INTEGER NOT NULL, job TEXT NOT NULL, waiters TEXT NOT NULL, texts TEXT NOT NULL, "
            "PRIMARY KEY (project_id, job_id))"
        )
    )
    connection.execute(
        text("CREATE TABLE guard_off (project_id TEXT NOT NULL REFERENCES projects (id), PRIMARY KEY (project_id))")
    )


def _without_empty(value: Any) -> Any:
    """The value with null for every empty negative prompt: of a scene, or of a pair (before, after) of the journal."""
    if isinstance(value, list):
        return [_without_empty(each) for each in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    group = {name: _without_empty(each) for name, each in cast(dict[str, Any], value).items()}
    if NEGATIVE in group:
        found = group[NEGATIVE]
        group[NEGATIVE] = (
            [each or None for each in cast(list[Any], found)] if isinstance(found, list) else found or None
        )
    return group


def critiques_of_takes(connection: Connection) -> None:
    """To version 3: a table for what critics say of takes."""
    tables = MetaData()
    tables.reflect(connection, only=["takes"])
    Table(
        "critiques",
        tables,
        Column("take_id", Text, ForeignKey("takes.id"), primary_key=True),
        Column("source", Text, primary_key=True),
        Column("score", Double, nullable=False),
        Column("critique", Text, nullable=False),
        Column("made_s", Double, nullable=False),
    ).create(connection)
