"""Which models this machine holds: the cards, and a fingerprint of each one's weights, whose files are hashed once.

Comes in: a folder of cards and the folder of weights. Goes out: ``ModelStatus`` values. Does not know what the weights
mean or who renders with them.
"""

import threading
from pathlib import Path

from engine.contract.cards import ModelCard, ModelStatus, fingerprint, own_cards, read_cards
from engine.contract.errors import Rejected
from engine.contract.hashes import FileHashes


class Models:
    """Thread-safe. ``memory``: a file in which hashes outlive the process."""

    def __init__(self, cards: Path, models_root: Path, memory: Path) -> None:
        self._cards = cards
        self._root = models_root
        self._hash_of = FileHashes(memory)
        self._looking = threading.Lock()

    def all(self) -> list[ModelStatus]:
        """Every card with what stands here; the first call hashes the weights. Raises EngineError on a bad card."""
        with self._looking:
            return [self._look(card) for card in read_cards(self._cards, own_cards(self._root)).values()]

    def _look(self, card: ModelCard) -> ModelStatus:
        try:
            value = fingerprint(card, self._root, self._hash_of)
        except Rejected as error:
            return ModelStatus(card=card, fingerprint="", available=False, reason=str(error))
        except OSError as error:
            return ModelStatus(card=card, fingerprint="", available=False, reason=f"cannot be read ({error}).")
        return ModelStatus(card=card, fingerprint=value, available=True)
