"""The cards of the released models: all of them, each with what the reference says of it."""

from pathlib import Path
from typing import Any

import pytest

from engine.contract.cards import ModelCard
from engine.models.cosmos.load import expected_kind
from engine.storage.card_files import read_cards

FOLDER = Path(__file__).parents[4] / "presets/models"
CARDS = {name: card for name, card in read_cards(FOLDER).items() if name.startswith("cosmos-")}
FILMS = [
    f"cosmos-predict2-{size}-video2world-{variant}"
    for size in ("2b", "14b")
    for variant in ("480p-10fps", "480p-16fps", "720p-10fps", "720p-16fps", "720p-10fps-natten", "720p-16fps-natten")
]
PICTURES = [f"cosmos-predict2-{size}-text2image" for size in ("0.6b", "0.6b", "2b", "14b")]
FIRST = [f"cosmos-predict1-{size}-{kind}" for size in ("7b", "14b") for kind in ("text2world", "video2world")]
WORLDS = {  # of the released models; width x height
    "1024": {"1:1": (1024, 1024), "4:3": (1168, 880), "3:4": (880, 1168), "16:9": (1360, 768), "9:16": (768, 1360)},
    "720": {"1:1": (960, 960), "4:3": (960, 704), "3:4": (704, 960), "16:9": (1280, 704), "9:16": (704, 1280)},
    "480": {"1:1": (480, 480), "4:3": (640, 480), "3:4": (480, 640), "16:9": (768, 432), "9:16": (432, 768)},
}


def test_every_released_model_has_a_card() -> None:
    assert set(CARDS) == {*FILMS, *PICTURES, *FIRST, "cosmos-predict2-0.6b-text2image-fast"}


@pytest.mark.parametrize(
    ("name", "width", "num_blocks", "num_heads", "ratios"),
    [
        ("cosmos-predict2-0.6b-text2image", 1280, 20, 20, (1.0, 4.0, 4.0)),
        ("cosmos-predict2-2b-text2image", 2048, 28, 16, (1.0, 4.0, 4.0)),
        ("cosmos-predict2-14b-text2image", 5120, 36, 40, (1.0, 4.0, 4.0)),
        *((name, 2048, 28, 16, (1.0, 3.0, 3.0)) for name in FILMS[:6]),
        *((name, 5120, 36, 40, (20 / 24, 2.0, 2.0)) for name in FILMS[6:]),
        *((name, 4096, 28, 32, (2.0, 1.0, 1.0)) for name in FIRST[:2]),
        *((name, 5120, 36, 40, (2.0, 2.0, 2.0)) for name in FIRST[2:]),
    ],
)
def test_sizes_and_ratios(name: str, width: int, num_blocks: int, num_heads: int, ratios: tuple) -> None:
    card = CARDS[name]
    assert card.cosmos is not None
    assert (card.network.width, card.network.num_blocks, card.network.num_heads) == (width, num_blocks, num_heads)
    given = card.cosmos.rope_ratio_t, card.cosmos.rope_ratio_h, card.cosmos.rope_ratio_w
    assert given == pytest.approx(ratios, abs=1e-15)


@pytest.mark.parametrize("name", CARDS)
def test_what_follows_from_the_name(name: str) -> None:
    card = CARDS[name]
    assert card.cosmos is not None and card.cosmos.generation == name.split("-")[1]
    expected: dict[str, Any] = {"predict1": (121, 24, "edm", 0.5, 0.5), "predict2": (1, 16, "rectified_flow", 1.0, 1.0)}
    frames, fps, parametrisation, sigma_data, scale = expected[card.cosmos.generation]
    if "video2world" in name and "predict2" in name:
        fps = 10 if "10fps" in name else 16
        frames = {16: 93, 10: 61}[fps]
    assert (card.chunk_num_frames, card.fps) == (frames, fps)
    assert (card.parametrisation, card.sigma_data, card.autoencoder.scale) == (parametrisation, sigma_data, scale)
    assert (card.num_steps, card.guidance_scale) == (35, 5.0 if "text2image" in name else 8.0)
    assert card.cosmos.neighborhood == (name.split("-")[2] if "natten" in name else "")
    assert expected_kind(card) == name.split("-")[3]


@pytest.mark.parametrize("name", CARDS)
def test_the_resolution_table(name: str) -> None:
    card = CARDS[name]
    table = WORLDS["1024" if "text2image" in name else "480" if "480p" in name else "720"]
    assert card.sizes_px == ({"16:9": table["16:9"]} if "natten" in name else table)
    assert all(side % card.grid_px == 0 for size in card.sizes_px.values() for side in size)


@pytest.mark.parametrize("name", CARDS)
def test_where_it_comes_from(name: str) -> None:
    """Which files, of which repository, under which terms; T5 without them is free."""
    parts = CARDS[name].parts
    for part in (parts.network, parts.autoencoder):
        assert part.repository == part.folder and part.repository.startswith("nvidia/Cosmos-")
        assert part.gated and part.licence == "NVIDIA Open Model License"
    assert parts.text_encoder.repository == "google-t5/t5-11b" and not parts.text_encoder.gated
    assert parts.network.num_bytes == pytest.approx(2 * CARDS[name].network.num_parameters, rel=0.01)
    if "predict2" in name:
        assert len(parts.network.revision) == 7 == len(parts.autoencoder.revision)
        assert parts.network.repository == parts.autoencoder.repository
    if "video2world-" in name:
        assert parts.network.paths[0] == f"model-{name.partition('video2world-')[2]}.pt"


@pytest.mark.parametrize("name", FILMS)
def test_the_first_frame_is_made_by_the_picture_model_of_its_size(name: str) -> None:
    picture = CARDS[CARDS[name].first_frame or ""]
    assert picture.makes == "picture" and picture.name == f"cosmos-predict2-{name.split('-')[2]}-text2image"
    assert set(CARDS[name].sizes_px) <= set(picture.sizes_px)
    assert picture.parts.text_encoder == CARDS[name].parts.text_encoder, "its embeddings are the same"


def test_published_figures() -> None:
    def seconds(card: ModelCard, device: str) -> float | None:
        return next(each.seconds for each in card.measured if each.device == device)

    assert seconds(CARDS["cosmos-predict2-2b-video2world-720p-16fps"], "H200 SXM") == 221.7
    assert seconds(CARDS["cosmos-predict2-14b-video2world-720p-10fps-natten"], "B200") == 136.5
    assert seconds(CARDS["cosmos-predict2-14b-video2world-480p-16fps"], "L40S") == 1036.24
    assert seconds(CARDS["cosmos-predict1-14b-video2world"], "H100") == 593
    assert not CARDS["cosmos-predict2-2b-video2world-480p-10fps"].measured, (
        "nothing was published, nothing is inherited"
    )
