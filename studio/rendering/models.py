"""Which models can be planned with: the cards, and what is known of their weights.

Comes in: model cards, the folder of local weights, what an engine says. Goes out: ``ModelStatus`` by name. An engine's
answer counts; before it comes, local weights are hashed here where that is quick, or where it is asked for. Does not
know plans or projects.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.errors import Rejected
from engine.storage.card_files import model_files, status_of
from engine.storage.hashes import FileHashes

MOST_BYTES_HASHED = 200_000_000
"""More weights take long to hash: that is done once, by the engine or by ``hash_weights``, and remembered."""

NOT_HASHED = "its weights are large and not hashed yet: the engine does that when it starts"

Report = Callable[[int, int], None]
"""Called with (bytes hashed so far, all bytes)."""


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
        """The models that an engine has; whether that is news."""
        by_name = {status.card.name: status for status in statuses}
        with self._lock:
            is_news = by_name != self._from_engine
            self._from_engine = by_name
            return is_news

    def all(self) -> dict[str, ModelStatus]:
        """Every model by name, those of the engine first."""
        with self._lock:
            missing = [card for name, card in self._cards.items() if name not in self._from_engine]
            for card in missing:
                if card.name not in self._local:
                    self._local[card.name] = self._local_status(card)
            return {**{card.name: self._local[card.name] for card in missing}, **self._from_engine}

    def hash_weights(self, name: str, report: Report) -> None:
        """Hashes the local weights of a model, however large, unless they are known already."""
        status = self.all().get(name)
        if status is None or status.reason != NOT_HASHED:
            return
        paths = self._unknown_files(status.card)
        sizes = [path.stat().st_size for path in paths]
        for number, path in enumerate(paths):
            report(sum(sizes[:number]), sum(sizes))
            self._hash_of(path)
        report(sum(sizes), sum(sizes))
        with self._lock:
            self._local.pop(name, None)

    def _local_status(self, card: ModelCard) -> ModelStatus:
        with contextlib.suppress(Rejected, OSError):  # ``status_of`` says what is wrong with them
            if sum(path.stat().st_size for path in self._unknown_files(card)) > MOST_BYTES_HASHED:
                return ModelStatus(card=card, fingerprint="", available=False, reason=NOT_HASHED)
        return status_of(card, self._root, self._hash_of)

    def _unknown_files(self, card: ModelCard) -> list[Path]:
        return [path for path in model_files(card, self._root) if not self._hash_of.is_known(path)]
