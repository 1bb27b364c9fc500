"""What a new workspace holds: the example storyboards, the first of them on top.

Comes in: a folder. Goes out: paths of storyboard files by name. Does not know what they say.
"""

from pathlib import Path


def example_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))
