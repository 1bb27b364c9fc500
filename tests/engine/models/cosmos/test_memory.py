"""Host memory that loading a network takes: at most 1.15 times its file, whatever its form and precision."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.card_values import LoraUse
from engine.contract.cards import ModelCard
from engine.storage.card_files import find_part
from tests.engine.forked import value_of
from tests.engine.models.cosmos import measure_loading
from tests.engine.models.cosmos.factories import (
    config,
    make_predict1,
    make_predict2,
    random_state,
    write_predict1,
    write_predict2,
)
from tests.engine.models.cosmos.test_networks import lora_file

WIDTH, NUM_BLOCKS = 640, 12
"""275 MB in float32."""
LARGEST_SHARE = 1.15


def enlarged(card: ModelCard, root: Path, form: Any) -> ModelCard:
    """The card's network written again, large enough to be measured."""
    assert card.cosmos is not None
    sizes = replace(config(card.cosmos.generation, "video2world"), width=WIDTH, num_blocks=NUM_BLOCKS)
    write: Any = write_predict1 if card.cosmos.generation == "predict1" else write_predict2
    write(root / card.name, random_state(sizes), form, sizes)
    return card.model_copy(
        update={"network": card.network.model_copy(update={"width": WIDTH, "num_blocks": NUM_BLOCKS})}
    )


def predict2(root: Path) -> ModelCard:
    return enlarged(make_predict2(root), root, "pt")


def predict2_in_shards(root: Path) -> ModelCard:
    card = make_predict2(root, name="first")
    network = card.parts.network.model_copy(update={"paths": ("transformer",)})
    return enlarged(
        card.model_copy(update={"parts": card.parts.model_copy(update={"network": network})}), root, "diffusers"
    )


def predict2_with_a_lora(root: Path) -> ModelCard:
    layers = tuple(f"net.blocks.{index}.self_attn.q_proj" for index in range(NUM_BLOCKS))
    lora_file(root, layers, WIDTH)
    return predict2(root).model_copy(update={"loras": (LoraUse(path="lora.safetensors"),)})


def predict1(root: Path) -> ModelCard:
    return enlarged(make_predict1(root, "model"), root, "model")


@pytest.mark.parametrize(
    ("make", "precision"),
    [
        (predict2, "bfloat16"),
        (predict2_in_shards, "float32"),
        (predict2_with_a_lora, "float32"),
        (predict2_with_a_lora, "bfloat16"),
        (predict1, "bfloat16"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_peak_of_loading(make: Any, precision: str, tmp_path: Path) -> None:
    card = make(tmp_path)
    place = find_part(card.parts.network, tmp_path)
    size = sum(path.stat().st_size for path in ([place] if place.is_file() else place.rglob("*.safetensors")))
    share = value_of(measure_loading.main, tmp_path, card, precision) / size
    print(f"{make.__name__} as {precision}: peak {share:.3f} of {size / 1e6:.0f} MB")
    assert share <= LARGEST_SHARE
