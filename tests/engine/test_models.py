"""What the engine says of the models of its machine."""

import os
from pathlib import Path

import pytest
import yaml

from engine.contract.cards import ModelCard, fingerprint
from engine.contract.errors import EngineError
from engine.service.models import Models
from tests.ranks.tiny import tiny_card


@pytest.fixture
def card(cards: Path) -> ModelCard:
    card = tiny_card("tiny", 1000)
    (cards / "tiny.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json")))
    return card


def weights(folder: Path, content: bytes = b"weights") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    return folder


def test_a_model_that_is_there(card: ModelCard, cards: Path, tmp_path: Path) -> None:
    folder = weights(tmp_path / "tiny")
    (status,) = Models(cards, tmp_path, tmp_path / "memory.json").all()
    assert (status.card, status.available, status.fingerprint) == (card, True, fingerprint(folder))


@pytest.mark.parametrize("folder_is_there", [True, False])
def test_a_model_without_weights(card: ModelCard, cards: Path, tmp_path: Path, folder_is_there: bool) -> None:
    if folder_is_there:
        (tmp_path / "tiny").mkdir()
    (status,) = Models(cards, tmp_path, tmp_path / "memory.json").all()
    assert (status.available, status.fingerprint) == (False, "")
    assert str(tmp_path / "tiny") in status.reason and "--models-root" in status.reason


def test_a_fingerprint_is_computed_once_and_again_after_a_change(card: ModelCard, cards: Path, tmp_path: Path) -> None:
    path = weights(tmp_path / "tiny") / "model.safetensors"
    first = Models(cards, tmp_path, tmp_path / "memory.json").all()[0].fingerprint
    before = path.stat()
    path.write_bytes(b"WEIGHTS")  # same size, and made to look untouched: so only memory can answer
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Models(cards, tmp_path, tmp_path / "memory.json").all()[0].fingerprint == first
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert Models(cards, tmp_path, tmp_path / "memory.json").all()[0].fingerprint == fingerprint(tmp_path / "tiny")


@pytest.mark.parametrize(
    ("text", "words"),
    [("fps: 8\nspeed: 3", "speed: Extra inputs"), ("[", "not readable as YAML"), ("name: 3", "title: Field required")],
)
def test_a_bad_card_names_file_and_key(cards: Path, tmp_path: Path, text: str, words: str) -> None:
    (cards / "bad.yaml").write_text(text)
    with pytest.raises(EngineError, match="bad.yaml") as caught:
        Models(cards, tmp_path, tmp_path / "memory.json").all()
    assert words in str(caught.value)
