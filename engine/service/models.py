"""Which models this machine holds: the cards, and a fingerprint of each one's weights, whose files are hashed once.

Comes in: a folder of cards and the folder of weights. Goes out: ``ModelStatus`` values. Does not know what the weights
mean or who renders with them.
"""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.contract.assistant_cards import AssistantStatus
from engine.contract.cards import ModelStatus
from engine.contract.errors import Rejected
from engine.storage.card_files import (
    assistant_card_folders,
    assistant_status_of,
    card_paths,
    own_cards,
    read_assistant_card,
    read_card,
    status_of,
)
from engine.storage.hashes import FileHashes

C = TypeVar("C")


class Models:
    """Thread-safe. ``memory``: a file in which hashes outlive the process. ``run_cards``: the workspace's own."""

    def __init__(self, cards: Path, models_root: Path, memory: Path, run_cards: Path | None = None) -> None:
        self._cards = cards
        self._folders = (cards, own_cards(models_root), *((run_cards,) if run_cards else ()))
        self._root = models_root
        self._hash_of = FileHashes(memory)
        self._looking = threading.Lock()
        self._told: set[str] = set()

    def all(self) -> list[ModelStatus]:
        """Every card that can be read, with what is here; the first call hashes the weights.

        A card that cannot be read hides no other model: it is reported on standard error, once for each fault.
        """
        with self._looking:
            cards = self._readable(read_card, self._folders)
            return [status_of(card, self._root, self._hash_of) for card in cards]

    def assistants(self) -> list[AssistantStatus]:
        """``all`` for assistants."""
        with self._looking:
            cards = self._readable(read_assistant_card, assistant_card_folders(self._cards, self._root))
            return [assistant_status_of(card, self._root, self._hash_of) for card in cards]

    def _readable(self, read: Callable[[Path, tuple[Path, ...]], C], folders: tuple[Path, ...]) -> list[C]:
        cards = [self._read(read, path, folders) for path in card_paths(*folders).values()]
        return [card for card in cards if card is not None]

    def _read(self, read: Callable[[Path, tuple[Path, ...]], C], path: Path, folders: tuple[Path, ...]) -> C | None:
        try:
            return read(path, folders)
        except Rejected as error:
            if str(error) not in self._told:
                print(f"this model is left out: {error}", file=sys.stderr, flush=True)
                self._told.add(str(error))
            return None
