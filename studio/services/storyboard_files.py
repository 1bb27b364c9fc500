"""Projects from storyboard files, with the pictures and clips that they name.

Comes in: files from elsewhere, or of this machine. Goes out: projects, and plans of what is not in one.
Does not know the engine or the page.
"""

from pathlib import Path

from engine.storage.media import MediaStore
from studio.document.storyboard import Storyboard
from studio.library.importing import Importer, Stored
from studio.library.projects import Library, Project
from studio.library.takes import TakeRepository
from studio.planning.plan import Plan
from studio.views.state_cache import ProjectStateCache


class ProjectFiles:
    def __init__(self, library: Library, takes: TakeRepository, store: MediaStore, states: ProjectStateCache) -> None:
        self._library = library
        self._takes = takes
        self._store = store
        self._states = states

    def imported(self, path: Path) -> list[Project]:
        """New projects of a file from elsewhere, one for each storyboard in it. Raises StoryboardError."""
        brought = Importer(path.parent, self._store, sent=True).brought_all(path)
        return [
            self._with_media(self._library.create(_named(storyboard, path, number, len(brought))), stored)
            for number, (storyboard, stored) in enumerate(brought, start=1)
        ]

    def opened(self, path: Path, storyboard: Storyboard) -> Project:
        """The project that belongs to a file, brought up to ``storyboard`` by an edit. Raises StoryboardError."""
        storyboard, stored = Importer(path.parent, self._store).brought(storyboard)
        project = self._with_media(self._library.project_of_file(str(path.resolve()), storyboard), stored)
        return self._library.edit(project.id, project.revision, lambda _: storyboard)

    def plan(self, path: Path, storyboard: Storyboard) -> Plan:
        """What rendering a file would do; nothing is stored. Raises StoryboardError, PlanError."""
        storyboard, stored = Importer(path.parent, self._store, keep=False).brought(storyboard)
        media = {info.sha256: info for info, _ in stored}
        return self._states.plan_words(self._library.id_of_file(str(path.resolve())), storyboard, media)

    def _with_media(self, project: Project, stored: list[Stored]) -> Project:
        for info, name in stored:
            self._takes.add_media(project.id, info, name)
        return project


def _named(storyboard: Storyboard, path: Path, number: int, num_of_file: int) -> Storyboard:
    """One of several of a file is called after it: ``cartoons, 1 of 3``."""
    if num_of_file == 1:
        return storyboard
    return storyboard.model_copy(update={"title": f"{path.stem}, {number} of {num_of_file}"})
