"""The text encoder: from the hub's folder and from two folders, padded with zeros, and what is refused."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import T5ForConditionalGeneration

from engine.contract.errors import Rejected
from engine.models.cosmos.load import load_model
from engine.models.cosmos.text import load_text_encoder
from tests.engine.models.cosmos.codec_factories import write_t5
from tests.engine.models.cosmos.factories import make_predict2
from tests.engine.runtime.tiny import MAX_TOKENS, TEXT_WIDTH

PROMPTS = ["a cat", "", "a red ball that is far too long for it"]


def whole(folder: Path) -> tuple[Path, Path]:
    """As google-t5/t5-11b: one folder, encoder and decoder in ``pytorch_model.bin``."""
    write_t5(folder / "t5")
    return folder / "t5", folder / "t5"


def whole_of_old(folder: Path) -> tuple[Path, Path]:
    """The hub's file was saved before PyTorch 1.6: a pickle of the old kind, read as weights alone."""
    places = whole(folder)
    path = places[0] / "pytorch_model.bin"
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)
    return places


def encoder_alone(folder: Path) -> tuple[Path, Path]:
    write_t5(folder / "t5", whole=False)
    return folder / "t5", folder / "t5"


def two_folders(folder: Path) -> tuple[Path, Path]:
    encoder, _ = encoder_alone(folder)
    (folder / "tokenizer").mkdir()
    for path in list(encoder.glob("tokenizer*")) + list(encoder.glob("special*")):
        shutil.move(path, folder / "tokenizer" / path.name)
    return encoder, folder / "tokenizer"


@pytest.mark.parametrize("write", [whole, whole_of_old, encoder_alone, two_folders], ids=lambda write: write.__name__)
def test_padded_positions_are_zero(write: Callable[[Path], tuple[Path, Path]], tmp_path: Path) -> None:
    embeddings = load_text_encoder(*write(tmp_path), torch.float32)(PROMPTS, MAX_TOKENS)
    assert embeddings.shape == (3, MAX_TOKENS, TEXT_WIDTH)
    lengths = [int((embedding.abs().sum(-1) > 0).sum()) for embedding in embeddings]
    assert lengths == [7, 1, MAX_TOKENS], "characters and the end; the end alone; cut"


@torch.inference_mode()
def test_the_encoder_of_a_whole_t5(tmp_path: Path) -> None:
    """The same numbers as the whole model gives, with the mask that the tokenizer gives."""
    encoder = load_text_encoder(*whole(tmp_path), torch.float32)
    theirs: Any = T5ForConditionalGeneration.from_pretrained(tmp_path / "t5")
    given = encoder.tokenizer(["a cat"], padding="max_length", max_length=MAX_TOKENS, return_tensors="pt")
    expected = theirs.encoder(**given).last_hidden_state * given["attention_mask"][..., None]
    gap = (encoder(["a cat"], MAX_TOKENS) - expected).abs()
    print(f"max {gap.max():.2e}, mean {gap.mean():.2e}")
    assert gap.max() < 1e-5


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_by_the_card_and_loaded_when_asked_for(precision: Any, tmp_path: Path) -> None:
    """A model whose prompts are all known needs no encoder on the disk's way: it is read by the first call."""
    card = make_predict2(tmp_path)
    card = card.model_copy(update={"text": card.text.model_copy(update={"precision": precision})})
    ends = load_model(card, tmp_path, "float32", with_codecs=True).codecs
    assert ends is not None
    assert ends.load_text_encoder()(["a cat"], MAX_TOKENS).dtype == getattr(torch, precision)
    (tmp_path / "t5-11b/pytorch_model.bin").unlink()
    again = load_model(card, tmp_path, "float32", with_codecs=True).codecs
    assert again is not None
    with pytest.raises(Rejected, match="text encoder cannot be read"):
        again.load_text_encoder()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "pytorch_model.bin").unlink()


def cut_weights(folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-500])


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


def code_in_weights(folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    torch.save({**torch.load(path, weights_only=True), "args": Evil()}, path)


def code_in_old_weights(folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    torch.save({"args": Evil()}, path, _use_new_zipfile_serialization=False)


def other_weights(folder: Path) -> None:
    torch.save({"some.weight": torch.zeros(2)}, folder / "pytorch_model.bin")


def missing_layer(folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    del state["encoder.block.0.layer.0.SelfAttention.q.weight"]
    torch.save(state, path)


def other_size(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"d_ff": 64}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_tokenizer, "no tokenizer here; expected tokenizer.json or spiece.model"),
        (broken_tokenizer, "the tokenizer cannot be read"),
        (no_config, "cannot be read"),
        (no_weights, "the text encoder cannot be read"),
        (cut_weights, "the text encoder cannot be read"),
        (code_in_weights, "the text encoder cannot be read"),
        (code_in_old_weights, "the text encoder cannot be read"),
        (other_weights, "missing or misshapen: .*encoder.block"),
        (missing_layer, "missing or misshapen: encoder.block.0.layer.0.SelfAttention.q.weight"),
        (other_size, "the text encoder cannot be read|misshapen"),
    ],
)
def test_damaged_text_encoders(
    damage: Callable[[Path], None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    encoder, tokenizer = whole(tmp_path)
    damage(encoder)
    with pytest.raises(Rejected, match=words) as refused:
        load_text_encoder(encoder, tokenizer, torch.float32)
    print(refused.value)
    assert refused.value.code == "weights" and str(tmp_path) in str(refused.value)
    assert not (tmp_path / "harm").exists(), "nothing in a file is ever run"
