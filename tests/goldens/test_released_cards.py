"""The cards of the released Cosmos networks against the manifests and the constants that their makers published."""

import re
from pathlib import Path
from typing import Any

import pytest

from engine.contract.cards import ModelCard
from engine.contract.frames import on_grid
from engine.diffusion.denoisers import SIGMA_AUGMENT
from engine.storage.card_files import read_cards
from tests.goldens.runner import DEFAULT_FOLDERS, case_at

MANIFESTS = case_at(DEFAULT_FOLDERS[0] / "key_manifests.json.gz").description["variants"]
SHORT = {"text2image": "t2i", "text2world": "t2w", "video2world": "v2w"}
NAME = re.compile(r"cosmos-predict([12])-([\d.]+b)-(text2image|text2world|video2world)")
CARDS = {
    name: card
    for name, card in read_cards(Path(__file__).parents[2] / "presets" / "models").items()
    if NAME.match(name)
}
each_card = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())


def variant_of(card: ModelCard) -> str:
    found = NAME.match(card.name)
    assert found is not None
    return f"p{found[1]}_{found[2]}_{SHORT[found[3]]}"


def manifest_of(card: ModelCard) -> dict[str, Any]:
    return MANIFESTS[variant_of(card)]


def test_every_released_network_has_a_card() -> None:
    assert {variant_of(card) for card in CARDS.values()} == set(MANIFESTS)


@each_card
def test_sizes_and_ratios(card: ModelCard) -> None:
    manifest, sizes, settings = manifest_of(card), card.network, card.cosmos
    assert settings is not None
    assert settings.generation == f"predict{variant_of(card)[1]}"
    ratios = [settings.rope_ratio_t, settings.rope_ratio_h, settings.rope_ratio_w]
    assert ratios == pytest.approx(manifest["rope_ratio_t_h_w"], rel=1e-12)
    assert settings.rope_precision == "float32", "as trained; the script's rounding is an option"
    ours = sizes.num_blocks, sizes.num_heads, sizes.width // sizes.num_heads, sizes.num_parameters
    assert ours == tuple(manifest[name] for name in ("num_blocks", "num_heads", "head_dim", "num_parameters"))


@each_card
def test_levels_and_scale(card: ModelCard) -> None:
    """Predict1: EDM levels down to 0.0002, then 0. Predict2: levels down to 0.002, where the answer is the result."""
    sampler = card.sampler
    assert (sampler.sigma_max, sampler.rho, card.num_steps) == (80.0, 7.0, 35)
    if variant_of(card).startswith("p1"):
        sampling = card.parametrisation, card.sigma_data, sampler.schedule, sampler.sigma_min, sampler.name
        assert sampling == ("edm", 0.5, "karras_to_zero", 0.0002, "euler")
        assert card.autoencoder.scale == card.sigma_data, "latents are multiplied by it before the network"
        assert sampler.sigma_min < SIGMA_AUGMENT, "the last steps take conditioning frames like the others"
    else:
        sampling = card.parametrisation, card.sigma_data, sampler.schedule, sampler.sigma_min, sampler.name
        assert sampling == ("rectified_flow", 1.0, "karras", 0.002, "res_2ab")
        assert card.autoencoder.scale == 1.0


@each_card
def test_guidance_in_the_usual_convention(card: ModelCard) -> None:
    """NVIDIA's g is x0_c + g (x0_c - x0_u): 7 for video, 4 for pictures; ours is 1 + g."""
    assert card.guidance_scale == (5.0 if card.makes == "picture" else 8.0)


@each_card
def test_frames_are_on_the_grid(card: ModelCard) -> None:
    factor = card.autoencoder.temporal_factor
    assert all(on_grid(number, factor) for number in (card.chunk_num_frames, *card.conditioning_num_frames))
    assert all(side % card.grid_px == 0 for size in card.sizes_px.values() for side in size)
