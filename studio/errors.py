"""Errors of the author's side.

StudioError
  StoryboardError(field)   the document is wrong; shown beside the field
  PresetError(file, key)   a preset, a model card or assistants.yaml is wrong; at start
  PlanError(scene_id)      a valid request that the model cannot do; before queueing
  FilmError                ffmpeg, or a take that is missing; in the film panel
  LibraryError             projects, journal or takes could not be read or written
    DatabaseTrouble        the database itself: full, locked, damaged; what was asked may be asked again
    ProjectMissing         no project has this id
    RevisionConflict       somebody else wrote first; nothing was overwritten

Every message says what, where and what to do. Does not know the page, the command line or the engine's errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


class StudioError(Exception):
    """Anything that the author's side can answer instead of doing what was asked."""


def printable(text: str) -> str:
    """Half a surrogate pair, which JSON can hold and neither a terminal nor a page, as the escape that stood there."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a document. ``field`` is a path such as ``scenes[2].prompt``; "" is the whole."""

    field: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", printable(self.field))
        object.__setattr__(self, "message", printable(self.message))

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class StoryboardError(StudioError):
    """The document is wrong. ``problems`` holds everything that was found, ``field`` the path of the first."""

    def __init__(self, problems: Sequence[Problem], where: str = "") -> None:
        self.problems = tuple(problems)
        self.where = where
        self.field = self.problems[0].field if self.problems else ""
        lines = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{where}: {lines}" if where else lines)

    @classmethod
    def at(cls, field: str, message: str) -> Self:
        return cls((Problem(field, message),))


class PresetError(StudioError):
    """A file under ``presets/`` or the host's ``assistants.yaml`` is wrong."""

    def __init__(self, file: str, key: str, message: str) -> None:
        super().__init__(f"{file}: {key}: {message}" if key else f"{file}: {message}")
        self.file = file
        self.key = key


class PlanError(StudioError):
    """A scene asks for what cannot be rendered."""

    def __init__(self, scene_id: str, message: str) -> None:
        super().__init__(message)
        self.scene_id = scene_id


class FilmError(StudioError):
    """The film could not be put together."""


class LibraryError(StudioError):
    """Projects, their journal or their takes could not be read or written."""


class DatabaseTrouble(LibraryError):
    """The database cannot be used now. Nothing was written; the same may be asked again."""


class ProjectMissing(LibraryError):
    """No project has this id (any more)."""


class RevisionConflict(LibraryError):
    """A write was based on a revision that is no longer the newest. Nothing was overwritten.

    ``current`` is the newest revision; ``yours`` and ``theirs`` are the two conflicting values, as text.
    """

    def __init__(self, message: str, current: int, yours: str = "", theirs: str = "") -> None:
        super().__init__(message)
        self.current = current
        self.yours = yours
        self.theirs = theirs
