"""The models of a rank: read once, kept loaded while there is room, checked against what each job names.

Comes in: the folders of cards and models, and jobs. Goes out: a loaded model or assistant, or Rejected. The one that
was used longest ago leaves first. All ranks hold the same keys in the same order and drop the same ones; an assistant
itself is on rank 0 alone. Does not know sampling.
"""

import contextlib
import gc
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import AssistantJob
from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.jobs import Job
from engine.contract.values import Sha256
from engine.models import assistants, family
from engine.models.assistants.assistant import LocalAssistant
from engine.models.model import Model
from engine.runtime.memory.budget import assistant_bytes, capacity_bytes, encoder_bytes, module_bytes, network_bytes
from engine.runtime.memory.prompt_cache import PromptEmbeddingCache
from engine.runtime.memory.residency import Residency
from engine.runtime.ranks import Ranks
from engine.storage.card_files import (
    AnyCard,
    assistant_card_folders,
    card_paths,
    find_part,
    fingerprint,
    own_cards,
    read_assistant_card,
    read_card,
    text_encoder_files,
)
from engine.storage.hashes import FileHashes
from engine.storage.workspace import Workspace

C = TypeVar("C", ModelCard, AssistantCard)


@dataclass(frozen=True, slots=True)
class ModelKey:
    """What a job says of its model, or of the picture model that makes its first frame."""

    name: str
    weights: Sha256
    precision: Precision


@dataclass(frozen=True, slots=True)
class AssistantKey:
    name: str
    weights: Sha256


def model_key(job: Job) -> ModelKey:
    return ModelKey(job.model, job.weights, job.speed.precision)


def assistant_key(job: AssistantJob) -> AssistantKey:
    return AssistantKey(job.model, job.weights)


@dataclass(slots=True)
class Kept:
    """``content`` None: an assistant, on a rank that only waits for rank 0. ``encoder_key``: of a model's text encoder,
    on the rank that has one."""

    content: Model | LocalAssistant | None
    encoder_key: str | None = None

    @property
    def components(self) -> Sequence[nn.Module]:
        if isinstance(self.content, Model):
            codecs = [self.content.codecs.autoencoder] if self.content.codecs is not None else []
            return [self.content.network, *codecs]
        return self.content.components if self.content is not None else ()

    @property
    def num_bytes(self) -> int:
        return module_bytes(*self.components)


class ModelCache:
    """``hashes``: a file that remembers the hashes of weights. ``budget_bytes``: of all models; None: what is free.
    ``run_cards``: the workspace's own cards."""

    def __init__(
        self,
        ranks: Ranks,
        cards_folder: Path,
        models_root: Path,
        hashes: Path | None = None,
        budget_bytes: int | None = None,
        run_cards: Path | None = None,
    ) -> None:
        self.card_folders = (cards_folder, own_cards(models_root), *((run_cards,) if run_cards else ()))
        self.ranks, self.cards_folder, self.models_root = ranks, cards_folder, models_root
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[ModelKey | AssistantKey, Kept] = OrderedDict()
        """The one used last is the last."""
        self._encoders: dict[str, PromptEmbeddingCache] = {}
        """Of the models that are kept; models that share an encoder's files share it here."""
        self._hash_of = FileHashes(hashes)

    def families(self) -> set[str]:
        """Of the models whose weights are here."""
        here: set[str] = set()
        for name in card_paths(*self.card_folders):
            with contextlib.suppress(Rejected):
                card = self.model_card(name)
                find_part(card.parts.network, self.models_root)
                here.add(card.family)
        return here

    def holds(self, key: ModelKey | AssistantKey) -> bool:
        """Whether that model is loaded already."""
        return key in self._kept

    def model(self, key: ModelKey) -> Model:
        """On the CPU or where it was left. Collective: every rank asks for the same."""
        card = self._card(key.name, self.model_card, ModelCard)
        self.ranks.lead(lambda: self._check_weights(card, key.weights))
        if key not in self._kept:
            self._make_room(lambda: self._needed_bytes(card, key.precision), card)
            loaded: list[Kept] = []  # kept once every rank has it, so that all hold the same
            self.ranks.together(lambda: loaded.append(self._load(card, key.precision)))
            self._keep(key, loaded[0])
        self._kept.move_to_end(key)
        model = self._kept[key].content
        assert isinstance(model, Model)
        return model

    def assistant(self, key: AssistantKey) -> LocalAssistant | None:
        """``model`` for an assistant: rank 0 alone loads it and gets it."""
        card = self._card(key.name, self._read_assistant_card, AssistantCard)
        self.ranks.lead(lambda: self._check_weights(card, key.weights))
        if key not in self._kept:
            self._make_room(lambda: assistant_bytes(card, self.models_root))
            loaded: list[Kept] = []
            self.ranks.lead(lambda: loaded.append(Kept(assistants.load(card, self.models_root))))
            self._keep(key, loaded[0] if loaded else Kept(None))
        self._kept.move_to_end(key)
        assistant = self._kept[key].content
        return assistant if isinstance(assistant, LocalAssistant) else None

    def fits_beside(self, key: ModelKey) -> bool:
        """Whether a model is kept, or could be without another having to leave. Collective."""
        card = self._card(key.name, self.model_card, ModelCard)
        return key in self._kept or not self._num_to_drop(lambda: self._needed_bytes(card, key.precision))

    def prepare(self, residency: Residency) -> None:
        """Before a job, for the model used last: it is where the job's residency wants it, and the others are off the
        device."""
        *others, current = self._kept.values()
        encoder_of = self._encoders.get(current.encoder_key or "")
        for other in others:
            self._off_device(other.components)
        idle = [each.encoder.loaded for each in self._encoders.values() if each is not encoder_of]
        self._off_device([encoder for encoder in idle if encoder is not None])
        residency.prepare(current.components, encoder_of.encoder if encoder_of else None)

    def prompt_cache(self, workspace: Workspace) -> PromptEmbeddingCache:
        """The embeddings of the text encoder of the model used last. On the rank that has the codecs."""
        kept = next(reversed(self._kept.values()))
        assert isinstance(kept.content, Model) and kept.content.codecs is not None, "a model with its codecs is loaded"
        key = kept.encoder_key or ""
        if key not in self._encoders:
            load = kept.content.codecs.load_text_encoder
            self._encoders[key] = PromptEmbeddingCache(workspace.texts, key, load)
        return self._encoders[key]

    def drop(self) -> None:
        """Forgets all that is loaded, so that its memory is free."""
        gc.unfreeze()
        self._kept.clear()
        self._encoders.clear()

    # ---- room
    def _make_room(self, needed_bytes: Callable[[], int], coming: ModelCard | None = None) -> None:
        """Drops the models that were used longest ago until the next one fits. Collective.

        An encoder goes with the last model that uses it; the one of the model to come stays.
        """
        for _ in range(self._num_to_drop(needed_bytes)):
            gc.unfreeze()
            self._kept.popitem(last=False)
        used = {kept.encoder_key for kept in self._kept.values()}
        if coming is not None and self._encoders:
            used.add(self._encoder_key(coming))
        self._encoders = {key: encoder for key, encoder in self._encoders.items() if key in used}
        gc.collect()
        if self.ranks.device.type == "cuda":
            torch.cuda.empty_cache()

    def _num_to_drop(self, needed_bytes: Callable[[], int]) -> int:
        """How many models have to leave, by rank 0's count."""
        number: list[int] = [0]
        self.ranks.lead(lambda: number.append(self._count_to_drop(needed_bytes())))
        return self.ranks.agree(number[-1])

    def _count_to_drop(self, needed_bytes: int) -> int:
        sizes = [kept.num_bytes for kept in self._kept.values()]
        encoders = [each.encoder.loaded for each in self._encoders.values()]
        capacity = self._budget_bytes
        if capacity is None:
            components = [component for kept in self._kept.values() for component in kept.components]
            capacity = capacity_bytes(module_bytes(*components, *encoders, on_host=True), self.ranks.size)
        left = sum(sizes) + module_bytes(*encoders) + needed_bytes
        for number, size in enumerate(sizes):
            if left <= capacity:
                return number
            left -= size
        return len(sizes)

    def _needed_bytes(self, card: ModelCard, precision: Precision) -> int:
        """Before it is loaded, an encoder that is kept already not counted."""
        shared = self._encoder_key(card) in self._encoders
        encoder = 0 if shared else encoder_bytes(card, self.models_root)
        return network_bytes(card, precision, self.models_root) + encoder

    def _off_device(self, components: Sequence[nn.Module]) -> None:
        if self.ranks.device.type == "cpu":
            return
        for component in components:
            component.to("cpu")
        torch.cuda.empty_cache()

    # ---- loading
    def _keep(self, key: ModelKey | AssistantKey, kept: Kept) -> None:
        self._kept[key] = kept
        gc.collect()
        gc.freeze()  # what is loaded stays: later collections need not walk through it, mid-job

    def _load(self, card: ModelCard, precision: Precision) -> Kept:
        model = family(card.family).load_model(card, self.models_root, precision, with_codecs=self.ranks.leads)
        return Kept(model, self._encoder_key(card) if model.codecs is not None else None)

    def _encoder_key(self, card: ModelCard) -> str:
        """The same for all models that share an encoder's files and read them alike."""
        files = text_encoder_files(card, self.models_root)
        return json.dumps([card.family, card.text.precision, *(self._hash_of(path) for path in files)])

    # ---- cards
    def _card(self, name: str, read: Callable[[str], C], form: type[C]) -> C:
        """Read by rank 0 and shared, so that all ranks work from one text."""
        card_json: list[str] = []
        self.ranks.lead(lambda: card_json.append(read(name).model_dump_json()))
        return form.model_validate_json(self.ranks.share_text("".join(card_json)))

    def model_card(self, name: str) -> ModelCard:
        """As it is on this rank's disk. Raises Rejected("model")."""
        return read_card(_card_path(name, "model", self.card_folders), self.card_folders)

    def _read_assistant_card(self, name: str) -> AssistantCard:
        folders = assistant_card_folders(self.cards_folder, self.models_root)
        return read_assistant_card(_card_path(name, "assistant", folders), folders)

    def _check_weights(self, card: AnyCard, expected: Sha256) -> None:
        try:
            actual = fingerprint(card, self.models_root, self._hash_of)
        except OSError as error:
            what = f"{card.name}: its files cannot be read ({error})"
            raise Rejected("weights", f"{what}. Restore them, or choose another model.") from error
        if actual != expected:
            what = f"the files' fingerprint is {actual[:16]}, the job was planned for {expected[:16]}"
            raise Rejected("weights", f"{card.name}: {what}. Plan the film again, or restore the files.")


def _card_path(name: str, what: str, folders: tuple[Path, ...]) -> Path:
    """Of this name alone: a card that cannot be read takes no other model away."""
    paths = card_paths(*folders)
    if name not in paths:
        raise Rejected("model", f"{name}: no such {what} card (there: {', '.join(paths) or 'none'}).")
    return paths[name]
