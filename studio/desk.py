"""The desk: the one thing that the page, the command line and any other front calls.

Comes in: what the author does. Goes out: projects, plans, jobs to the engine, and the board. Thread-safe; every method
may be called from any thread. Does not know gradio, torch, HTTP or terminals. Errors: ``studio.errors.StudioError`` and
``engine.contract.errors.EngineError``, whose text may be shown as it stands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.contract.events import Event
from engine.contract.jobs import Job
from engine.contract.media import MediaInfo
from engine.contract.status import EngineStatus, JobStatus
from engine.contract.cards import ModelStatus
from engine.contract.workspace import Workspace
from studio.board import Board
from studio.edits import Edit
from studio.library import Project, ProjectSummary
from studio.plan import Plan
from studio.storyboard import Storyboard


class Engine(Protocol):
    """What the desk asks of an engine: ``engine.contract.client.EngineClient``, or a fake that works in-process."""

    def submit(self, job: Job) -> JobStatus: ...
    def jobs(self) -> list[JobStatus]: ...
    def job(self, job_id: str) -> JobStatus: ...
    def cancel(self, job_id: str) -> JobStatus: ...
    def move(self, job_id: str, position: int) -> JobStatus: ...
    def pause(self) -> EngineStatus: ...
    def resume(self) -> EngineStatus: ...
    def events(self, after: int) -> Iterator[Event]: ...
    def put_media(self, path: Path) -> str: ...
    def fetch_media(self, sha256: str, to: Path) -> None: ...
    def preview(self, job_id: str) -> bytes | None: ...
    def models(self) -> list[ModelStatus]: ...
    def status(self) -> EngineStatus: ...
    def healthy(self) -> bool: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file of the media store that a project may show. ``content_type``: image/webp, video/mp4 ..."""

    path: Path
    content_type: str


class Desk:
    """``Desk(workspace)`` works at once, without an engine: projects, edits, plans, films. ``attach`` brings the engine."""

    def __init__(self, workspace: Workspace, engine: Engine | None = None, database_url: str | None = None) -> None:
        raise NotImplementedError

    # ---- the engine
    def attach(self, engine: Engine) -> None:
        """Brings an engine (another replaces the one before); events are followed from where they were left."""
        raise NotImplementedError

    def close(self) -> None:
        """Stops following and wakes all who wait for changes. Jobs at the engine go on."""
        raise NotImplementedError

    # ---- projects
    def projects(self) -> list[ProjectSummary]:
        """All that are not in the trash, newest change first."""
        raise NotImplementedError

    def create(self, storyboard: Storyboard | None = None, title: str | None = None) -> Project:
        """A new project (without a storyboard: one empty scene). Names need not differ; ids do."""
        raise NotImplementedError

    def open(self, project_id: str) -> Project:
        """Raises ProjectMissing (a StudioError)."""
        raise NotImplementedError

    def rename(self, project_id: str, title: str) -> Project:
        raise NotImplementedError

    def duplicate(self, project_id: str) -> Project:
        """A copy with its takes (the same files), without its history."""
        raise NotImplementedError

    def delete(self, project_id: str) -> None:
        """Into the trash: nothing is lost, ``restore`` brings it back."""
        raise NotImplementedError

    def restore(self, project_id: str) -> Project:
        raise NotImplementedError

    def import_file(self, path: Path) -> Project:
        """From a storyboard file; its conditioning files, named relative to it, become the project's media."""
        raise NotImplementedError

    def export(self, project_id: str) -> str:
        """The storyboard as YAML text."""
        raise NotImplementedError

    # ---- edits
    def edit(self, project_id: str, revision: int, edit: Edit) -> Project:
        """Applies and saves one edit that was made on ``revision``.

        Changes of other fields or scenes since then are kept beside it. Raises RevisionConflict (with ``.current``,
        ``.yours`` and ``.theirs``) where the same field of the same scene was changed since, or the scene is gone.
        """
        raise NotImplementedError

    def undo(self, project_id: str) -> Project:
        """Takes back the author's newest edit; the project as it is where there is none. Takes are never lost."""
        raise NotImplementedError

    def redo(self, project_id: str) -> Project:
        raise NotImplementedError

    # ---- media
    def add_media(self, project_id: str, path: Path, name: str) -> MediaInfo:
        """Stores a picture or clip for conditioning. Raises Rejected in words that name the file."""
        raise NotImplementedError

    def media_path(self, project_id: str, sha256: str) -> Path | None:
        """The file, only if this project uses it (conditioning, takes, posters, film): the page's access check."""
        raise NotImplementedError

    def media_file(self, project_id: str, sha256: str) -> MediaFile | None:
        """As ``media_path``, with its content type."""
        raise NotImplementedError

    def preview(self, project_id: str, job_id: str) -> bytes | None:
        """The newest live preview (animated WebP) of a job of this project."""
        raise NotImplementedError

    # ---- plan and render
    def plan(self, project_id: str, preset: str | None = None, scene_ids: Sequence[str] | None = None) -> Plan:
        """What would be rendered, and why. ``scene_ids``: only those and what they continue from."""
        raise NotImplementedError

    def render(self, project_id: str, scene_ids: Sequence[str] | None = None) -> list[str]:
        """Submits what is not rendered yet; job ids in order (empty: all is fresh, and the film is assembled)."""
        raise NotImplementedError

    def render_again(self, project_id: str, scene_id: str) -> list[str]:
        """Another take of one scene: gives it a new seed of its own (an edit) and renders it."""
        raise NotImplementedError

    def stop(self, project_id: str) -> list[str]:
        """Cancels all waiting and running jobs of this project; their ids."""
        raise NotImplementedError

    def pause(self) -> None:
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError

    def move(self, project_id: str, job_id: str, position: int) -> None:
        """Moves a waiting job in the engine's queue, 0 is next."""
        raise NotImplementedError

    def assemble(self, project_id: str) -> Path:
        """Makes the film of the chosen takes now, and waits for it. Raises FilmError."""
        raise NotImplementedError

    def film_path(self, project_id: str) -> Path | None:
        """The newest film."""
        raise NotImplementedError

    # ---- what is shown
    def board(self, project_id: str) -> Board:
        """Everything the page shows of one project. Cheap: an unchanged board is not computed again."""
        raise NotImplementedError

    def wait_for_change(self, project_id: str, version: int, timeout_s: float) -> int:
        """Blocks until the board's version is above ``version`` or the time is over; the version then."""
        raise NotImplementedError

    def changes(self, project_id: str, after: int = 0) -> Iterator[int]:
        """Versions as they come, until the desk closes; steps are gathered, at most ten a second."""
        raise NotImplementedError
