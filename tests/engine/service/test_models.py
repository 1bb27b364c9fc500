"""What the engine says of the models of its machine."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from engine.contract.card_values import LoraUse
from engine.contract.cards import ModelCard
from engine.contract.errors import EngineError
from engine.service.models import Models
from engine.storage.card_files import fingerprint, read_cards
from engine.storage.hashes import FileHashes
from tests.engine.runtime.tiny import tiny_card


@pytest.fixture
def card(cards: Path) -> ModelCard:
    card = tiny_card("tiny", 1000)
    (cards / "tiny.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json")))
    return card


def weights(folder: Path, content: bytes = b"weights") -> Path:
    """-> the network's file; every part has one."""
    for part in ("autoencoder", "text_encoder", "tokenizer", "transformer"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / "model.safetensors").write_bytes(content)
    return folder / "transformer/model.safetensors"


def test_a_model_that_is_there(card: ModelCard, cards: Path, tmp_path: Path) -> None:
    weights(tmp_path / "tiny")
    (status,) = Models(cards, tmp_path, tmp_path / "memory.json").all()
    assert (status.card, status.available, status.fingerprint) == (
        card,
        True,
        fingerprint(card, tmp_path, FileHashes()),
    )


@pytest.mark.parametrize("missing", ["", "transformer", "tokenizer", "transformer/model.safetensors"])
def test_a_model_without_weights(card: ModelCard, cards: Path, tmp_path: Path, missing: str) -> None:
    weights(tmp_path / "tiny")
    place = tmp_path / "tiny" / missing
    place.unlink() if place.is_file() else shutil.rmtree(place)
    (status,) = Models(cards, tmp_path, tmp_path / "memory.json").all()
    assert (status.available, status.fingerprint) == (False, "")
    assert str(tmp_path / "tiny") in status.reason and "choose another" in status.reason
    named = {"transformer": ("network",), "tokenizer": ("tokenizer",), "": tuple(card.parts.all())}
    assert status.missing == named.get(missing, ()), "an empty folder is a part that is there, and wrong"


def test_a_fingerprint_is_computed_once_and_again_after_a_change(card: ModelCard, cards: Path, tmp_path: Path) -> None:
    path = weights(tmp_path / "tiny")
    first = Models(cards, tmp_path, tmp_path / "memory.json").all()[0].fingerprint
    before = path.stat()
    path.write_bytes(b"WEIGHTS")  # same size, and made to look untouched: so only memory can answer
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Models(cards, tmp_path, tmp_path / "memory.json").all()[0].fingerprint == first
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    changed = Models(cards, tmp_path, tmp_path / "memory.json").all()[0].fingerprint
    assert first != changed == fingerprint(card, tmp_path, FileHashes())


def test_what_the_card_says_of_the_network_decides_too(card: ModelCard, cards: Path, tmp_path: Path) -> None:
    weights(tmp_path / "tiny")
    other = card.model_copy(update={"sigma_data": 0.5})
    renamed = card.model_copy(update={"title": "Another name"})
    first, second, third = (fingerprint(each, tmp_path, FileHashes()) for each in (card, other, renamed))
    assert first == third != second


@pytest.mark.parametrize("beside", ["adapter_config.json", "run_config.yaml"])
def test_what_stands_beside_a_file_of_weights_decides_too(card: ModelCard, tmp_path: Path, beside: str) -> None:
    """A LoRA's alpha, the norm of a Megatron network: no take of before is what is drawn with another."""
    weights(tmp_path / "tiny")
    (tmp_path / "loras").mkdir()
    for name in ("style.safetensors", beside):
        (tmp_path / "loras" / name).write_bytes(b"{}")
    styled = card.model_copy(update={"loras": (LoraUse(path="loras/style.safetensors"),)})
    before = fingerprint(styled, tmp_path, FileHashes())
    (tmp_path / "loras" / beside).write_bytes(b'{"lora_alpha": 8}')
    assert fingerprint(styled, tmp_path, FileHashes()) != before


@pytest.mark.parametrize(
    ("text", "words"),
    [("fps: 8\nspeed: 3", "speed: Extra inputs"), ("[", "not readable as YAML"), ("name: 3", "title: Field required")],
)
def test_a_bad_card_is_told_and_takes_no_other_away(
    card: ModelCard, cards: Path, tmp_path: Path, text: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cards").mkdir(exist_ok=True)
    (tmp_path / "cards" / "bad.yaml").write_text(text)
    models = Models(cards, tmp_path, tmp_path / "memory.json")
    assert [status.card.name for status in models.all()] == ["tiny"]
    models.all()
    told = capfd.readouterr().err
    assert told.count("bad.yaml") == 1 and words in told


def test_a_card_laid_over_another(cards: Path) -> None:
    base = tiny_card("tiny", 1000).model_dump(mode="json")
    (cards / "tiny.yaml").write_text(yaml.safe_dump(base))
    (cards / "wide.yaml").write_text('base: tiny\ntitle: Wide\nsizes_px: {"2:1": [64, 32]}\nsampler: {sigma_max: 70}\n')
    (cards / "wider.yaml").write_text("base: wide\ndefault_aspect: '2:1'\n")
    card = read_cards(cards)["wider"]
    assert (card.name, card.title, card.sizes_px) == ("wider", "Wide", {"2:1": (64, 32)})
    assert (card.sampler.sigma_max, card.sampler.sigma_min) == (70.0, 0.002)


@pytest.mark.parametrize(("base", "words"), [("itself", "based on this one"), ("nothing", "not readable")])
def test_a_base_that_leads_nowhere(cards: Path, base: str, words: str) -> None:
    (cards / "itself.yaml").write_text(f"base: {base}\n")
    with pytest.raises(EngineError, match=words):
        read_cards(cards)


GUARD = """title: A guard
summary: For tests.
kinds: [guard]
format: qwen3guard
film_models: ["cosmos-*"]
licence: Apache-2.0
origin: made by the tests
parts: {model: {folder: guard, paths: [.]}}
"""


def test_assistants_have_cards_and_fingerprints_of_their_own(cards: Path, tmp_path: Path) -> None:
    folder = cards.with_name("assistants")
    folder.mkdir(exist_ok=True)
    (folder / "guard.yaml").write_text(GUARD)
    models = Models(cards, tmp_path, tmp_path / "memory.json")
    (missing,) = models.assistants()
    assert not missing.available and missing.missing == ("model",)
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard/model.safetensors").write_bytes(b"weights")
    (here,) = models.assistants()
    assert here.available and here.fingerprint == fingerprint(here.card, tmp_path, FileHashes())
    assert here.card.suits("guard", "cosmos-predict2-2b") and not here.card.suits("guard", "diorama")
    (folder / "guard.yaml").write_text(GUARD.replace("qwen3guard", "aegis"))
    assert models.assistants()[0].fingerprint != here.fingerprint, "it is asked in another form"
