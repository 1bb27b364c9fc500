"""Our Cosmos networks with the weights and the configuration of a golden case.

Comes in: a case, whose configuration is in the original's words. Goes out: our network, read as an original checkpoint
is. Does not know what the case then compares.
"""

from typing import Any

import torch
from torch import Tensor

from engine.models.cosmos.checkpoint import assign_strictly, from_original
from engine.models.cosmos.network import CosmosConfig, CosmosDiT
from tests.goldens.runner import Case

BASE_FPS = 24.0


def is_predict1(original: dict[str, Any]) -> bool:
    return "block_config" in original


def network_of(case: Case, dtype: torch.dtype = torch.float32) -> CosmosDiT:
    state = from_original(case.weights())
    with torch.device("meta"):
        network = CosmosDiT(config_of(case.description["config"], state))
    assign_strictly(network, state, case.name, dtype)
    return network.eval().requires_grad_(False)


def config_of(original: dict[str, Any], state: dict[str, Tensor]) -> CosmosConfig:
    """The original's constructor arguments, and its weights' sizes, in our words."""
    predict1, latent_channels = is_predict1(original), original["out_channels"]
    tables = [state[f"extra_pos_embed.{axis}"].shape[0] for axis in "thw"] if predict1 else [0, 0, 0]
    patch_volume = original["patch_spatial"] ** 2 * original["patch_temporal"]
    mask_channels = state["patch_embed.weight"].shape[1] // patch_volume - latent_channels
    assert mask_channels in (1, 2), f"{mask_channels} mask channels: neither with nor without a condition mask"
    fps_modulation = predict1 or original.get("rope_enable_fps_modulation", False)
    return CosmosConfig(
        width=original["model_channels"],
        num_blocks=original["num_blocks"],
        num_heads=original["num_heads"],
        in_channels=latent_channels,
        out_channels=latent_channels,
        text_width=original["crossattn_emb_channels"],
        mlp_ratio=original["mlp_ratio"],
        adaln_lora_dim=original["adaln_lora_dim"],
        patch_spatial=original["patch_spatial"],
        patch_temporal=original["patch_temporal"],
        condition_mask=mask_channels == 2,
        rope_ratio_t=original["rope_t_extrapolation_ratio"],
        rope_ratio_h=original["rope_h_extrapolation_ratio"],
        rope_ratio_w=original["rope_w_extrapolation_ratio"],
        rope_base_fps=BASE_FPS if fps_modulation else None,
        extra_pos_embed=(tables[0], tables[1], tables[2]) if predict1 else None,
    )
