"""Reading a network's weights: our own safetensors, and the key names of the original Cosmos checkpoints.

Comes in: a safetensors file or a state dict with the original's keys. Goes out: tensors under our names, or an error
that lists every key that does not fit. Does not know devices, downloads or what the network computes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.contract.errors import Rejected
from engine.models.cosmos.network import CosmosConfig, CosmosDiT

RULES: tuple[tuple[str, str], ...] = (
    (r"^x_embedder\.proj\.1\.", "patch_embed."),
    (r"^t_embedder\.1\.", "time_embed."),
    (r"^(t_embedding_norm|affline_norm)\.", "time_embed.norm."),
    (r"^extra_pos_embedder\.pos_emb_", "extra_pos_embed."),
    (r"^final_layer\.linear\.", "final.linear."),
    (r"^final_layer\.adaln_modulation\.", "final.modulation."),
    (r"^final_layer\.adaLN_modulation\.", "final.modulation."),
    (r"^blocks\.block(\d+)\.blocks\.0\.adaLN_modulation\.", r"blocks.\1.modulation_self_attn."),
    (r"^blocks\.block(\d+)\.blocks\.1\.adaLN_modulation\.", r"blocks.\1.modulation_cross_attn."),
    (r"^blocks\.block(\d+)\.blocks\.2\.adaLN_modulation\.", r"blocks.\1.modulation_mlp."),
    (r"^blocks\.block(\d+)\.blocks\.0\.block\.attn\.", r"blocks.\1.self_attn."),
    (r"^blocks\.block(\d+)\.blocks\.1\.block\.attn\.", r"blocks.\1.cross_attn."),
    (r"^blocks\.block(\d+)\.blocks\.2\.block\.", r"blocks.\1.mlp."),
    (r"_attn\.to_([qkv])\.0\.", r"_attn.\1."),
    (r"_attn\.to_([qk])\.1\.", r"_attn.\1_norm."),
    (r"_attn\.to_out\.0\.", "_attn.out."),
    (r"_attn\.([qkv])_proj\.", r"_attn.\1."),
    (r"_attn\.output_proj\.", "_attn.out."),
    (r"\.adaln_modulation_(self_attn|cross_attn|mlp)\.", r".modulation_\1."),
    (r"(modulation\w*)\.1\.", r"\1.down."),
    (r"(modulation\w*)\.2\.", r"\1.up."),
    (r"\.mlp\.layer1\.", ".mlp.up."),
    (r"\.mlp\.layer2\.", ".mlp.down."),
)
"""Original key (prefix ``net.`` stripped) -> our key, applied in order. Tensors are never transposed or split."""

RECOMPUTED = re.compile(r"^(pos_embedder\.|accum_|logvar\.)|_extra_state$")
"""Keys of an original checkpoint that carry no weight: buffers, counters, training-only heads."""


def our_key(original: str) -> str | None:
    """The name in our network of an original key (with or without ``net.``); None if it carries no weight."""
    key = original.removeprefix("net.")
    if RECOMPUTED.search(key):
        return None
    for pattern, replacement in RULES:
        key = re.sub(pattern, replacement, key)
    return key


def from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An original Predict1 or Predict2 state dict under our names."""
    renamed = {our_key(key): tensor for key, tensor in state.items()}
    return {key: tensor for key, tensor in renamed.items() if key is not None}


def read_config(path: Path) -> CosmosConfig:
    """``config.json`` of a network folder. An unknown or missing size is an error that names it."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Rejected("weights", f"{path}: cannot read the network's configuration: {error}") from error
    known = {field.name for field in fields(CosmosConfig)}
    if unknown := sorted(set(data) - known):
        raise Rejected("weights", f"{path}: unknown keys {', '.join(unknown)}")
    if isinstance(data.get("extra_pos_embed"), list):
        data["extra_pos_embed"] = tuple(data["extra_pos_embed"])
    try:
        return CosmosConfig(**data)
    except TypeError as error:
        raise Rejected("weights", f"{path}: {error}") from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of one safetensors file, memory-mapped. Damaged or foreign files are refused with the reason."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise Rejected(
            "weights", f"{path}: no such file. Restore the model's folder or choose another model."
        ) from error
    except (SafetensorError, OSError) as error:
        raise Rejected("weights", f"{path}: not a readable safetensors file ({error}). Restore it.") from error


def assign_strictly(network: nn.Module, state: Mapping[str, Tensor], source: str, dtype: torch.dtype) -> None:
    """Gives a meta-device network its weights; every missing, unexpected or misshapen key is listed in the error."""
    expected = network.state_dict()
    missing = [f"missing {key}" for key in expected if key not in state]
    unexpected = [f"unexpected {key}" for key in state if key not in expected]
    misshapen = [
        f"{key} is {tuple(tensor.shape)}, expected {tuple(expected[key].shape)}"
        for key, tensor in state.items()
        if key in expected and tensor.shape != expected[key].shape
    ]
    if faults := missing + unexpected + misshapen:
        raise Rejected("weights", f"{source}: not weights of this network: {'; '.join(faults)}")
    network.load_state_dict({key: tensor.to(dtype) for key, tensor in state.items()}, assign=True)


def load_network(folder: Path, dtype: torch.dtype) -> CosmosDiT:
    """The network of a folder with ``config.json`` and ``model.safetensors``, on the CPU, in evaluation mode."""
    config = read_config(folder / "config.json")
    with torch.device("meta"):
        network = CosmosDiT(config)
    weights = folder / "model.safetensors"
    assign_strictly(network, read_safetensors(weights), str(weights), dtype)
    return network.eval().requires_grad_(False)
