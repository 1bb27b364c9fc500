"""Which models this machine holds: the cards, and a fingerprint of each one's weights, computed once.

Comes in: a folder of cards and the folder of weights. Goes out: ``ModelStatus`` values. Does not know what the weights
mean or who renders with them.
"""

import json
import threading
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from engine.contract.cards import WEIGHT_SUFFIXES, ModelCard, ModelStatus, fingerprint, read_cards

_KNOWN = TypeAdapter(dict[str, tuple[str, str]])


class Models:
    """Thread-safe. ``memory``: a file in which fingerprints outlive the process."""

    def __init__(self, cards: Path, models_root: Path, memory: Path) -> None:
        self._cards = cards
        self._root = models_root
        self._memory = memory
        self._looking = threading.Lock()

    def all(self) -> list[ModelStatus]:
        """Every card with what stands here; the first call hashes the weights. Raises EngineError on a bad card."""
        with self._looking:
            return [self._look(card) for card in read_cards(self._cards).values()]

    def _look(self, card: ModelCard) -> ModelStatus:
        folder = self._root / card.folder
        try:
            return ModelStatus(card=card, fingerprint=self._fingerprint(folder), available=True)
        except OSError as error:
            where = f"{folder}: no weights here. Put the model's files there, or start the engine with --models-root."
            reason = where if isinstance(error, FileNotFoundError) else f"{folder}: cannot be read ({error})."
            return ModelStatus(card=card, fingerprint="", available=False, reason=reason)

    def _fingerprint(self, folder: Path) -> str:
        """From memory while no file's name, size or time of change is another."""
        state = _state(folder)
        known = self._remembered()
        if known.get(str(folder), ("", ""))[0] == state:
            return known[str(folder)][1]
        value = fingerprint(folder)
        self._remember({**known, str(folder): (state, value)})
        return value

    def _remembered(self) -> dict[str, tuple[str, str]]:
        try:
            return _KNOWN.validate_json(self._memory.read_bytes())
        except (OSError, ValidationError):
            return {}

    def _remember(self, known: dict[str, tuple[str, str]]) -> None:
        draft = self._memory.with_suffix(".tmp")
        draft.write_bytes(_KNOWN.dump_json(known))
        draft.replace(self._memory)


def _state(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    return json.dumps([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])
