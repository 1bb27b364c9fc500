"""The model catalogue: large weights are not hashed unasked, and what is hashed is remembered."""

from pathlib import Path

from engine.contract.cards import ModelCard
from studio.planning.presets import load_cards
from studio.rendering.models import MOST_BYTES_HASHED, NOT_HASHED, ModelCatalog


def large_model(root: Path) -> ModelCard:
    """The bundled model, with a network file of a size that takes long to hash (a file of holes, which does not)."""
    card = load_cards()["diorama"]
    (root / "large").mkdir()
    with (root / "large" / "network.safetensors").open("wb") as file:
        file.truncate(MOST_BYTES_HASHED + 1)
    network = card.parts.network.model_copy(update={"folder": "large", "paths": ("network.safetensors",)})
    return card.model_copy(update={"parts": card.parts.model_copy(update={"network": network})})


def test_large_weights_are_hashed_once_when_it_is_asked_for(tmp_path: Path) -> None:
    cards, memory = {"diorama": large_model(tmp_path)}, tmp_path / "hashes.json"
    catalog, reports = ModelCatalog(cards, tmp_path, memory), list[tuple[int, int]]()
    assert catalog.all()["diorama"].reason == NOT_HASHED
    catalog.hash_weights("diorama", lambda *sizes: reports.append(sizes))
    status = catalog.all()["diorama"]
    assert status.available and status.fingerprint
    assert reports[0][0] == 0 and reports[-1][0] == reports[-1][1] > MOST_BYTES_HASHED
    again = ModelCatalog(cards, tmp_path, memory)
    assert again.all()["diorama"].fingerprint == status.fingerprint, "the next process remembers"
    again.hash_weights("diorama", lambda *sizes: reports.append((-1, -1)))
    assert (-1, -1) not in reports


def test_hashing_leaves_alone_what_is_not_here(tmp_path: Path) -> None:
    card = large_model(tmp_path)
    (tmp_path / "large" / "network.safetensors").unlink()
    catalog, reports = ModelCatalog({"diorama": card}, tmp_path), list[int]()
    for name in ("diorama", "nobody"):
        catalog.hash_weights(name, lambda num_bytes, _: reports.append(num_bytes))
    assert reports == [] and "not there" in catalog.all()["diorama"].reason
