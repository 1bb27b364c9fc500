"""Weights in Hugging Face's cache are used where they lie, and a user's own files are offered for no download."""

from pathlib import Path

import pytest

from engine.contract.card_values import Part
from engine.contract.errors import Rejected
from engine.storage.card_files import find_part, has_part, read_card
from engine.storage.hub_cache import cached_part

COMMIT = "90f3770" + "0" * 33
T5 = Part(
    folder="google-t5/t5-11b",
    paths=(".",),
    repository="google-t5/t5-11b",
    revision="90f3770",
    fetch=("*.json", "spiece.model", "pytorch_model.bin", "*.safetensors"),
)


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As the hub's tools write it: links in a snapshot to files named by their content."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    repository = tmp_path / "cache" / "hub" / "models--google-t5--t5-11b"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "spiece.model", "pytorch_model.bin"):
        (repository / "blobs" / f"blob-{name}").write_bytes(b"x")
        (snapshot / name).symlink_to(Path("../../blobs") / f"blob-{name}")
    return snapshot


def test_a_part_is_found_in_the_cache_at_its_revision_and_the_models_root_comes_first(
    snapshot: Path, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    assert find_part(T5, root) == snapshot / "." and has_part(T5, root)
    other = T5.model_copy(update={"revision": "1234567"})
    assert cached_part(other) is None and not has_part(other, root)
    (root / "google-t5/t5-11b").mkdir(parents=True)
    assert find_part(T5, root) == root / "google-t5/t5-11b"


@pytest.mark.parametrize("gone", ["spiece.model", "pytorch_model.bin"])
def test_half_a_part_in_the_cache_is_none(snapshot: Path, tmp_path: Path, gone: str) -> None:
    (snapshot / gone).unlink()
    with pytest.raises(Rejected, match="not there"):
        find_part(T5, tmp_path / "models")


def test_a_card_with_its_own_file_is_published_nowhere(tmp_path: Path) -> None:
    cards = Path(__file__).parents[3] / "presets" / "models"
    path = tmp_path / "mine.yaml"
    path.write_text("base: cosmos-predict2-2b-video2world-720p-16fps\nparts: {network: {paths: [mine.pt]}}\n")
    card = read_card(path, (cards, tmp_path))
    assert card.parts.network.repository == "" and card.parts.network.num_bytes == 0
    assert card.parts.autoencoder.repository == "nvidia/Cosmos-Predict2-2B-Video2World"
    published = read_card(cards / "cosmos-predict2-2b-video2world-480p-10fps.yaml", (cards,))
    assert published.parts.network.repository
