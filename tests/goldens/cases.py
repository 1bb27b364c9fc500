"""Reads the golden cases of ``tests/goldens/cosmos`` and compares with them.

Comes in: a case's name. Goes out: its description, its tensors, a network with its weights. Does not know the engine's
samplers or pipelines.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.models.cosmos.checkpoint import assign_strictly, from_original
from engine.models.cosmos.network import CosmosConfig, CosmosDiT

FOLDER = Path(__file__).parent / "cosmos"


def description(case: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{case}.json").read_text())


def tensors(case: str) -> dict[str, Tensor]:
    return load_file(FOLDER / f"{case}.safetensors")


def network_of(case: str) -> CosmosDiT:
    """Our network with the case's configuration and weights, read as an original checkpoint is."""
    state = from_original({key: value for key, value in tensors(case).items() if key.startswith("net.")})
    with torch.device("meta"):
        network = CosmosDiT(config_of(description(case)["config"], state))
    assign_strictly(network, state, case, torch.float32)
    return network.eval().requires_grad_(False)


def config_of(original: dict[str, Any], state: dict[str, Tensor]) -> CosmosConfig:
    """The original's constructor arguments, and its weights' sizes, in our words."""
    predict1 = "block_config" in original
    tables = [state[f"extra_pos_embed.{axis}"].shape[0] for axis in "thw"] if predict1 else [0, 0, 0]
    patch_channels = state["patch_embed.weight"].shape[1] // original["patch_spatial"] ** 2
    return CosmosConfig(
        width=original["model_channels"],
        num_blocks=original["num_blocks"],
        num_heads=original["num_heads"],
        in_channels=16,
        text_width=original["crossattn_emb_channels"],
        adaln_lora_dim=original["adaln_lora_dim"],
        patch_spatial=original["patch_spatial"],
        condition_mask=patch_channels == 18,
        rope_ratio_t=original["rope_t_extrapolation_ratio"],
        rope_ratio_h=original["rope_h_extrapolation_ratio"],
        rope_ratio_w=original["rope_w_extrapolation_ratio"],
        rope_base_fps=24 if predict1 else None,
        extra_pos_embed=(tables[0], tables[1], tables[2]) if predict1 else None,
    )


def assert_close(ours: Tensor, golden: Tensor, atol: float, rtol: float = 0.0, what: str = "") -> None:
    """Prints the maximum and mean difference, then holds it to ``atol + rtol * |golden|``."""
    assert ours.shape == golden.shape, f"{what}: {tuple(ours.shape)} is not {tuple(golden.shape)}"
    difference = (ours.double() - golden.double()).abs()
    print(f"{what}: max {difference.max():.2e}, mean {difference.mean():.2e}")
    assert bool((difference <= atol + rtol * golden.double().abs()).all()), f"{what}: max {difference.max():.2e}"
