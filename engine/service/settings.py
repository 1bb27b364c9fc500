"""How one engine process is set up. Every value is decided here, once, at start.

Comes in: flags. Goes out: ``Settings``, and the folders that ship with the project. Does not know what for.
"""

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

from engine.contract.errors import Rejected
from engine.storage.card_files import card_paths, find_part, own_cards, read_card
from engine.storage.workspace import Workspace

GroupKind = Literal["local", "fake"]


@dataclass(frozen=True, slots=True)
class Settings:
    """``cards``: folder of model cards; ``models_root``: the folder that a card's ``folder`` is relative to."""

    workspace: Workspace
    cards: Path
    models_root: Path
    host: str = "127.0.0.1"
    port: int = 0
    """0: the one used last in this workspace if it is free, else any."""
    num_ranks: int = 1
    database_url: str = ""
    """"": SQLite in the workspace."""
    group: GroupKind = "local"
    """fake: one small process that draws coloured cards instead of films, for tests of everything around it."""
    max_media_bytes: int = 2 * 2**30
    keep_alive_s: float = 15.0
    """Silence of an event stream after which a comment is sent."""
    start_timeout_s: float = 1800.0
    """Until a new group has its weights in memory."""
    stall_timeout_s: float = 900.0
    """Longest silence of a group at work (not paused)."""
    cancel_timeout_s: float = 60.0
    """Until a group that does not answer a cancel is ended."""
    back_off_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    """Waits before a new group after deaths with no finished job between them; the last one repeats."""

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.workspace.engine_database}"


def default_roots() -> tuple[Path, Path]:
    """-> (folder of model cards, models' root) of this project: beside the package. The root need not be there: what
    is downloaded goes into it; what the project ships does not need it."""
    package = importlib.util.find_spec("engine")
    locations = list(package.submodule_search_locations or ()) if package else []
    candidates = [Path(location).resolve().parent for location in locations] + [Path.cwd()]
    for root in candidates:
        if (root / "presets" / "models").is_dir():
            return root / "presets" / "models", root / "models"
    return candidates[0] / "presets" / "models", candidates[0] / "models"


def usable_ranks(num_gpus: int, num_heads: Collection[int]) -> int:
    """The largest number of ranks, at most one for each GPU, among which every model's attention heads can be split."""
    return next(n for n in range(max(1, num_gpus), 0, -1) if all(heads % n == 0 for heads in num_heads))


def heads_of_models(cards: Path, models_root: Path) -> set[int]:
    """Attention heads of the models that were downloaded; where there are none, of the bundled one.

    A card that cannot be read is left to whoever uses it.
    """
    heads: dict[bool, set[int]] = {True: set(), False: set()}
    folders = (cards, own_cards(models_root))
    for path in card_paths(*folders).values():
        with contextlib.suppress(Rejected):
            card = read_card(path, folders)
            place = find_part(card.parts.network, models_root)
            heads[place.is_relative_to(models_root)].add(card.network.num_heads)
    return heads[True] or heads[False]


def num_visible_gpus() -> int:
    """GPUs of this machine that CUDA_VISIBLE_DEVICES leaves visible, 0 where there is none."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    num_gpus = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # CUDA reads names up to the first that is none
        names = takewhile(lambda name: name not in ("", "-1"), (name.strip() for name in visible.split(",")))
        num_gpus = min(num_gpus, len(list(names)))
    return num_gpus
