"""Which models can be planned with: the cards, and what is known of their weights.

Comes in: model cards, the folder of local weights, what an engine says. Goes out: ``ModelStatus`` by name. An engine's
word counts; before it has spoken, small local weights are looked at here. Does not know plans or projects.
"""

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.errors import Rejected
from engine.storage.card_files import model_files, status_of
from engine.storage.hashes import FileHashes

LARGEST_LOOKED_AT_BYTES = 200_000_000
"""Bigger weights take long to hash: the engine does that once and keeps it."""


class ModelCatalog:
    """``memory``: a file in which hashes outlive the process, shared with the engine."""

    def __init__(self, cards: Mapping[str, ModelCard], models_root: Path, memory: Path | None = None) -> None:
        self._cards = cards
        self._root = models_root
        self._hash_of = FileHashes(memory)
        self._lock = threading.Lock()
        self._from_engine: dict[str, ModelStatus] = {}
        self._local: dict[str, ModelStatus] = {}

    def update(self, statuses: Sequence[ModelStatus]) -> bool:
        """What an engine says of its models; whether that is news."""
        reported = {status.card.name: status for status in statuses}
        with self._lock:
            is_news = reported != self._from_engine
            self._from_engine = reported
            return is_news

    def all(self) -> dict[str, ModelStatus]:
        """Every model by name, those of the engine first."""
        with self._lock:
            missing = [card for name, card in self._cards.items() if name not in self._from_engine]
            for card in missing:
                if card.name not in self._local:
                    self._local[card.name] = self._look_at(card)
            return {**{card.name: self._local[card.name] for card in missing}, **self._from_engine}

    def _look_at(self, card: ModelCard) -> ModelStatus:
        with contextlib.suppress(Rejected, OSError):  # what is wrong with them is said below
            if sum(path.stat().st_size for path in model_files(card, self._root)) > LARGEST_LOOKED_AT_BYTES:
                reason = "its weights are large: they are known once the engine is there"
                return ModelStatus(card=card, fingerprint="", available=False, reason=reason)
        return status_of(card, self._root, self._hash_of)
