"""Which outside format a file has, by its content: our own YAML, NVIDIA's batch files, TTT-Video's prompt files.

Comes in: a file. Goes out: the storyboards in it, or a ``StoryboardError`` that names the file. Our own files are YAML
or a JSON group; a JSON list, or JSON on each line, is somebody else's. Does not know the library or models.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar, cast

from studio.document.formats import cosmos_batch, ttt_prompts, yaml_file
from studio.document.formats.cosmos_batch import Batch
from studio.document.formats.plain_yaml import YamlError, decoded, parse_json
from studio.document.storyboard import Storyboard
from studio.errors import Problem, StoryboardError

Format = Literal["storyboard", "cosmos", "ttt"]
T = TypeVar("T")


def read_storyboards(path: Path) -> tuple[Storyboard, ...]:
    """Every storyboard of a file, at least one. Raises StoryboardError that names the file."""
    text = _text(path)
    match format_of(text, path.name):
        case "storyboard":
            return (yaml_file.from_text(text, str(path)),)
        case "cosmos":
            return _named(path, lambda: (cosmos_batch.storyboard_of(_batch(text)),))
        case "ttt":
            return _named(path, lambda: _videos(text, path))


def read_file(path: Path) -> Storyboard:
    """The one storyboard of a file. Raises StoryboardError that names the file."""
    storyboards = read_storyboards(path)
    if len(storyboards) != 1:
        message = (
            f"holds {len(storyboards)} videos, and a film is made of one; run `storyboard batch` or import the file"
        )
        raise StoryboardError((Problem("", message),), str(path))
    return storyboards[0]


def holds_videos(path: Path) -> bool:
    """Whether a file is one of TTT-Video's. Raises StoryboardError where it cannot be read."""
    return format_of(_text(path), path.name) == "ttt"


def read_batch(path: Path) -> Batch:
    """The entries of a batch file, the bad ones beside the others. Raises StoryboardError that names the file."""
    text = _text(path)
    if format_of(text, path.name) != "cosmos":
        message = 'is no batch file; that is a JSON list of groups, or a group on each line, such as {"prompt": "..."}'
        raise StoryboardError((Problem("", message),), str(path))
    return _named(path, lambda: _batch(text))


def format_of(text: str, name: str = "") -> Format:
    """By the first brackets: a list of lists is TTT-Video's, a list of groups or groups on lines are NVIDIA's."""
    start = text.lstrip()
    on_lines = Path(name).suffix.lower() == ".jsonl"
    if start.startswith("["):
        return "ttt" if on_lines or start[1:].lstrip().startswith("[") or _is_video(start) else "cosmos"
    return "cosmos" if start.startswith("{") and (on_lines or _is_entry(start)) else "storyboard"


def _is_video(start: str) -> bool:
    """Whether a list of groups is a video of TTT-Video's: its segments have a ``text``, NVIDIA's entries a prompt."""
    whole = _parsed(start)
    values = _parsed(start.split("\n", 1)[0]) if whole is None else whole
    group = cast(list[object], values)[0] if isinstance(values, list) and values else None
    return isinstance(group, dict) and "text" in group and "prompt" not in group


def _is_entry(start: str) -> bool:
    """Whether the first line is a whole group, and not a storyboard's."""
    group = _parsed(start.split("\n", 1)[0])
    if not isinstance(group, dict) or not group:
        return False
    return not {"schema", *Storyboard.model_fields} & set(cast(dict[str, object], group))


def _parsed(text: str) -> object:
    try:
        return parse_json(text)
    except YamlError:
        return None


def _batch(text: str) -> Batch:
    if not text.lstrip().startswith("["):
        return cosmos_batch.read_lines(text)
    try:
        values = parse_json(text)
    except YamlError as error:
        raise StoryboardError.at("", str(error)) from error
    return cosmos_batch.read_array(cast(list[object], values))


def _videos(text: str, path: Path) -> tuple[Storyboard, ...]:
    form = ttt_form(path.name)
    return ttt_prompts.storyboards_of(ttt_prompts.read_videos(text, form), form)


def ttt_form(name: str) -> ttt_prompts.Form:
    """How a prompt file's name says it is written. Raises StoryboardError."""
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        return "json"
    if suffix == ".jsonl":
        return "jsonl"
    raise StoryboardError.at("", "holds videos of TTT-Video; such a file ends in .json, or in .jsonl with one a line")


def _text(path: Path) -> str:
    data = yaml_file.file_bytes(path)
    try:
        text = decoded(data)
    except YamlError as error:
        raise StoryboardError((Problem("", str(error)),), str(path)) from error
    if not text.strip():
        raise StoryboardError((Problem("", "is empty; write a storyboard, or a list of prompts"),), str(path))
    return text


def _named(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except StoryboardError as error:
        raise StoryboardError(error.problems, str(path)) from error
