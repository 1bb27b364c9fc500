"""The storyboard's own format: readable YAML (JSON is accepted).

Comes in: a file or its text. Goes out: a ``Storyboard``, and text that a person likes to read: what is at its default
is left out, keys are in a fixed order, prompts of several lines are blocks. Does not know projects or the library.
"""

from pathlib import Path
from typing import Any

from studio.document.formats.plain_yaml import MAX_BYTES, YamlError, dump, parse
from studio.document.storyboard import SCHEMA, Scene, Storyboard, read_document
from studio.errors import Problem, StoryboardError

_ALWAYS = ("title", "aspect", "model", "preset", "seed")
_ALWAYS_IN_SCENE = ("id", "prompt", "duration_s")


def from_text(text: bytes | str, where: str = "") -> Storyboard:
    """The storyboard of a YAML or JSON text. Raises StoryboardError with every problem; ``where`` names the file."""
    try:
        document = parse(text)
    except YamlError as error:
        raise StoryboardError((Problem("", str(error)),), where) from error
    return read_document(document, where)


def to_text(storyboard: Storyboard) -> str:
    """The storyboard as readable YAML."""
    values = _said(storyboard, _ALWAYS)
    values["scenes"] = [_said(scene, _always_in(scene)) for scene in storyboard.scenes]
    return dump({"schema": SCHEMA, **values})


def _always_in(scene: Scene) -> tuple[str, ...]:
    return (*_ALWAYS_IN_SCENE, "crossfade_s") if scene.transition == "crossfade" else _ALWAYS_IN_SCENE


def _said(value: Storyboard | Scene, always: tuple[str, ...]) -> dict[str, Any]:
    changed = value.model_dump(mode="json", exclude_defaults=True)
    whole = value.model_dump(mode="json", include=set(always))
    return {name: changed.get(name, whole.get(name)) for name in type(value).model_fields if name in {*changed, *whole}}


def read_file(path: Path) -> Storyboard:
    """The storyboard in a file. Raises StoryboardError that names the file."""
    return from_text(file_bytes(path), str(path))


def file_bytes(path: Path) -> bytes:
    """What a file holds, up to one byte more than is read. Raises StoryboardError that names the file."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise StoryboardError((Problem("", "there is no such file; check the path"),), str(path)) from error
    except OSError as error:
        message = f"cannot be read ({error.strerror}); check that it is a file and that you may read it"
        raise StoryboardError((Problem("", message),), str(path)) from error
