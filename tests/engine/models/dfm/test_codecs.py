"""What stands before and behind the network: text, the tokenizer's programs, the whole model from a card."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.contract.errors import Rejected
from engine.models.dfm.autoencoder import VideoTokenizer, load_autoencoder
from engine.models.dfm.load import load_model
from engine.models.dfm.network import DfmConfig, DfmDiT
from engine.models.dfm.text import TextEncoder, load_text_encoder
from engine.storage.card_files import read_cards
from tests.engine.models.dfm.factories import MAX_TOKENS, TEXT_WIDTH, make_dfm, write_t5, write_tokenizer_programs

CARDS = Path("presets/models")


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    write_t5(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(t5: Path) -> TextEncoder:
    return load_text_encoder(t5, t5, torch.float32)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cv4x8x8")
    write_tokenizer_programs(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(programs: Path) -> VideoTokenizer:
    return load_autoencoder(programs, 0.5, 4, torch.float32)


def test_rows_past_the_prompt_are_zero(encoder: TextEncoder) -> None:
    rows = encoder(["a red ball", "a boat"], MAX_TOKENS)
    assert rows.shape == (2, MAX_TOKENS, TEXT_WIDTH)
    for row, length in zip(rows, (len("a red ball") + 1, len("a boat") + 1), strict=True):
        assert bool((row[:length].abs().amax(1) > 0).all()) and not row[length:].any()


@pytest.mark.parametrize("prompt", ["", "  ", "\n"])
def test_no_text_is_zero_rows_alone(encoder: TextEncoder, prompt: str) -> None:
    """As the network met a dropped text in training, and not what T5 says of an empty string."""
    rows = encoder([prompt, "a boat"], MAX_TOKENS)
    assert not rows[0].any() and rows[1].any()


def test_a_negative_prompt_says_something(encoder: TextEncoder) -> None:
    assert not torch.equal(encoder(["blurry"], MAX_TOKENS), encoder(["dark"], MAX_TOKENS))


def test_longer_prompts_are_cut(encoder: TextEncoder) -> None:
    assert encoder(["a" * 100], MAX_TOKENS).shape == (1, MAX_TOKENS, TEXT_WIDTH)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before torch 1.6"])
def test_a_whole_t5_as_bin(t5: Path, encoder: TextEncoder, tmp_path: Path, old: bool) -> None:
    """The published file: encoder and decoder in one, pickled, the embedding under one name."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((t5 / name).read_bytes())
    state = load_file(t5 / "model.safetensors")
    state = {name: tensor for name, tensor in state.items() if name != "encoder.embed_tokens.weight"}
    state["decoder.block.0.layer.0.SelfAttention.q.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=not old)
    again = load_text_encoder(tmp_path, tmp_path, torch.float32)
    assert torch.equal(again(["a boat"], MAX_TOKENS), encoder(["a boat"], MAX_TOKENS))


@pytest.mark.parametrize("damage", ["config.json", "tokenizer.json", "model.safetensors", "weights"])
def test_a_damaged_text_encoder(t5: Path, tmp_path: Path, damage: str) -> None:
    for path in t5.iterdir():
        if path.name != damage:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    if damage == "weights":
        save_file({"encoder.final_layer_norm.weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(Rejected) as caught:
        load_text_encoder(tmp_path, tmp_path, torch.float32)
    assert caught.value.code == "weights"


@pytest.mark.parametrize("num_frames", [1, 5, 13])
def test_frames_to_latents_and_back(tokenizer: VideoTokenizer, num_frames: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, 16, 24, 3), dtype=np.uint8)
    latents = tokenizer.encode(frames)
    assert latents.shape == (1, 16, (num_frames - 1) // 4 + 1, 2, 3) and latents.dtype == torch.float32
    parts = list(tokenizer.decode(latents))
    assert [len(part) for part in parts] == [1] + [4] * (latents.shape[2] - 1)
    assert np.concatenate(parts).shape == frames.shape


def test_latents_are_scaled_and_levels_are_cut(tokenizer: VideoTokenizer) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    pixels = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1.0
    latents = tokenizer.encoder(pixels)[0]
    assert torch.equal(tokenizer.encode(frames), latents * 0.5)
    exact = (tokenizer.decoder(latents)[0].permute(1, 2, 3, 0) + 1.0) / 2 * 255
    assert np.array_equal(np.concatenate(list(tokenizer.decode(latents * 0.5))), exact.floor().to(torch.uint8).numpy())


@pytest.mark.parametrize("name", ["encoder.jit", "decoder.jit"])
@pytest.mark.parametrize("damage", [None, b"", b"version https://git-lfs.github.com/spec/v1"])
def test_a_damaged_tokenizer(programs: Path, tmp_path: Path, name: str, damage: bytes | None) -> None:
    for path in programs.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).unlink()
    if damage is not None:
        (tmp_path / name).write_bytes(damage)
    with pytest.raises(Rejected, match=name) as caught:
        load_autoencoder(tmp_path, 0.5, 4, torch.float32)
    assert caught.value.code == "weights"


def test_another_tokenizer_is_seen_by_its_length(programs: Path) -> None:
    eight = load_autoencoder(programs, 0.5, 8, torch.float32)
    with pytest.raises(Rejected, match="9 frames of 3 latent frames, not 17"):
        list(eight.decode(torch.zeros(1, 16, 3, 2, 2)))


@pytest.mark.parametrize("with_codecs", [True, False])
def test_a_whole_model(tmp_path: Path, with_codecs: bool) -> None:
    card = make_dfm(tmp_path, cards_folder=tmp_path / "cards")
    assert read_cards(tmp_path / "cards")[card.name] == card
    model = load_model(card, tmp_path, "bfloat16", with_codecs)
    assert model.dtype == torch.bfloat16 and (model.codecs is not None) == with_codecs
    text = torch.zeros(1, MAX_TOKENS, TEXT_WIDTH, dtype=model.dtype)
    x = torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(0)).to(model.dtype)
    full = load_model(card, tmp_path, "float32", False).network(x.float(), torch.ones(1, 2), text.float(), fps=8.0)
    half = model.network(x, torch.ones(1, 2, dtype=model.dtype), text, fps=8.0).float()
    print(f"bfloat16: max {(half - full).abs().max():.2e} of {full.abs().max():.2e}")
    assert (half - full).abs().max() < 0.05 * full.abs().max()


SIZES = {
    "dfm-dit-s": (12, 384, 6),
    "dfm-dit-b": (12, 768, 12),
    "dfm-dit-l": (24, 1024, 16),
    "dfm-dit-xl": (28, 1152, 16),
}


@pytest.mark.parametrize("name", SIZES)
def test_cards_say_what_the_presets_are(name: str) -> None:
    card = read_cards(CARDS)[name]
    num_blocks, width, num_heads = SIZES[name]
    with torch.device("meta"):
        network = DfmDiT(DfmConfig(width, num_blocks, num_heads, 4 * width))
    sizes = card.network
    assert (sizes.num_blocks, sizes.width, sizes.num_heads) == (num_blocks, width, num_heads)
    assert sizes.num_parameters == sum(parameter.numel() for parameter in network.parameters())
    assert card.dfm is not None and card.grid_px == 16
    for size in card.sizes_px.values():
        assert all(side % 16 == 0 and side // 16 <= card.dfm.max_patches for side in size)
    assert (card.guidance_scale, card.num_steps, card.sampler.schedule) == (8.0, 35, "karras_to_zero")
