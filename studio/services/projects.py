"""What the author does with projects: make, open, edit, undo, import, export, delete, and bring pictures and clips.

Comes in: ids, edits, files. Goes out: projects, files that a project may show, texts. Thread-safe. Errors:
``studio.errors.StudioError`` and ``engine.contract.errors.EngineError``, whose text may be shown as it is. Does not
know plans' contents, films or the page.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import EngineError
from engine.contract.media import MediaInfo
from engine.storage.media import MediaStore
from studio.document.edits import ChangeStoryboard, Edit, apply
from studio.document.formats.yaml_file import to_text
from studio.document.storyboard import Scene, Storyboard
from studio.errors import PlanError, ProjectMissing
from studio.library.importing import stored_upload
from studio.library.projects import Library, Project, ProjectSummary
from studio.library.takes import TakeRepository
from studio.planning.types import Plan
from studio.rendering.job_tracker import JobTracker
from studio.services.identity import LOCAL_USER, Identity
from studio.services.refresher import ProjectRefresher
from studio.services.storyboard_files import ProjectFiles
from studio.views.state_cache import ProjectStateCache


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file of the media store that a project may show. ``content_type``: image/webp, video/mp4 ..."""

    path: Path
    content_type: str


class ProjectService:
    def __init__(
        self,
        library: Library,
        takes: TakeRepository,
        store: MediaStore,
        files: ProjectFiles,
        states: ProjectStateCache,
        tracker: JobTracker,
        refresher: ProjectRefresher,
    ) -> None:
        self._library = library
        self._takes = takes
        self._store = store
        self._files = files
        self._states = states
        self._tracker = tracker
        self._refresher = refresher

    # ---- projects
    def summaries(self) -> list[ProjectSummary]:
        """All that are not in the trash, newest change first."""
        return self._library.projects()

    def create(
        self, storyboard: Storyboard | None = None, title: str | None = None, project_id: str | None = None
    ) -> Project:
        """A new project (without a storyboard: one empty scene). Titles may be equal; ids may not.

        ``project_id``: made by the caller. Raises LibraryError where it is taken.
        """
        storyboard = storyboard or Storyboard(scenes=(Scene(id="scene-1"),))
        if title is not None:
            storyboard = apply(storyboard, ChangeStoryboard(field="title", value=title))
        return self._refreshed(self._library.create(storyboard, project_id))

    def open(self, project_id: str) -> Project:
        """Raises ProjectMissing (a StudioError)."""
        return self._library.open(project_id)

    def rename(self, project_id: str, title: str) -> Project:
        project = self.open(project_id)
        return self.edit(project_id, project.revision, ChangeStoryboard(field="title", value=title))

    def duplicate(self, project_id: str) -> Project:
        """A copy with its takes (the same files), without its history."""
        storyboard = self.open(project_id).storyboard
        copy = self.create(storyboard, title=f"{storyboard.title} (copy)"[:300])
        self._takes.copy_takes(project_id, copy.id)
        return self._refreshed(copy)

    def delete(self, project_id: str) -> None:
        """Into the trash: nothing is lost, ``restore`` brings it back. Its jobs are stopped."""
        with contextlib.suppress(EngineError):  # jobs that cannot be stopped now end by themselves
            self._tracker.cancel(project_id, self._takes.waiting_jobs(project_id))
        self._library.trash(project_id, trashed=True)
        self._refresher.refresh(project_id)

    def restore(self, project_id: str) -> Project:
        self._library.trash(project_id, trashed=False)
        return self._refreshed(self.open(project_id))

    # ---- edits
    def edit(self, project_id: str, revision: int, edit: Edit) -> Project:
        """Applies and saves one edit that was made on ``revision``.

        Changes of other fields or scenes since then are kept beside it. Raises RevisionConflict (with ``.current``,
        ``.yours`` and ``.theirs``) where the same field of the same scene was changed since, or the scene is gone.
        """
        self._refresher.record_shared(project_id)
        with_takes = self._takes.scenes_with_takes(project_id)
        return self._refreshed(
            self._library.edit(project_id, revision, lambda storyboard: apply(storyboard, edit, with_takes))
        )

    def undo(self, project_id: str) -> Project:
        """Takes back the author's newest edit; the project as it is where there is none. Takes are never lost."""
        self._refresher.record_shared(project_id)
        return self._refreshed(self._library.undo(project_id))

    def redo(self, project_id: str) -> Project:
        self._refresher.record_shared(project_id)
        return self._refreshed(self._library.redo(project_id))

    # ---- storyboard files
    def import_files(self, path: Path) -> list[Project]:
        """A project for each storyboard of a file from elsewhere; media beside the file is stored with it."""
        return [self._refreshed(project) for project in self._files.imported(path)]

    def import_file(self, path: Path) -> Project:
        return self.import_files(path)[0]

    def open_file(self, path: Path, storyboard: Storyboard) -> Project:
        """The project that belongs to a storyboard file: made once, then brought up to the file's content by an edit.

        ``storyboard``: as read from the file, perhaps with another preset. Raises StoryboardError.
        """
        return self._refreshed(self._files.opened(path, storyboard))

    def scenes_of_file(self, path: Path) -> dict[str, Scene]:
        """The scenes of the project that belongs to a storyboard file, by id; none where there is no project yet."""
        try:
            project = self._library.open(self._library.id_of_file(str(path.resolve())))
        except ProjectMissing:
            return {}
        return {scene.id: scene for scene in project.storyboard.scenes}

    def plan_file(self, path: Path, storyboard: Storyboard) -> Plan:
        """What rendering a file would do; nothing is stored. Raises StoryboardError, PlanError."""
        return self._files.plan(path, storyboard)

    def export(self, project_id: str) -> str:
        """The storyboard as YAML text."""
        return to_text(self.open(project_id).storyboard)

    # ---- media
    def add_media(self, project_id: str, path: Path, name: str) -> MediaInfo:
        """Stores a picture or clip for conditioning. Raises Rejected with a message that names the file."""
        self.open(project_id)
        info = stored_upload(path, name, self._store)
        self._takes.add_media(project_id, info, name)
        self._refresher.refresh(project_id)
        return info

    def media_path(self, project_id: str, sha256: str) -> Path | None:
        """The file, only if this project uses it (conditioning, takes, posters, film): the page's access check."""
        file = self.media_file(project_id, sha256)
        return file.path if file else None

    def media_file(self, project_id: str, sha256: str, identity: Identity = LOCAL_USER) -> MediaFile | None:
        """As ``media_path``, with its content type.

        Raises PlanError where a guard withholds it from who asks.
        """
        try:
            self.open(project_id)
        except ProjectMissing:
            return None
        if not identity.is_owner and sha256 in self._states.state(project_id).withheld_files():
            raise PlanError("", "a guard withholds this from visitors.")
        content_type = self._takes.content_type(project_id, sha256)
        content_type = content_type or self._states.state(project_id).content_type(sha256)
        if content_type is None or not self._store.has(sha256):
            return None
        return MediaFile(self._store.path(sha256), content_type)

    def _refreshed(self, project: Project) -> Project:
        self._refresher.refresh(project.id)
        return project
