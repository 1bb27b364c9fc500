"""Brings the pictures and clips that a storyboard file names into the media store.

Comes in: uploads, and a storyboard whose ``conditioning.media`` are paths beside its file, or a whole file of any
format. Goes out: the storyboard with SHA-256 names, and what was stored. Does not know projects. A file that somebody
sent may only name what is beside it; otherwise it could show any picture of this machine.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import Rejected
from engine.contract.media import MediaInfo
from engine.storage.media import MediaStore, probe
from studio.document.formats.reading import read_storyboards
from studio.document.storyboard import Scene, Storyboard
from studio.errors import StoryboardError

Stored = tuple[MediaInfo, str]
"""What a stored file is, and its name as the author knows it."""

MAX_MEDIA_BYTES = 512 * 2**20


def stored_upload(path: Path, name: str, store: MediaStore) -> MediaInfo:
    """Stores the picture or clip at ``path``, which its author calls ``name``. Raises Rejected with the reason."""
    try:
        if path.stat().st_size > MAX_MEDIA_BYTES:
            raise Rejected("conditioning", f"{name}: is larger than {MAX_MEDIA_BYTES >> 20} MiB. Make it smaller.")
        info = probe(path)
        store.put_file(path)
    except Rejected as error:
        raise Rejected(error.code, str(error).replace(path.name, name)) from error
    except OSError as error:
        what = f"{name}: could not be stored ({error.strerror or error}). Free some disk space and try again."
        raise Rejected("conditioning", what) from error
    return info


@dataclass(frozen=True, slots=True)
class Importer:
    """``folder``: the folder of the storyboard's file. Without ``keep``, files are only looked at, and not stored.

    ``sent``: the file came from elsewhere, perhaps without its pictures. What is not beside it stays a name, and the
    plan says on the scene that it is not there; else that is a StoryboardError with the path of the field.
    """

    folder: Path
    store: MediaStore
    keep: bool = True
    sent: bool = False

    def brought_all(self, path: Path) -> list[tuple[Storyboard, list[Stored]]]:
        """Every storyboard of a file of any format (``formats.reading``), in its order. Raises StoryboardError."""
        return [self.brought(storyboard) for storyboard in read_storyboards(path)]

    def brought(self, storyboard: Storyboard) -> tuple[Storyboard, list[Stored]]:
        """Raises StoryboardError."""
        stored: dict[str, Stored] = {}
        scenes: list[Scene] = []
        for position, scene in enumerate(storyboard.scenes):
            found = self._found(scene, f"scenes[{position}].conditioning.media")
            if found is not None and scene.conditioning is not None:
                stored[found[0].sha256] = found
                conditioning = scene.conditioning.model_copy(update={"media": found[0].sha256})
                scene = scene.model_copy(update={"conditioning": conditioning})
            scenes.append(scene)
        return storyboard.model_copy(update={"scenes": tuple(scenes)}), list(stored.values())

    def _found(self, scene: Scene, field: str) -> Stored | None:
        if scene.conditioning is None:
            return None
        media = scene.conditioning.media
        named_by_hash = re.fullmatch(r"[0-9a-f]{64}", media) is not None
        path = self.store.path(media) if named_by_hash else self.folder / media
        if self.sent and not (path.is_file() and (named_by_hash or self._is_beside(path))):
            return None
        try:
            info = probe(path)
            if self.keep and not named_by_hash:
                self.store.put_file(path)
        except Rejected as error:
            raise StoryboardError.at(field, str(error)) from error
        except OSError as error:
            raise StoryboardError.at(field, f"{path.name}: could not be stored ({error.strerror or error})") from error
        return info, path.name

    def _is_beside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder.resolve())
