"""Our Cosmos networks with the weights of a golden case, read from a file as an original checkpoint is.

Comes in: a case, whose configuration is in the original's words. Goes out: our network. Does not know what the case
then compares.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from engine.contract.families.cosmos import CosmosSettings
from engine.models.cosmos.checkpoint import load_network
from engine.models.cosmos.network import CosmosDiT
from tests.goldens.runner import Case

SAME = {
    "model_channels": "width",
    "num_blocks": "num_blocks",
    "num_heads": "num_heads",
    "out_channels": "out_channels",
    "patch_spatial": "patch_spatial",
    "patch_temporal": "patch_temporal",
    "crossattn_emb_channels": "text_width",
    "mlp_ratio": "mlp_ratio",
    "adaln_lora_dim": "adaln_lora_dim",
}
"""The original's constructor argument -> ours, where the values must be the same."""


def settings_of(case: Case) -> CosmosSettings:
    """What the weights do not say."""
    original = case.description["config"]
    return CosmosSettings(
        generation="predict1" if "block_config" in original else "predict2",
        rope_ratio_t=original["rope_t_extrapolation_ratio"],
        rope_ratio_h=original["rope_h_extrapolation_ratio"],
        rope_ratio_w=original["rope_w_extrapolation_ratio"],
    )


def network_of(case: Case, dtype: torch.dtype = torch.float32) -> CosmosDiT:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(case.weights(), path)
        network = load_network(path, dtype, settings_of(case))
    for theirs, ours in SAME.items():
        expected, found = case.description["config"][theirs], getattr(network.config, ours)
        assert expected == found, f"{case.name}: {theirs} is {expected}, read from the weights as {found}"
    return network
