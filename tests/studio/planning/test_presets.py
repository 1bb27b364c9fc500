"""Presets and model cards: the real ones hold together, wrong ones are named by file and key."""

import json
from pathlib import Path

import pytest

from studio.errors import PresetError
from studio.planning.presets import MODELS_FOLDER, QUALITY_FOLDER, load_cards, load_presets

ROOT = Path(__file__).parents[3]
QUALITY = (QUALITY_FOLDER / "balanced.yaml").read_text()
CARD = (MODELS_FOLDER / "diorama.yaml").read_text()


def test_the_presets_go_from_quick_to_slow() -> None:
    presets = load_presets()
    assert list(presets) == ["draft", "fast", "balanced", "quality", "max"]
    card = load_cards()["diorama"]
    steps = [preset.sampler_for(card).num_steps for preset in presets.values()]
    assert steps == sorted(steps) and len(set(steps)) == len(steps)


@pytest.mark.parametrize("name", load_presets())
def test_a_preset_s_words_are_short(name: str) -> None:
    preset = load_presets()[name]
    assert 0 < len(preset.summary) <= 110 and preset.title


def test_values_of_the_model_are_the_card_s() -> None:
    preset, card = load_presets()["balanced"], load_cards()["diorama"]
    assert preset.guidance_for(card) == card.guidance_scale
    assert preset.speed_for(card).precision == card.precision
    assert load_presets()["quality"].sampler_for(card).num_steps == card.num_steps


def test_a_sampler_that_a_model_does_not_allow_is_answered_with_its_own() -> None:
    card = load_cards()["diorama"]
    own = card.sampler.model_copy(update={"name": "ddim", "allowed": ("ddim",), "schedule": "zero_snr"})
    settings = load_presets()["balanced"].sampler_for(card.model_copy(update={"sampler": own}))
    assert (settings.name, settings.schedule) == ("ddim", "zero_snr")


WRONG = [
    (QUALITY + "sampelr: heun\n", "sampelr", "unknown key, did you mean sampler?"),
    (QUALITY.replace("sampler: model\n", ""), "sampler", "is missing"),
    (QUALITY.replace("sampler: model", "sampler: nosuch"), "sampler", "'euler', 'heun', 'res_2ab'"),
    (QUALITY.replace("num_steps: 20", "num_steps: 0"), "num_steps", "1 or more"),
    (QUALITY.replace("num_steps: 20", "num_steps: many"), "num_steps", "whole number"),
    (QUALITY.replace("guidance_scale: model", "guidance_scale: modle"), "guidance_scale", "number"),
    (QUALITY + "name: other\n", "name", "must be the file's name"),
    (QUALITY + "title: again\n", "", "the key title is there twice"),
    ("- a\n- b\n", "", "must be a group"),
    ("", "", "must be a group"),
]


@pytest.mark.parametrize("text, key, words", WRONG, ids=[f"{w[1]}: {w[2][:24]}" for w in WRONG])
def test_a_wrong_preset_is_named_by_file_and_key(tmp_path: Path, text: str, key: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(PresetError) as caught:
        load_presets(tmp_path)
    assert caught.value.file == str(tmp_path / "mine.yaml")
    assert caught.value.key == key
    assert words in str(caught.value)


WRONG_CARDS = [
    (CARD + "licens: x\n", "licens", "did you mean licence?"),
    (CARD + "cosmos: {generation: predict2, rope_rato_t: 2}\n", "cosmos.rope_rato_t", "did you mean rope_ratio_t?"),
    (CARD + "cosmos: {generation: predict3}\n", "cosmos.generation", "'predict1' or 'predict2'"),
    (CARD + "dfm: {}\n", "dfm", "a card of family cosmos has no group dfm"),
    (CARD.replace("family: cosmos", "family: sora"), "family", "known: cosmos, ttt, dfm"),
    (CARD.replace("chunk_num_frames: 17", "chunk_num_frames: 16"), "chunk_num_frames", "1 + a multiple of 4"),
    (CARD.replace("continue_num_frames: 5", "continue_num_frames: 17"), "continue_num_frames", "fewer than"),
    (CARD.replace("[1, 5]", "[1, 4]"), "conditioning_num_frames", "4 is not 1 + a multiple"),
    (CARD.replace('default_aspect: "3:2"', 'default_aspect: "16:9"'), "default_aspect", "not in sizes_px"),
    (CARD.replace("latent_channels: 32", "latent_channels: 16"), "preview.weight", "16 numbers"),
    (CARD.replace("name: res_2ab", "name: nosuch"), "sampler.name", "'euler', 'heun', 'res_2ab'"),
]


@pytest.mark.parametrize("text, key, words", WRONG_CARDS, ids=[w[1] for w in WRONG_CARDS])
def test_a_wrong_card_is_named_by_file_and_key(tmp_path: Path, text: str, key: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(PresetError) as caught:
        load_cards(tmp_path)
    assert (caught.value.file, caught.value.key) == (str(tmp_path / "mine.yaml"), key)
    assert words in str(caught.value)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="holds no .yaml file"):
        load_presets(tmp_path)


def test_the_bundled_card_is_true_to_the_bundled_model() -> None:
    card = load_cards()["diorama"]
    folder = ROOT / card.parts.network.folder
    network = json.loads((folder / "transformer" / "config.json").read_text())
    autoencoder = json.loads((folder / "autoencoder" / "config.json").read_text())
    preview = json.loads((folder / "preview.json").read_text())
    assert (card.network.width, card.network.num_blocks) == (network["width"], network["num_blocks"])
    assert (card.network.num_heads, card.network.patch_spatial) == (network["num_heads"], network["patch_spatial"])
    assert card.autoencoder.latent_channels == autoencoder["z_dim"] == network["out_channels"]
    assert card.autoencoder.spatial_factor == autoencoder["scale_factor_spatial"]
    assert card.autoencoder.temporal_factor == autoencoder["scale_factor_temporal"]
    tokenizer = json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())
    assert card.text.max_tokens == tokenizer["model_max_length"]
    words = json.loads((folder / "vocabulary.json").read_text())["all_words"]
    assert set(card.vocabulary) == set(words), "run: python -m tools.card diorama"
    weights = [number for row in card.preview.weight for number in row]
    fitted = [number for row in preview["weight"] for number in row]
    assert weights == pytest.approx(fitted, abs=1e-3), "run: python -m tools.card diorama"
    assert card.preview.bias == pytest.approx(preview["bias"], abs=1e-3), "run: python -m tools.card diorama"
