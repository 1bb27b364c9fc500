"""Brings the pictures and clips that a storyboard file names into the media store.

Comes in: a storyboard whose ``conditioning.media`` are paths beside its file. Goes out: the storyboard with SHA-256
names, and what was stored. A file that is not there, or is no picture, is an error that names the scene.
"""

import re
from pathlib import Path

from engine.contract.errors import Rejected
from engine.contract.media import MediaInfo, MediaStore, probe
from studio.errors import StoryboardError
from studio.storyboard import Scene, Storyboard

Stored = tuple[MediaInfo, str]
"""What a stored file is, and its name as the author knows it."""


def with_stored_media(
    words: Storyboard, folder: Path, store: MediaStore, keep: bool = True
) -> tuple[Storyboard, list[Stored]]:
    """Without ``keep`` files are only looked at. Raises StoryboardError with the path of the field."""
    stored: dict[str, Stored] = {}
    scenes: list[Scene] = []
    for position, scene in enumerate(words.scenes):
        if scene.conditioning is not None:
            info, name = _stored(
                scene.conditioning.media, folder, store, keep, f"scenes[{position}].conditioning.media"
            )
            stored[info.sha256] = (info, name)
            conditioning = scene.conditioning.model_copy(update={"media": info.sha256})
            scene = scene.model_copy(update={"conditioning": conditioning})
        scenes.append(scene)
    return words.model_copy(update={"scenes": tuple(scenes)}), list(stored.values())


def _stored(media: str, folder: Path, store: MediaStore, keep: bool, field: str) -> Stored:
    named_by_hash = re.fullmatch(r"[0-9a-f]{64}", media) is not None
    path = store.path(media) if named_by_hash else folder / media
    try:
        info = probe(path)
        if keep and not named_by_hash:
            store.put_file(path)
    except Rejected as error:
        raise StoryboardError.at(field, str(error)) from error
    except OSError as error:
        raise StoryboardError.at(field, f"{path.name}: could not be stored ({error.strerror or error})") from error
    return info, path.name
