"""Model cards from YAML files, laid over the cards they are based on, and what one machine holds of a model.

Comes in: folders of ``*.yaml``, the root of the models' files. Goes out: ``ModelCard`` and ``ModelStatus`` values. Does
not know torch, storyboards or processes.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.errors import Rejected
from engine.contract.values import Sha256

_DECIDING = {
    *("family", "network", "autoencoder", "text", "parametrisation", "sigma_data"),
    *("cosmos", "ttt", "dfm", "joint", "loras"),
}


def read_cards(*folders: Path) -> dict[str, ModelCard]:
    """All ``*.yaml`` of folders, by name; of one name the last folder's counts.

    Raises Rejected("model") for the first that is wrong.
    """
    return {name: read_card(path, folders) for name, path in card_paths(*folders).items()}


def card_paths(*folders: Path) -> dict[str, Path]:
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def own_cards(models_root: Path) -> Path:
    """Where the owner of a machine puts cards beside those of the project: other weights, a LoRA, another size."""
    return models_root / "cards"


def read_card(path: Path, folders: tuple[Path, ...] = ()) -> ModelCard:
    """One card; its name is the file's. ``folders``: where its base is looked for, besides its own.

    Raises Rejected("model") naming file and key.
    """
    document = with_base(path, _document(path), folders)
    try:
        return ModelCard.model_validate_json(json.dumps({**document, "name": path.stem}))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Rejected("model", f"{path}: {problems}") from error


def with_base(
    path: Path, own: dict[str, Any], folders: tuple[Path, ...] = (), seen: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What a card at ``path`` says, laid over the card that it names as ``base``. Raises Rejected("model")."""
    if "base" not in own:
        return own
    base, rest = str(own["base"]), {key: value for key, value in own.items() if key != "base"}
    if base in (path.stem, *seen):
        raise Rejected("model", f"{path}: base: {base} is a card that is based on this one.")
    found = card_paths(*folders, path.parent).get(base, path.with_name(f"{base}.yaml"))
    return _laid_over(with_base(found, _document(found), folders, (*seen, path.stem)), rest)


def _document(path: Path) -> dict[str, Any]:
    try:
        document: Any = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise Rejected("model", f"{path}: not readable as YAML: {error}") from error
    if not isinstance(document, dict):
        raise Rejected("model", f"{path}: not a model card: must be a group of `key: value`.")
    return cast(dict[str, Any], document)


def _laid_over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Groups are merged key by key, except the table of sizes, which is one thing."""
    merged = {**base, **own}
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict) and key != "sizes_px":
            merged[key] = _laid_over(cast(dict[str, Any], base[key]), cast(dict[str, Any], own[key]))
    return merged


def status_of(card: ModelCard, models_root: Path, hash_of: Callable[[Path], Sha256]) -> ModelStatus:
    """What stands here of a model; its files are hashed by ``hash_of``."""
    try:
        return ModelStatus(card=card, fingerprint=fingerprint(card, models_root, hash_of), available=True)
    except (Rejected, OSError) as error:
        reason = str(error) if isinstance(error, Rejected) else f"cannot be read ({error})."
        missing = tuple(name for name, part in card.parts.all().items() if not part.is_at(models_root))
        return ModelStatus(card=card, fingerprint="", available=False, reason=reason, missing=missing)


def fingerprint(card: ModelCard, models_root: Path, hash_of: Callable[[Path], Sha256]) -> Sha256:
    """A hash over all that decides what a model draws: its files, and what its card says of the network.

    ``hash_of``: SHA-256 of a file (``engine.storage.hashes``). Raises Rejected("weights") where a part is missing.
    """
    words = card.model_dump(mode="json", include=_DECIDING)
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for path in card.part_files(models_root):
        digest.update(f"{path.name}\0{hash_of(path)}\n".encode())
    return digest.hexdigest()
