"""The cache that Hugging Face's tools keep on this machine: files of a published part are used where they lie.

Comes in: a card's ``Part``. Goes out: its place in a snapshot of the cache, or None. Nothing is copied, linked or
fetched. Does not know cards, fingerprints or networks.
"""

import os
from pathlib import Path

from engine.contract.card_values import Part

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
VARIABLES = (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("TRANSFORMERS_CACHE", ""), ("HF_HOME", "hub"))
"""Variables that name a cache, with the folder below it; as the tools read them, the first that is set first."""


def cached_part(part: Part) -> Path | None:
    """The first of a part's places in a snapshot of its revision that is whole, as far as names tell."""
    if not part.repository:
        return None
    folder = f"models--{part.repository.replace('/', '--')}"
    for cache in cache_folders():
        for snapshot in _snapshots(cache / folder, part.revision):
            for path in part.paths:
                if (snapshot / path).exists() and _is_whole(snapshot, part):
                    return snapshot / path
    return None


def cache_folders() -> tuple[Path, ...]:
    named = [Path(os.environ[name]) / below for name, below in VARIABLES if os.environ.get(name)]
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"
    return tuple(path.expanduser() for path in [*named, home])


def _snapshots(repository: Path, revision: str) -> list[Path]:
    """Of a revision, which a card may name by the beginning of a commit; without one, of the main branch."""
    try:
        wanted = revision or (repository / "refs" / "main").read_text(encoding="utf-8").strip()
        return sorted(path for path in (repository / "snapshots").iterdir() if path.name.startswith(wanted))
    except (OSError, UnicodeDecodeError):
        return []


def _is_whole(snapshot: Path, part: Part) -> bool:
    """Of a part that is several files: those named are there, and weights in one of the forms that would be fetched."""
    weights = [name for name in part.fetch if name.endswith(WEIGHTS)]
    others = [name for name in part.fetch if name not in weights]
    here = all(any(snapshot.glob(name)) for name in others)
    return here and (not weights or any(any(snapshot.glob(name)) for name in weights))
