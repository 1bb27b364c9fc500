"""Which models this machine holds: the cards, and a fingerprint of each one's weights, whose files are hashed once.

Comes in: a folder of cards and the folder of weights. Goes out: ``ModelStatus`` values. Does not know what the weights
mean or who renders with them.
"""

import sys
import threading
from pathlib import Path

from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.errors import Rejected
from engine.storage.card_files import card_paths, own_cards, read_card, status_of
from engine.storage.hashes import FileHashes


class Models:
    """Thread-safe. ``memory``: a file in which hashes outlive the process."""

    def __init__(self, cards: Path, models_root: Path, memory: Path) -> None:
        self._cards = cards
        self._root = models_root
        self._hash_of = FileHashes(memory)
        self._looking = threading.Lock()
        self._told: set[str] = set()

    def all(self) -> list[ModelStatus]:
        """Every card that can be read, with what is here; the first call hashes the weights.

        A card that cannot be read hides no other model: it is reported on standard error, once for each fault.
        """
        with self._looking:
            folders = (self._cards, own_cards(self._root))
            read = [self._read(path, folders) for path in card_paths(*folders).values()]
            return [status_of(card, self._root, self._hash_of) for card in read if card is not None]

    def _read(self, path: Path, folders: tuple[Path, ...]) -> ModelCard | None:
        try:
            return read_card(path, folders)
        except Rejected as error:
            if str(error) not in self._told:
                print(f"this model is left out: {error}", file=sys.stderr, flush=True)
                self._told.add(str(error))
            return None
