"""The models a rank holds: read once, kept loaded between jobs, checked against what each job names.

Comes in: the folders of cards and models, and jobs. Goes out: a loaded model, or Rejected. Does not know sampling.
"""

import gc
from pathlib import Path
from typing import Any

from engine.contract.cards import ModelCard, fingerprint, read_cards
from engine.contract.errors import Rejected
from engine.contract.jobs import Job
from engine.models import family
from engine.runtime.ranks import Ranks


class Shelf:
    """Holds one model at a time: the newest asked for."""

    def __init__(self, ranks: Ranks, cards_folder: Path, models_root: Path) -> None:
        self.ranks, self.cards_folder, self.models_root = ranks, cards_folder, models_root
        self._key: tuple[str, str, str] | None = None
        self._model: Any = None
        self._fingerprints: dict[tuple[tuple[str, int, int], ...], str] = {}

    def holds(self, job: Job) -> bool:
        """Whether the job's model is loaded already."""
        return self._key == (job.model, job.weights, job.speed.precision)

    def model(self, job: Job) -> Any:
        """The model a job names, on the CPU or where it was left. Collective: every rank asks for the same job."""
        card = self._card(job)
        folder = self.models_root / card.folder
        self.ranks.lead(lambda: self._check_weights(job, folder))
        key = (job.model, job.weights, job.speed.precision)
        if key != self._key:
            self.drop()
            self.ranks.together(lambda: self._load(card, folder, job))
            self._key = key
            gc.collect()
            gc.freeze()  # what is loaded stays: later collections need not walk through it, mid-job
        return self._model

    def drop(self) -> None:
        """Forgets the loaded model, so that its memory is free."""
        gc.unfreeze()
        self._key, self._model = None, None

    def _load(self, card: ModelCard, folder: Path, job: Job) -> None:
        loader = family(card.family)
        self._model = loader.load_model(card, folder, job.speed.precision, with_ends=self.ranks.leads)

    def _card(self, job: Job) -> ModelCard:
        """Read by rank 0 and shared, so that all ranks work from one text."""
        found: list[str] = []
        self.ranks.lead(lambda: found.append(self._read_card(job.model).model_dump_json()))
        return ModelCard.model_validate_json(self.ranks.share_text("".join(found)))

    def _read_card(self, name: str) -> ModelCard:
        cards = read_cards(self.cards_folder)
        if name not in cards:
            known = ", ".join(cards) or "none"
            raise Rejected("model", f"{name}: no such model card in {self.cards_folder} (there: {known}).")
        return cards[name]

    def _check_weights(self, job: Job, folder: Path) -> None:
        try:
            actual = self._fingerprint(folder)
        except OSError as error:
            raise Rejected("weights", f"{folder}: {error}. Install the model's files or choose another.") from error
        if actual != job.weights:
            what = f"the files' fingerprint is {actual[:16]}, the job was planned for {job.weights[:16]}"
            raise Rejected("weights", f"{folder}: {what}. Plan the film again, or restore the files.")

    def _fingerprint(self, folder: Path) -> str:
        """Hashed again only where a file's size or time has changed."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        seen = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
        if seen not in self._fingerprints:
            self._fingerprints[seen] = fingerprint(folder)
        return self._fingerprints[seen]
