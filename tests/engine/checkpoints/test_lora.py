"""LoRA: read in PEFT's and diffusers' spellings, merged by the formula, refused where it does not fit."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.files import Weights
from engine.checkpoints.lora import merging, read_lora
from engine.contract.errors import Rejected

RANK, INSIDE, OUTSIDE = 2, 3, 4
BASE = torch.arange(12.0).reshape(OUTSIDE, INSIDE)
DOWN, UP = torch.randn(RANK, INSIDE, generator=torch.Generator().manual_seed(1)), torch.ones(OUTSIDE, RANK) * 0.5


def key_of(name: str) -> str | None:
    return name.removeprefix("base_model.model.").removeprefix("net.").removeprefix("transformer.")


def base_weights() -> Weights:
    return Weights("base", lambda: {"layer.q.weight": BASE, "layer.out.weight": BASE})


def merged(path: Path, strength: float) -> Tensor:
    return merging((read_lora(path, strength),), base_weights(), key_of)("layer.q.weight", BASE)


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("net.layer.q.lora_A.weight", "net.layer.q.lora_B.weight"),
        ("net.layer.q.lora_A.default.weight", "net.layer.q.lora_B.default.weight"),
        ("layer.q.lora_A.weight", "layer.q.lora_B.weight"),
        ("base_model.model.net.layer.q.lora_A.weight", "base_model.model.net.layer.q.lora_B.weight"),
        ("transformer.layer.q.lora_A.weight", "transformer.layer.q.lora_B.weight"),
        ("layer.q.lora_down.weight", "layer.q.lora_up.weight"),
    ],
)
@pytest.mark.parametrize("strength", [1.0, 0.25, -1.0])
def test_merged_by_the_formula(down: str, up: str, strength: float, tmp_path: Path) -> None:
    path = tmp_path / "lora.pt"
    torch.save({down: DOWN, up: UP, "net.accum_iteration": torch.tensor(3)}, path)
    difference = (merged(path, strength) - (BASE + strength * UP @ DOWN)).abs().max()
    print(f"max {difference:.2e}")
    assert difference < 1e-6


def pair(**others: Tensor) -> dict[str, Tensor]:
    return {"layer.q.lora_A.weight": DOWN, "layer.q.lora_B.weight": UP, **others}


def alpha_beside(path: Path) -> Path:
    save_file(pair(), path / "adapter_model.safetensors")
    (path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "r": RANK}))
    return path


def alpha_inside(path: Path) -> Path:
    save_file(pair(), path / "x.safetensors", metadata={"lora_alpha": "8"})
    return path / "x.safetensors"


def alpha_as_diffusers(path: Path) -> Path:
    settings = json.dumps({"transformer.lora_alpha": 8, "transformer.r": RANK})
    save_file(pair(), path / "x.safetensors", metadata={"lora_adapter_metadata": settings})
    return path / "x.safetensors"


def alpha_by_layer(path: Path) -> Path:
    save_file(pair(**{"layer.q.alpha": torch.tensor(8.0)}), path / "x.safetensors")
    return path / "x.safetensors"


def alpha_by_pattern(path: Path) -> Path:
    """PEFT's: each a regular expression for the end of the names."""
    save_file(pair(), path / "adapter_model.safetensors")
    settings = {"lora_alpha": 3, "alpha_pattern": {"er.q": 5, r"layer\.[qk]": 8, "q": 9}}
    (path / "adapter_config.json").write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize("write", [alpha_beside, alpha_inside, alpha_as_diffusers, alpha_by_layer, alpha_by_pattern])
def test_alpha_is_read(write: Callable[[Path], Path], tmp_path: Path) -> None:
    assert torch.allclose(merged(write(tmp_path), 1.0), BASE + 8 / RANK * UP @ DOWN)


@pytest.mark.parametrize(
    "settings",
    [{"lora_alpha": None}, {"lora_alpha": "much"}, {"alpha_pattern": {"(": 2}}, {"alpha_pattern": [2]}],
    ids=str,
)
def test_an_alpha_that_is_none(settings: dict[str, object], tmp_path: Path) -> None:
    save_file(pair(), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(Rejected, match="layer.q: the LoRA's alpha cannot be read"):
        read_lora(tmp_path, 1.0)


def test_the_rank_stabilised_kind(tmp_path: Path) -> None:
    save_file(pair(), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "use_rslora": True}))
    assert torch.allclose(merged(tmp_path, 1.0), BASE + 8 / math.sqrt(RANK) * UP @ DOWN)


def test_two_are_added(tmp_path: Path) -> None:
    save_file(pair(), tmp_path / "x.safetensors")
    loras = read_lora(tmp_path / "x.safetensors", 1.0), read_lora(tmp_path / "x.safetensors", 0.5)
    change = merging(loras, base_weights(), key_of)
    assert torch.allclose(change("layer.q.weight", BASE), BASE + 1.5 * UP @ DOWN)
    assert change("layer.out.weight", BASE) is BASE, "what no LoRA is for stays as it is"


def test_merged_before_the_cast(tmp_path: Path) -> None:
    """In float32: the sum is rounded once."""
    save_file(pair(), tmp_path / "x.safetensors")
    network = nn.ModuleDict({"layer": nn.ModuleDict({"q": nn.Linear(INSIDE, OUTSIDE, bias=False)})})
    weights = Weights("base", lambda: {"layer.q.weight": BASE.bfloat16()})
    change = merging((read_lora(tmp_path / "x.safetensors", 1.0),), weights, key_of)
    assign_strictly(network, weights, "base", torch.bfloat16, change)
    assert torch.equal(network.state_dict()["layer.q.weight"], (BASE.bfloat16().float() + UP @ DOWN).bfloat16())


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"layer.q.lora_A.weight": DOWN}, "without their other half: layer.q.lora_A.weight"),
        ({"layer.q.lora_B.weight": UP}, "without their other half"),
        ({"some.weight": UP}, "not a LoRA; none of its 1 tensors"),
        (pair(**{"layer.q.weight": BASE}), "more than a LoRA"),
        (pair(**{"layer.q.lora_magnitude_vector": torch.ones(4)}), "of a kind that is not read"),
        ({"layer.q.lora_A.weight": DOWN, "layer.q.lora_B.weight": UP[:, :1]}, "not the halves of one LoRA"),
    ],
)
def test_no_whole_lora(tensors: dict[str, Tensor], words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(Rejected, match=words) as refused:
        read_lora(path, 1.0)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("layer", "up", "words"),
    [
        ("other.q", UP, "1 of its 1 layers are not of this network: other.q"),
        ("layer.q", torch.ones(9, RANK), r"another size; layer.q.weight: it changes a weight of \(9, 3\)"),
    ],
)
def test_a_lora_for_another_network(layer: str, up: Tensor, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({f"{layer}.lora_A.weight": DOWN, f"{layer}.lora_B.weight": up}, path)
    with pytest.raises(Rejected, match=words):
        merged(path, 1.0)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no such LoRA"):
        read_lora(tmp_path / "absent.safetensors", 1.0)
