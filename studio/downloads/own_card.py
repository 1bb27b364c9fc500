"""A model card for one's own weights, made for a run: a card that says ``base: M`` and what is different.

Comes in: a model's card, files of one's own, a folder for such cards. Goes out: a card file named by the content of the
weights, so that the same weights give the same recipes wherever they lie. Does not know flags, storyboards or engines.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.contract.cards import ModelCard
from engine.contract.values import Sha256
from engine.storage import atomic
from engine.storage.card_files import is_weight_file
from studio.errors import StoryboardError

HashOf = Callable[[Path], Sha256]
EMA_FAMILIES = ("cosmos",)
"""Whose checkpoints may hold an averaged copy of the weights."""


@dataclass(frozen=True, slots=True)
class OwnLora:
    path: Path
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class OwnWeights:
    """Files or folders in place of a card's parts; None: the card's. ``picture_network``: of the model that makes its
    first frames."""

    network: Path | None = None
    picture_network: Path | None = None
    text_encoder: Path | None = None
    autoencoder: Path | None = None
    loras: tuple[OwnLora, ...] = ()
    ema: bool = False

    @property
    def parts(self) -> dict[str, Path]:
        named = {"network": self.network, "text_encoder": self.text_encoder, "autoencoder": self.autoencoder}
        return {name: path.expanduser().resolve() for name, path in named.items() if path is not None}

    def __bool__(self) -> bool:
        return bool(self.parts or self.picture_network or self.loras or self.ema)


def make_own_card(
    base: ModelCard, weights: OwnWeights, folder: Path, hash_of: HashOf, cards: dict[str, ModelCard]
) -> str:
    """The name of the card, written to ``folder`` where it is not there. Raises StoryboardError naming the flag."""
    _check(base, weights)
    changes = _changes(base, weights, folder, hash_of, cards)
    content = [base.name, weights.ema, changes.get("first_frame"), _content(weights, hash_of)]
    name = f"{base.name[:60]}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_text(folder / f"{name}.yaml", yaml.safe_dump(changes, sort_keys=False, allow_unicode=True))
    return name


def _check(base: ModelCard, weights: OwnWeights) -> None:
    named = [(f"--{name.replace('_', '-')}", path) for name, path in weights.parts.items()]
    for flag, path in [*named, *(("--lora", each.path) for each in weights.loras)]:
        if not path.expanduser().exists():
            raise StoryboardError.at(flag, f"{path}: there is no such file or folder; check the path")
    if weights.ema and base.family not in EMA_FAMILIES:
        raise StoryboardError.at("--ema", f"{base.title}'s checkpoints hold no averaged copy; leave it out")
    if weights.picture_network is not None and base.first_frame is None:
        raise StoryboardError.at("--picture-network", f"{base.title} has no picture model; leave it out")


def _changes(
    base: ModelCard, weights: OwnWeights, folder: Path, hash_of: HashOf, cards: dict[str, ModelCard]
) -> dict[str, Any]:
    own = [path.name for path in weights.parts.values()]
    own += [f"{each.path.name} at {each.strength:g}" for each in weights.loras] + ["averaged weights"] * weights.ema
    title = f"{base.title} with {', '.join(own)}" if own else f"{base.title} with a picture model of your own"
    changes: dict[str, Any] = {
        "base": base.name,
        "title": title[:300],
        "summary": f"Weights of your own on {base.name}.",
    }
    parts = {name: _part(path) for name, path in weights.parts.items()}
    if "text_encoder" in parts and base.parts.tokenizer is not None:
        parts["tokenizer"] = _part(weights.parts["text_encoder"])
    changes |= {"parts": parts} if parts else {}
    if weights.loras:
        lines = [{"path": str(each.path.expanduser().resolve()), "strength": each.strength} for each in weights.loras]
        changes["loras"] = [*(each.model_dump() for each in base.loras), *lines]
    if weights.ema:
        changes["cosmos"] = {"ema": True}
    if weights.picture_network is not None and base.first_frame is not None:
        picture = OwnWeights(network=weights.picture_network)
        changes["first_frame"] = make_own_card(cards[base.first_frame], picture, folder, hash_of, cards)
    return changes


def _part(path: Path) -> dict[str, Any]:
    """Published nowhere: what is missing of it cannot be downloaded."""
    folder, name = (path, ".") if path.is_dir() else (path.parent, path.name)
    published: dict[str, Any] = {"repository": "", "revision": "", "fetch": [], "num_bytes": 0, "gated": False}
    return {"folder": str(folder), "paths": [name], **published, "licence": "of your own weights"}


def _content(weights: OwnWeights, hash_of: HashOf) -> list[Any]:
    """Hashes of all files, with what each is used for."""
    content: list[Any] = [[name, _hashes(path, hash_of)] for name, path in weights.parts.items()]
    return content + [["lora", each.strength, _hashes(each.path.expanduser(), hash_of)] for each in weights.loras]


def _hashes(path: Path, hash_of: HashOf) -> Sequence[str]:
    if path.is_file():
        return [hash_of(path)]
    inside = sorted(each for each in path.rglob("*") if each.is_file() and is_weight_file(each))
    if not inside:
        raise StoryboardError.at("", f"{path}: holds no weights; name the folder or file that does")
    return [f"{each.relative_to(path).as_posix()} {hash_of(each)}" for each in inside]
