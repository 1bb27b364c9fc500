"""The bundled model's files: they load the way the engine loads them, agree in their sizes and stay small.

In: `assets/diorama`. Out: assertions. Does not know: how well the model draws (`python -m tools.diorama measure`).
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tools.diorama import world
from tools.diorama.evaluate import Bundled, Settings

ASSETS = Path(__file__).resolve().parents[3] / "assets" / "diorama"


@pytest.fixture(scope="module")
def bundled() -> Bundled:
    return Bundled(ASSETS)


def test_weights_are_half_precision_safetensors() -> None:
    for path in ASSETS.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert {file.get_tensor(k).dtype for k in file.keys()} == {torch.float16}
    assert not [p for p in ASSETS.rglob("*") if p.suffix in {".bin", ".pt", ".ckpt"}]


def test_everything_together_is_under_24_megabytes() -> None:
    assert sum(p.stat().st_size for p in ASSETS.rglob("*") if p.is_file()) < 24e6


def test_preview_map_fits_the_latents(bundled: Bundled) -> None:
    preview = json.loads((ASSETS / "preview.json").read_text())
    assert np.array(preview["weight"]).shape == (3, bundled.shape[0]) and len(preview["bias"]) == 3


def test_empty_text_is_one_token_and_padding_is_zero(bundled: Bundled) -> None:
    embedded = bundled.embed([""])
    assert embedded.shape == (1, 32, 128) and embedded[:, 1:].abs().max() == 0 and embedded[:, 0].abs().max() > 0


def test_a_reconstruction_is_close(bundled: Bundled) -> None:
    frames = world.render(world.held_out_combinations()[7], 1).frames
    output = bundled.decode(bundled.encode(frames[None]))[0]
    assert np.abs(output.astype(float) - frames).mean() < 8


def test_two_steps_give_a_clip(bundled: Bundled) -> None:
    made = bundled.generate(["a red ball rolls right in the snow"], Settings(num_steps=2), seed=1)
    assert made.shape == (1, 17, 64, 96, 3) and made.dtype == np.uint8
