"""The model of a rank: read once, kept loaded between jobs, checked against what each job names.

Comes in: the folders of cards and models, and jobs. Goes out: a loaded model, or Rejected. Does not know sampling.
"""

import contextlib
import gc
import json
from dataclasses import dataclass
from pathlib import Path

from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.jobs import Job
from engine.contract.values import Sha256
from engine.models import family
from engine.models.model import Model
from engine.runtime.prompt_cache import PromptEmbeddingCache
from engine.runtime.ranks import Ranks
from engine.runtime.residency import Residency
from engine.storage.card_files import card_paths, find_part, fingerprint, own_cards, read_card, text_encoder_files
from engine.storage.hashes import FileHashes
from engine.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ModelKey:
    """What a job says of its model, or of the picture model that makes its first frame."""

    name: str
    weights: Sha256
    precision: Precision


def model_key(job: Job) -> ModelKey:
    return ModelKey(job.model, job.weights, job.speed.precision)


class ModelCache:
    """Holds one model at a time, the newest. ``hashes``: a file that remembers the hashes of weights."""

    def __init__(self, ranks: Ranks, cards_folder: Path, models_root: Path, hashes: Path | None = None) -> None:
        self.ranks, self.cards_folder, self.models_root = ranks, cards_folder, models_root
        self._key: ModelKey | None = None
        self._model: Model | None = None
        self._prompt_cache: PromptEmbeddingCache | None = None
        self._hash_of = FileHashes(hashes)

    def families(self) -> set[str]:
        """Of the models whose weights are here."""
        here: set[str] = set()
        for name in card_paths(self.cards_folder, own_cards(self.models_root)):
            with contextlib.suppress(Rejected):
                card = self._read_card(name)
                find_part(card.parts.network, self.models_root)
                here.add(card.family)
        return here

    def holds(self, key: ModelKey) -> bool:
        """Whether that model is loaded already."""
        return self._key == key

    def model(self, key: ModelKey) -> Model:
        """On the CPU or where it was left. Collective: every rank asks for the same."""
        card = self._card(key.name)
        self.ranks.lead(lambda: self._check_weights(card, key.weights))
        if key != self._key:
            self._forget_model()
            self.ranks.together(lambda: self._load(card, key.precision))
            self._key = key
            gc.collect()
            gc.freeze()  # what is loaded stays: later collections need not walk through it, mid-job
        assert self._model is not None
        return self._model

    def prepare(self, residency: Residency) -> None:
        """Before a job: everything loaded is where the residency of the job wants it."""
        assert self._model is not None, "a model is loaded"
        codecs = [self._model.codecs.autoencoder] if self._model.codecs is not None else []
        residency.prepare([self._model.network, *codecs], self._prompt_cache.encoder if self._prompt_cache else None)

    def prompt_cache(self, workspace: Workspace) -> PromptEmbeddingCache:
        """The embeddings of the loaded model's text encoder. On the rank that has the codecs.

        Models that share an encoder share it here: a picture model and the video model after it load it once.
        """
        assert self._model is not None and self._model.codecs is not None, "a model with its codecs is loaded"
        key = self._encoder_key(self._model.card)
        if self._prompt_cache is None or self._prompt_cache.encoder_key != key:
            self._prompt_cache = PromptEmbeddingCache(workspace.texts, key, self._model.codecs.load_text_encoder)
        return self._prompt_cache

    def _encoder_key(self, card: ModelCard) -> str:
        """The same for all models that share an encoder's files and read them alike."""
        files = text_encoder_files(card, self.models_root)
        return json.dumps([card.family, card.text.precision, *(self._hash_of(path) for path in files)])

    def drop(self) -> None:
        """Forgets all that is loaded, so that its memory is free."""
        self._forget_model()
        self._prompt_cache = None

    def _forget_model(self) -> None:
        gc.unfreeze()
        self._key, self._model = None, None

    def _load(self, card: ModelCard, precision: Precision) -> None:
        loader = family(card.family)
        self._model = loader.load_model(card, self.models_root, precision, with_codecs=self.ranks.leads)

    def _card(self, name: str) -> ModelCard:
        """Read by rank 0 and shared, so that all ranks work from one text."""
        card_json: list[str] = []
        self.ranks.lead(lambda: card_json.append(self._read_card(name).model_dump_json()))
        return ModelCard.model_validate_json(self.ranks.share_text("".join(card_json)))

    def _read_card(self, name: str) -> ModelCard:
        """Of this name alone: a card that cannot be read takes no other model away."""
        folders = (self.cards_folder, own_cards(self.models_root))
        paths = card_paths(*folders)
        if name not in paths:
            raise Rejected("model", f"{name}: no such model card (there: {', '.join(paths) or 'none'}).")
        return read_card(paths[name], folders)

    def _check_weights(self, card: ModelCard, expected: Sha256) -> None:
        try:
            actual = fingerprint(card, self.models_root, self._hash_of)
        except OSError as error:
            what = f"{card.name}: its files cannot be read ({error})"
            raise Rejected("weights", f"{what}. Restore them, or choose another model.") from error
        if actual != expected:
            what = f"the files' fingerprint is {actual[:16]}, the job was planned for {expected[:16]}"
            raise Rejected("weights", f"{card.name}: {what}. Plan the film again, or restore the files.")
