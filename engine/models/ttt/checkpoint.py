"""Reading a TTT-Video network's weights, in every form they are kept in, and CogVideoX-5B's as its base.

Comes in: a path: a torch distributed-checkpoint folder in either key form (or the parent of its ``step-N``), a single
safetensors or .pt file, or CogVideoX-5B's ``transformer`` folder in diffusers' layout. Goes out: the network on the
CPU, or an error that says what the file is or lists every key that does not fit. Does not know devices, downloads or
what the network computes.

A CogVideoX network has no TTT layers. With gates of zero they would add exactly nothing, so they are left out: its
films are those of local attention alone.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch

from engine.checkpoints.assign import assign_strictly, unchanged
from engine.checkpoints.dcp import is_dcp, read_dcp
from engine.checkpoints.files import Weights, read_weights
from engine.checkpoints.known import describe_weights
from engine.checkpoints.lora import Lora, merging
from engine.contract.errors import Rejected
from engine.contract.families.ttt import TttSettings
from engine.models.ttt.config import TttConfig, config_from
from engine.models.ttt.keys import our_key, our_key_of_diffusers
from engine.models.ttt.network import TttVideo

STEP = re.compile(r"step-(\d+)")


def load_network(path: Path, settings: TttSettings, dtype: torch.dtype, loras: tuple[Lora, ...] = ()) -> TttVideo:
    """On the CPU, in evaluation mode. Raises Rejected("weights")."""
    weights, is_base = read_ttt(path)
    config = _config_of(weights, settings, is_base)
    if is_base:
        notice = "a CogVideoX network without TTT layers: its segments share the frames at their borders, nothing else"
        print(f"{path}: {notice}", file=sys.stderr)
    with torch.device("meta"):
        network = TttVideo(config)
    change = merging(loras, weights, lora_key) if loras else unchanged
    assign_strictly(network, weights, str(path), dtype, change)
    return network.eval().requires_grad_(False)


def read_ttt(path: Path) -> tuple[Weights, bool]:
    """-> weights under our names; whether they are a CogVideoX network's, without TTT layers."""
    path = newest_step(path)
    if is_dcp(path):
        return read_dcp(path, our_key), False
    weights = read_weights(path)
    if not any(name.startswith("transformer_blocks.") for name in weights):
        return weights.renamed(our_key), False
    _check_rotary(path)
    return weights.renamed(our_key_of_diffusers), True


def newest_step(path: Path) -> Path:
    """The folder of the most steps, where ``path`` holds a training's ``step-N`` folders; else ``path`` itself."""
    if not path.is_dir() or is_dcp(path):
        return path
    steps = [(int(match[1]), each) for each in path.iterdir() if (match := STEP.fullmatch(each.name)) and is_dcp(each)]
    return max(steps)[1] if steps else path


def lora_key(key: str) -> str | None:
    """A weight as a LoRA's file names it, in diffusers' names or the network's own, under our name."""
    return our_key(our_key_of_diffusers(key.removeprefix("transformer.")))


def _config_of(weights: Weights, settings: TttSettings, is_base: bool) -> TttConfig:
    try:
        config = config_from(weights.shapes, settings, is_base)
    except Rejected as error:
        raise Rejected(
            error.code, f"{weights.source}: {error}. The file is {describe_weights(weights.shapes)}."
        ) from error
    if config.in_channels != config.out_channels:
        problem = f"takes {config.in_channels} channels and gives {config.out_channels}: one for conditioning pictures"
        raise Rejected("weights", f"{weights.source}: this network {problem}, which is not supported.")
    return config


def _check_rotary(folder: Path) -> None:
    """CogVideoX-2B has the same names, and sums positions in instead of rotating queries and keys."""
    try:
        config: Any = json.loads((folder / "config.json").read_text()) if folder.is_dir() else {}
    except (OSError, ValueError) as error:
        raise Rejected("weights", f"{folder}: its config.json cannot be read ({error}). Restore it.") from error
    if not config.get("use_rotary_positional_embeddings", True):
        raise Rejected("weights", f"{folder}: a CogVideoX-2B network; the base of TTT-Video is CogVideoX-5B.")
