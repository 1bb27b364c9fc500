"""What a file of weights turns out to be by its first bytes, before anything reads it.

Comes in: a path. Goes out: why it cannot be weights, as text with what to do; "" where it may be. Reads a few bytes and
no tensor. Does not know models, cards or torch.
"""

import struct
from pathlib import Path

HEAD_BYTES = 64
CHECKED_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
UNKNOWN = "neither a PyTorch nor a readable safetensors file. Get it again."


def problem_of(path: Path) -> str:
    """Why a file of one of ``CHECKED_SUFFIXES`` cannot be read as weights, where its beginning proves it.

    Raises OSError.
    """
    if path.suffix not in CHECKED_SUFFIXES:
        return ""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PK"):
        return ""
    if head[8:9] != b"{":
        problem = what_else(head)
        return "" if problem == UNKNOWN else problem
    (header_bytes,) = struct.unpack("<Q", head[:8])
    return "" if 8 + header_bytes <= size else "cut short. Get it again."


def what_else(head: bytes) -> str:
    """What a file is that is neither safetensors nor a zip, by its first bytes."""
    if not head.strip(b"\0"):
        return "empty, or a download that was cut off. Get it again."
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself. Run `git lfs pull`, or download the file."
    if head.startswith(b"GGUF"):
        return "a GGUF file: quantised weights, which are not read. Get the original ones."
    if head.lstrip()[:1] == b"<":
        return "a web page, not weights: the download was refused or needs a licence to be accepted first."
    if head.startswith(b"\x80"):
        return (
            "a pickle of the old kind, which cannot be read safely. Convert it to safetensors where you trust it, "
            "or get it in a newer format."
        )
    return UNKNOWN
