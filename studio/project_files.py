"""Projects from storyboard files, with the pictures and clips that they name.

Comes in: files that somebody sent, or that lie on this machine. Goes out: projects, and plans of what is not in one.
Does not know the engine or the page.
"""

from pathlib import Path

from engine.contract.media import MediaStore
from studio.facts import FactsBook
from studio.importing import Importer, Stored
from studio.library import Library, Project
from studio.plan import Plan
from studio.shelf import Shelf
from studio.storyboard import Storyboard


class ProjectFiles:
    def __init__(self, library: Library, shelf: Shelf, store: MediaStore, book: FactsBook) -> None:
        self._library = library
        self._shelf = shelf
        self._store = store
        self._book = book

    def imported(self, path: Path) -> list[Project]:
        """New projects of a file that somebody sent, one for each storyboard in it. Raises StoryboardError."""
        brought = Importer(path.parent, self._store, sent=True).brought_all(path)
        return [self._with_media(self._library.create(words), stored) for words, stored in brought]

    def opened(self, path: Path, words: Storyboard) -> Project:
        """The project that belongs to a file, brought up to what ``words`` say, as an edit. Raises StoryboardError."""
        words, stored = Importer(path.parent, self._store).brought(words)
        project = self._with_media(self._library.project_of_file(str(path.resolve()), words), stored)
        return self._library.edit(project.id, project.revision, lambda _: words)

    def plan(self, path: Path, words: Storyboard) -> Plan:
        """What rendering a file would do; nothing is stored. Raises StoryboardError, PlanError."""
        words, stored = Importer(path.parent, self._store, keep=False).brought(words)
        media = {info.sha256: info for info, _ in stored}
        return self._book.plan_words(self._library.id_of_file(str(path.resolve())), words, media)

    def _with_media(self, project: Project, stored: list[Stored]) -> Project:
        for info, name in stored:
            self._shelf.add_media(project.id, info, name)
        return project
