"""Assembles films in the background: one at a time, and the newest request of a project counts.

Comes in: projects whose film is wanted, and the takes they consist of. Goes out: a film in the library, or the reason
why not. Does not know plans, the engine or the page.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.contract.errors import EngineError
from engine.contract.jobs import Take
from engine.storage.media import MediaStore
from engine.storage.workspace import Workspace
from studio.errors import FilmError, StudioError
from studio.film.film import EditList, cut_hash, make_film, poster_of
from studio.library.takes import Film, TakeRepository


@dataclass(frozen=True, slots=True)
class FilmSource:
    """All that one film is made of. ``storyboard``: YAML text."""

    edits: EditList
    storyboard: str
    takes: tuple[Take, ...]


class Assembly:
    """``film_source``: what a project's film is made of now (raises StudioError). ``on_change``: called with its id."""

    def __init__(
        self,
        workspace: Workspace,
        takes: TakeRepository,
        film_source: Callable[[str], FilmSource],
        on_change: Callable[[str], None],
    ) -> None:
        self._workspace = workspace
        self._takes = takes
        self._store = MediaStore(workspace.media)
        self._film_source = film_source
        self._on_change = on_change
        self._making = threading.Lock()
        self._wanted: queue.Queue[str | None] = queue.Queue()
        self._pending: set[str] = set()
        self._at_work = ""
        self._errors: dict[str, str] = {}
        self._lock = threading.Lock()
        self._worker = threading.Thread(target=self._work, name="studio-assembly", daemon=True)
        self._worker.start()

    def want(self, project_id: str) -> None:
        with self._lock:
            if project_id in self._pending:
                return
            self._pending.add(project_id)
        self._wanted.put(project_id)
        self._on_change(project_id)

    def state(self, project_id: str) -> tuple[bool, str]:
        """(whether it is being assembled, why it could not be)."""
        with self._lock:
            return project_id in (*self._pending, self._at_work), self._errors.get(project_id, "")

    def make(self, project_id: str) -> Film:
        """Makes the film now, unless it is there already, and waits. Raises FilmError."""
        with self._making:
            source = self._film_source(project_id)
            cut = cut_hash(source.edits)
            known = self._takes.film_of(project_id)
            out = self._workspace.films(project_id) / f"{cut[:16]}.mp4"
            if known is None or known.cut != cut or not out.is_file():
                make_film(source.edits, out, source.storyboard, source.takes)
                known = self._keep(project_id, source, cut)
            with self._lock:
                self._errors.pop(project_id, None)
            return known

    def _keep(self, project_id: str, source: FilmSource, cut: str) -> Film:
        out = self._workspace.films(project_id) / f"{cut[:16]}.mp4"
        try:
            media = self._store.adopt(out)
            poster = self._store.put_stream([poster_of(out)])
        except OSError as error:
            what = f"{out.name}: the film could not be stored ({error.strerror or error}). Free some disk space."
            raise FilmError(what) from error
        where = str(out.relative_to(self._workspace.root))
        film = Film(media, poster, where, cut, source.edits.duration_s, time.time())
        self._takes.keep_film(project_id, film)
        return film

    def close(self) -> None:
        self._wanted.put(None)
        self._worker.join(timeout=10)

    def _work(self) -> None:
        while (project_id := self._wanted.get()) is not None:
            with self._lock:  # a request from here on is for another film
                self._pending.discard(project_id)
                self._at_work = project_id
            error = self._tried(project_id)
            with self._lock:
                self._at_work = ""
                if error:
                    self._errors[project_id] = error
            self._on_change(project_id)

    def _tried(self, project_id: str) -> str:
        try:
            self.make(project_id)
        except (StudioError, EngineError, OSError) as error:
            return str(error)
        return ""
