"""T5 for TTT-Video: its tokenizer from ``spiece.model``, scene tokens, padding that is attended, nothing cut."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import T5EncoderModel

from engine.contract.errors import Rejected
from engine.contract.scene_tokens import END_SCENE, START_SCENE, SegmentText, with_scene_tokens
from engine.layers.spiece import read_spiece
from engine.models.ttt.text import TextEncoder, load_text_encoder, load_tokenizer
from tests.engine.models.ttt.model_factories import CONFIG, LETTERS, PIECES, SPARE_ROWS, write_t5

END, START = len(PIECES) + 100, len(PIECES) + 101
"""T5 v1.1 has 32,000 pieces: 32,100 and 32,101 there."""
EOS, PAD = 1, 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("t5")
    write_t5(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return load_text_encoder(folder, folder, torch.float32)


def id_of(letter: str) -> int:
    return 4 + LETTERS.index(letter)


def test_scene_tokens_are_the_last_two(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.convert_tokens_to_ids([END_SCENE, START_SCENE]) == [END, START]
    assert tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_99>"]) == [END - 1, END - 100]
    assert len(tokenizer) == START + 1


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("", [EOS]),
        ("ab", [3, id_of("a"), id_of("b"), EOS]),
        ("a" + END_SCENE, [3, id_of("a"), END, EOS]),
        (START_SCENE + "a" + END_SCENE, [START, 3, id_of("a"), END, EOS]),
    ],
)
def test_ids_are_padded_to_the_length(prompt: str, ids: list[int], encoder: TextEncoder) -> None:
    assert encoder.ids(prompt, 9) == ids + [PAD] * (9 - len(ids))


def test_every_position_is_used_and_padding_is_attended(encoder: TextEncoder) -> None:
    """As T5 without any mask: the padded rows are not zero, and a longer padding changes the others."""
    short, long = encoder(["a red car"], 12), encoder(["a red car", "a"], 20)
    assert short.shape == (1, 12, CONFIG.text_width) and long.shape == (2, 20, CONFIG.text_width)
    assert short[0, -1].abs().max() > 0.01
    assert (short[0, :3] - long[0, :3]).abs().max() > 1e-4
    plain = encoder.encoder(torch.tensor([encoder.ids("a red car", 12)])).last_hidden_state
    assert torch.equal(short, plain)


def test_a_long_text_is_refused_not_cut(encoder: TextEncoder) -> None:
    """The last token would be the end of the scene."""
    prompt = "a" * 20 + END_SCENE
    assert encoder([prompt], 23).shape[1] == 23
    with pytest.raises(Rejected, match="has 23 tokens, and 22 is the most") as caught:
        encoder([prompt], 22)
    assert caught.value.code == "text" and "aaa" in str(caught.value)


def test_the_encoder_has_rows_to_spare(folder: Path, encoder: TextEncoder) -> None:
    """The scene tokens take embeddings that the file has: nothing is drawn at random, and the file is as it was."""
    rows = encoder.encoder.get_input_embeddings().weight
    assert rows.shape[0] == len(PIECES) + 100 + SPARE_ROWS
    assert torch.equal(rows, T5EncoderModel.from_pretrained(folder).get_input_embeddings().weight)


def too_few_rows(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    encoder = T5EncoderModel.from_pretrained(folder)
    encoder.resize_token_embeddings(START)  # one row too few
    assert config["vocab_size"] > START
    for path in folder.glob("model*"):
        path.unlink()
    encoder.save_pretrained(folder)


def no_tokenizer(folder: Path) -> None:
    (folder / "spiece.model").unlink()


def damaged_tokenizer(folder: Path) -> None:
    path = folder / "spiece.model"
    path.write_bytes(path.read_bytes()[:-5])


def missing_shard(folder: Path) -> None:
    sorted(folder.glob("model-*.safetensors"))[0].unlink()


def damaged_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (too_few_rows, "not the encoder of this tokenizer"),
        (no_tokenizer, "expected tokenizer.json or spiece.model"),
        (damaged_tokenizer, "not a readable tokenizer .cut short"),
        (missing_shard, "the text encoder cannot be read"),
        (damaged_config, "the text encoder cannot be read"),
    ],
)
def test_folders_that_are_no_good(damage: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    write_t5(tmp_path)
    damage(tmp_path)
    with pytest.raises(Rejected, match=told) as caught:
        load_text_encoder(tmp_path, tmp_path, torch.float32)
    assert caught.value.code == "weights" and str(tmp_path) in str(caught.value)


def test_a_tokenizer_of_the_new_kind_is_read_too(folder: Path, tmp_path: Path) -> None:
    """``tokenizer.json``, as transformers writes it now."""
    load_tokenizer(folder).save_pretrained(tmp_path)
    assert not (tmp_path / "spiece.model").exists()
    again = load_tokenizer(tmp_path)
    assert again.convert_tokens_to_ids([END_SCENE, START_SCENE]) == [END, START]
    text = START_SCENE + "a (red) car." + END_SCENE
    assert again(text).input_ids == load_tokenizer(folder)(text).input_ids


def test_spiece_is_read_field_by_field(tmp_path: Path) -> None:
    """Unknown fields of every wire type are passed over; a piece without a score has 0."""
    piece = b"\x0a\x01a" + b"\x15" + struct.pack("<f", -1.5) + b"\x18\x06"
    unknown = b"\x20\x96\x01" + b"\x29" + bytes(8) + b"\x3d" + bytes(4)
    normalizer = b"\x1a\x06" + b"\x0a\x01n" + b"\x12\x01T"
    path = tmp_path / "spiece.model"
    path.write_bytes(b"\x0a" + bytes([len(piece)]) + piece + unknown + b"\x0a\x03\x0a\x01b" + normalizer)
    spiece = read_spiece(path)
    assert spiece.pieces == (("a", -1.5), ("b", 0.0))
    assert spiece.character_table == b"T"


@pytest.mark.parametrize("content", [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0b", b"<html>"])
def test_other_files_are_no_spiece(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes(content)
    with pytest.raises(Rejected, match="Get it again"):
        read_spiece(path)


def test_scene_tokens_in_texts() -> None:
    """``A | B (new scene) | C | D (new scene)``; the first segment's own flag says nothing."""
    flags = zip("ABCD", (True, True, False, True), strict=True)
    segments = [SegmentText(text, starts, f"not {text}") for text, starts in flags]
    assert with_scene_tokens(segments) == (
        ("A<end_scene>", "not A"),
        ("<start_scene>B", "not B"),
        ("C<end_scene>", "not C"),
        ("<start_scene>D", "not D"),
    )
    assert with_scene_tokens([]) == ()
