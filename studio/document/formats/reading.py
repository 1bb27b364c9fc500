"""Which outside format a file has, by its content: our own YAML, NVIDIA's batch files, TTT-Video's prompt files.

Comes in: a file. Goes out: the storyboards in it, or a ``StoryboardError`` that names the file. Our own files are YAML
or a JSON group; a JSON list, or JSON on each line, is somebody else's. Does not know the library or models.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar, cast

from studio.document.formats import cosmos_batch, cosmos_samples, ttt_prompts, yaml_file
from studio.document.formats.cosmos_batch import Batch
from studio.document.formats.cosmos_samples import is_samples
from studio.document.formats.plain_yaml import YamlError, parse_json
from studio.document.formats.text_file import TextFile, read_text
from studio.document.storyboard import Storyboard
from studio.errors import Problem, StoryboardError

Format = Literal["storyboard", "cosmos", "ttt"]
T = TypeVar("T")


def read_storyboards(path: Path) -> tuple[Storyboard, ...]:
    """Every storyboard of a file, at least one. Raises StoryboardError that names the file."""
    return storyboards_in(read_text(path))


def storyboards_in(file: TextFile) -> tuple[Storyboard, ...]:
    """Raises StoryboardError that names the file."""
    match format_of(file.text, file.name):
        case "storyboard":
            return (yaml_file.from_text(file.text, str(file.path)),)
        case "cosmos":
            return _named(file, lambda: (cosmos_batch.storyboard_of(_batch(file)),))
        case "ttt":
            return _named(file, lambda: _videos(file))


def read_file(path: Path) -> Storyboard:
    """The one storyboard of a file. Raises StoryboardError that names the file."""
    storyboards = read_storyboards(path)
    if len(storyboards) != 1:
        message = (
            f"holds {len(storyboards)} videos, and a film is made of one; run `storyboard batch` or import the file"
        )
        raise StoryboardError((Problem("", message),), str(path))
    return storyboards[0]


def holds_videos(file: TextFile) -> bool:
    """Whether a file is one of TTT-Video's."""
    return format_of(file.text, file.name) == "ttt"


def read_batch(path: Path) -> Batch:
    """Raises StoryboardError that names the file."""
    return batch_in(read_text(path))


def batch_in(file: TextFile) -> Batch:
    """The entries of a batch file, the bad ones beside the others. Raises StoryboardError that names the file."""
    if format_of(file.text, file.name) != "cosmos":
        message = 'is no batch file; that is a JSON list of groups, or a group on each line, such as {"prompt": "..."}'
        raise StoryboardError((Problem("", message),), str(file.path))
    return _named(file, lambda: _batch(file))


def format_of(text: str, name: str = "") -> Format:
    """By the first brackets: a list of lists is TTT-Video's, a list of groups or groups on lines are NVIDIA's."""
    start, on_lines = text.lstrip(), Path(name).suffix.lower() == ".jsonl"
    if start.startswith("["):
        return "ttt" if on_lines or start[1:].lstrip().startswith("[") or _is_video(start) else "cosmos"
    if not start.startswith("{"):
        return "storyboard"
    return "cosmos" if on_lines or _is_entry(start.split("\n", 1)[0]) or is_samples(_parsed(start)) else "storyboard"


def _is_video(start: str) -> bool:
    """Whether a list of groups is a video of TTT-Video's: its segments have a ``text``, NVIDIA's entries a prompt."""
    whole = _parsed(start)
    values = _parsed(start.split("\n", 1)[0]) if whole is None else whole
    group = cast(list[object], values)[0] if isinstance(values, list) and values else None
    return isinstance(group, dict) and "text" in group and "prompt" not in group


def _is_entry(line: str) -> bool:
    """Whether the first line is a whole group, and not a storyboard's."""
    group = _parsed(line)
    if not isinstance(group, dict) or not group:
        return False
    return not {"schema", *Storyboard.model_fields} & set(cast(dict[str, object], group))


def _parsed(text: str) -> object:
    try:
        return parse_json(text)
    except YamlError:
        return None


def _batch(file: TextFile) -> Batch:
    whole = _parsed(file.text)
    if is_samples(whole):
        return cosmos_samples.read_samples(whole, file.folder)
    if not file.text.lstrip().startswith("["):
        lines = [_parsed(line) for line in file.text.splitlines()]
        if lines and all(map(is_samples, lines)):
            return cosmos_samples.read_samples(lines, file.folder)
        return cosmos_batch.read_lines(file.text)
    try:
        values = parse_json(file.text)
    except YamlError as error:
        raise StoryboardError.at("", str(error)) from error
    return cosmos_batch.read_array(cast(list[object], values))


def _videos(file: TextFile) -> tuple[Storyboard, ...]:
    form = ttt_form(file.name, file.text)
    return ttt_prompts.storyboards_of(ttt_prompts.read_videos(file.text, form), form)


def ttt_form(name: str, text: str = "") -> ttt_prompts.Form:
    """How a prompt file is written, by its name; by its content for a pipe, which has none. Raises StoryboardError."""
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        return "json"
    if suffix == ".jsonl":
        return "jsonl"
    if not name:
        return "jsonl" if _parsed(text) is None else "json"
    raise StoryboardError.at("", "holds videos of TTT-Video; such a file ends in .json, or in .jsonl with one a line")


def _named(file: TextFile, read: Callable[[], T]) -> T:
    try:
        return read()
    except StoryboardError as error:
        raise StoryboardError(error.problems, str(file.path)) from error
