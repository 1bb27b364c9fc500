"""Cards of models and assistants from YAML files, merged over the cards they are based on, and a model's files here.

Comes in: folders of ``*.yaml``, the root of the models' files. Goes out: cards and their statuses as values, paths of
weights. Does not know torch, storyboards or processes, nor what is inside a file of weights.
"""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import ValidationError

from engine.contract.assistant_cards import AssistantCard, AssistantStatus
from engine.contract.card_values import Part
from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.errors import Rejected
from engine.contract.values import Sha256
from engine.storage.hub_cache import cached_part

BUNDLED_ROOT = Path(__file__).resolve().parents[2]
"""The project's own folder: the bundled model is read from here, whatever the models' root."""

WEIGHT_SUFFIXES = (
    *(".safetensors", ".json", ".model", ".txt", ".pt"),
    *(".pth", ".bin", ".jit", ".distcp", ".yaml"),
)

BESIDE = ("adapter_config.json", "run_config.yaml")
"""Files beside a file of weights that belong to it: a LoRA's alpha, the sizes of a Megatron network."""

_DECIDING = {
    *("family", "network", "autoencoder", "text", "parametrisation", "sigma_data"),
    *("joint", "loras"),
}
_ALWAYS_THERE = ("cosmos", "ttt", "dfm")
"""Groups of settings that a fingerprint has even where they are empty: recipes of the first release hold them so."""


AnyCard = ModelCard | AssistantCard
Card = TypeVar("Card", ModelCard, AssistantCard)


def read_cards(*folders: Path) -> dict[str, ModelCard]:
    """Every card of the folders, by name; where two folders have one name, the last folder's.

    Raises Rejected("model") for the first card that is wrong.
    """
    return {name: read_card(path, folders) for name, path in card_paths(*folders).items()}


def card_paths(*folders: Path) -> dict[str, Path]:
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def own_cards(models_root: Path) -> Path:
    """Folder of the user's cards, beside those of the project: other weights, a LoRA, another size."""
    return models_root / "cards"


def read_card(path: Path, folders: tuple[Path, ...] = ()) -> ModelCard:
    """One card; its name is the file's. ``folders``: searched for its base, besides the card's own folder.

    Raises Rejected("model") naming file and key.
    """
    return _card(path, folders, ModelCard)


def assistant_card_folders(cards: Path, models_root: Path) -> tuple[Path, Path]:
    """Where assistants' cards are: beside the folder of model cards, and in that of the user's own."""
    return cards.with_name("assistants"), own_cards(models_root) / "assistants"


def read_assistant_card(path: Path, folders: tuple[Path, ...] = ()) -> AssistantCard:
    """As ``read_card``."""
    return _card(path, folders, AssistantCard)


def _card(path: Path, folders: tuple[Path, ...], form: type[Card]) -> Card:
    document = with_base(path, _document(path), folders)
    try:
        return form.model_validate_json(json.dumps({**document, "name": path.stem}))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Rejected("model", f"{path}: {problems}") from error


def with_base(
    path: Path, document: dict[str, Any], folders: tuple[Path, ...] = (), seen: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The document of the card at ``path``, merged over that of its ``base``. Raises Rejected("model")."""
    if "base" not in document:
        return document
    base, changes = str(document["base"]), {key: value for key, value in document.items() if key != "base"}
    if base in (path.stem, *seen):
        raise Rejected("model", f"{path}: base: {base} is a card that is based on this one.")
    base_path = card_paths(*folders, path.parent).get(base, path.with_name(f"{base}.yaml"))
    if base_path.parent != path.parent:
        changes = _unpublished(changes)
    return _merged(with_base(base_path, _document(base_path), folders, (*seen, path.stem)), changes)


def _unpublished(changes: dict[str, Any]) -> dict[str, Any]:
    """A user's card whose parts are files of its own: what the base says of a download is not true of them."""
    parts = changes.get("parts")
    if not isinstance(parts, dict):
        return changes
    own = {name: _own_part(part) for name, part in cast(dict[str, Any], parts).items()}
    return {**changes, "parts": own}


def _own_part(part: Any) -> Any:
    if not isinstance(part, dict) or "repository" in part or not ("folder" in part or "paths" in part):
        return cast(Any, part)
    nowhere: dict[str, Any] = {"repository": "", "revision": "", "fetch": [], "num_bytes": 0, "gated": False}
    return {**nowhere, **cast(dict[str, Any], part)}


@lru_cache(maxsize=256)
def _parsed(content: bytes) -> Any:
    """The value of a YAML text, to be read only: cards are asked for often, and seldom change."""
    return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = _parsed(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise Rejected("model", f"{path}: not readable as YAML: {error}") from error
    if not isinstance(document, dict):
        raise Rejected("model", f"{path}: not a model card: must be a group of `key: value`.")
    return cast(dict[str, Any], document)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Groups are merged key by key, except the table of sizes, which is replaced as a whole."""
    merged = {**base, **changes}
    for key in base.keys() & changes.keys():
        if isinstance(base[key], dict) and isinstance(changes[key], dict) and key != "sizes_px":
            merged[key] = _merged(cast(dict[str, Any], base[key]), cast(dict[str, Any], changes[key]))
    return merged


def assistant_status_of(card: AssistantCard, models_root: Path, hash_of: Callable[[Path], Sha256]) -> AssistantStatus:
    """``status_of`` for an assistant."""
    return AssistantStatus(card=card, **_found(card, models_root, hash_of))


def status_of(card: ModelCard, models_root: Path, hash_of: Callable[[Path], Sha256]) -> ModelStatus:
    """Whether a model's files are on this machine, and their fingerprint, hashed with ``hash_of``."""
    return ModelStatus(card=card, **_found(card, models_root, hash_of))


def _found(card: AnyCard, models_root: Path, hash_of: Callable[[Path], Sha256]) -> dict[str, Any]:
    """What a status holds beside the card."""
    try:
        return {"fingerprint": fingerprint(card, models_root, hash_of), "available": True}
    except (Rejected, OSError) as error:
        reason = str(error) if isinstance(error, Rejected) else f"cannot be read ({error})."
        missing = tuple(name for name, part in card.parts.all().items() if not has_part(part, models_root))
        return {"fingerprint": "", "available": False, "reason": reason, "missing": missing}


def fingerprint(card: AnyCard, models_root: Path, hash_of: Callable[[Path], Sha256]) -> Sha256:
    """A hash over everything that decides what a model draws: its files, and the card's values about the network.

    ``hash_of``: SHA-256 of a file (``engine.storage.hashes``). Raises Rejected("weights") where a part is missing.
    """
    digest = hashlib.sha256(fingerprinted_values(card).encode())
    for path in model_files(card, models_root):
        digest.update(f"{path.name}\0{hash_of(path)}\n".encode())
    return digest.hexdigest()


def fingerprinted_values(card: AnyCard) -> str:
    """JSON of the card's values that decide what the model draws; part of every recipe, so it must never change."""
    if isinstance(card, AssistantCard):
        return json.dumps({"format": card.format, "precision": card.precision}, sort_keys=True)
    values = card.model_dump(mode="json", include={*_DECIDING, card.family})
    return json.dumps({**dict.fromkeys(_ALWAYS_THERE), **values}, sort_keys=True)


def find_part(part: Part, models_root: Path) -> Path:
    """The first of a part's places that exists, else its place in Hugging Face's cache.

    Raises Rejected("weights") that lists all places.
    """
    for root in (models_root, BUNDLED_ROOT):
        for place in _places(part, root):
            if place.exists():
                return place
    if (cached := cached_part(part)) is not None:
        return cached
    wanted = " or ".join(str(place) for place in _places(part, models_root))
    origin = f" (published as {part.repository})" if part.repository else ""
    raise Rejected("weights", f"{wanted}: not there{origin}. Put the files there, or choose another model.")


def has_part(part: Part, models_root: Path) -> bool:
    """Whether ``find_part`` finds it."""
    places = (place for root in (models_root, BUNDLED_ROOT) for place in _places(part, root))
    return any(place.exists() for place in places) or cached_part(part) is not None


def _places(part: Part, root: Path) -> list[Path]:
    return [root / part.folder / path for path in part.paths]


def part_files(place: Path) -> list[Path]:
    """Every file of a part that was found at ``place``. Raises Rejected("weights") where no weights are in it."""
    return _files_at([place])


def model_files(card: AnyCard, models_root: Path) -> list[Path]:
    """Every file that decides what the model draws. Raises Rejected("weights") where a part is missing."""
    places = [find_part(part, models_root) for part in card.parts.all().values()]
    loras = card.loras if isinstance(card, ModelCard) else ()
    return _files_at([*places, *(models_root / lora.path for lora in loras)])


def text_encoder_files(card: ModelCard, models_root: Path) -> list[Path]:
    """Every file that decides how a prompt is encoded. Raises Rejected("weights")."""
    parts = [card.parts.text_encoder, *([card.parts.tokenizer] if card.parts.tokenizer else [])]
    return _files_at([find_part(part, models_root) for part in parts])


def _files_at(places: list[Path]) -> list[Path]:
    """The files themselves with those of ``BESIDE``, and the weights inside folders; each once."""
    files: list[Path] = []
    for place in places:
        inside = sorted(path for path in place.rglob("*") if path.is_file() and is_weight_file(path))
        if not inside and not place.is_file():
            raise Rejected("weights", f"{place}: no weights there. Put the files there, or choose another model.")
        files += inside if place.is_dir() else [place, *filter(Path.is_file, map(place.with_name, BESIDE))]
    return list(dict.fromkeys(files))


def is_weight_file(path: Path) -> bool:
    """Whether a file, by its name, decides what a model computes: weights, settings, vocabularies."""
    return path.suffix in WEIGHT_SUFFIXES or path.name == ".metadata"
