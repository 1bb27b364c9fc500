"""The text of a file or of a pipe, read once.

Comes in: a path; ``-`` is standard input. Goes out: a ``TextFile``, or a ``StoryboardError`` that names the file. Does
not know formats.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from studio.document.formats import yaml_file
from studio.document.formats.plain_yaml import MAX_BYTES, YamlError, decoded
from studio.errors import Problem, StoryboardError

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class TextFile:
    """``path``: as it was named; relative names in the text are beside it."""

    path: Path
    text: str

    @property
    def folder(self) -> Path:
        return self.path.parent if self.named else Path()

    @property
    def named(self) -> bool:
        """Whether it is a file with a name, and no pipe."""
        return self.path != STDIN and self.path.is_file()

    @property
    def name(self) -> str:
        """ "" for a pipe, whose form its content says."""
        return self.path.name if self.named else ""


def read_text(path: Path) -> TextFile:
    """Raises StoryboardError that names the file."""
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if path == STDIN else yaml_file.file_bytes(path)
    try:
        text = decoded(data)
    except YamlError as error:
        raise StoryboardError((Problem("", str(error)),), str(path)) from error
    if not text.strip():
        raise StoryboardError((Problem("", "is empty; write a storyboard, or a list of prompts"),), str(path))
    return TextFile(path, text)
