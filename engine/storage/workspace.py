"""Where all state lives: one folder, with one place for each kind of file.

Comes in: a folder. Goes out: paths, made on demand with private permissions. Does not know the files' contents.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from engine.storage.atomic import create_once


@dataclass(frozen=True, slots=True)
class Workspace:
    root: Path

    @staticmethod
    def at(root: Path) -> "Workspace":
        """The workspace at a folder, made if it is not there (mode 0700)."""
        root = root.expanduser().resolve()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Workspace(root)

    def _folder(self, *parts: str) -> Path:
        folder = self.root.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def media(self) -> Path:
        return self._folder("media")

    @property
    def takes(self) -> Path:
        return self._folder("takes")

    @property
    def logs(self) -> Path:
        return self._folder("logs")

    @property
    def studio_database(self) -> Path:
        return self.root / "studio.db"

    @property
    def engine_database(self) -> Path:
        return self.root / "engine.db"

    @property
    def engine_address(self) -> Path:
        return self.root / "engine.json"

    @property
    def file_hashes(self) -> Path:
        """Where hashes of big files are remembered."""
        return self.root / "file_hashes.json"

    @property
    def texts(self) -> Path:
        """Embeddings of prompts, by content."""
        return self._folder("texts")

    @property
    def cards(self) -> Path:
        """Model cards that commands made for weights of one's own, by content."""
        return self.root / "cards"

    def picture(self, recipe: str) -> Path:
        """Of a first frame that a picture model made."""
        return self._folder("pictures") / f"{recipe}.png"

    def job_folder(self, job_id: str) -> Path:
        return self._folder("jobs", job_id)

    def films(self, project_id: str) -> Path:
        return self._folder("films", project_id)

    def take_folder(self, recipe: str) -> Path:
        """Of a finished take; not made here: it appears by renaming."""
        return self.root / "takes" / recipe

    def token(self) -> str:
        """The bearer token of this workspace's engine, made once, kept in a file that only its owner may read."""
        path = self.root / "token"
        if not path.exists():
            create_once(path, secrets.token_urlsafe(32).encode(), mode=0o600)
        return path.read_text().strip()
