"""LoRA files, as PEFT and diffusers write them: read, checked against a network, merged while it loads.

Comes in: a file or folder, a strength. Goes out: ``Lora``, and the change that adds it to the weights of a network.
Half a pair, a wrong shape, or a LoRA that fits nothing is an error: nothing is left out silently. Does not know which
network; names are translated by the caller's rule.

W' = W + strength * alpha / r * B A (Hu et al. 2021, arXiv 2106.09685, section 4.1). Letters: r rank.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.checkpoints.assign import Change, grouped
from engine.checkpoints.files import Weights, read_weights
from engine.contract.errors import Rejected

HALF = re.compile(r"^(?P<layer>.+)\.lora_(?P<half>A|B|down|up)(\.[^.]+)?\.weight$")
"""``net.blocks.0.mlp.layer1.lora_A.default.weight``, with or without the adapter's name."""
CONFIG_NAME = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Pair:
    """down: (r, in), up: (out, r). scale: alpha / r."""

    down: Tensor
    up: Tensor
    scale: float


@dataclass(frozen=True, slots=True)
class Lora:
    """Pairs by the name of their layer, as the file has it."""

    source: str
    strength: float
    pairs: dict[str, Pair]


def read_lora(path: Path, strength: float) -> Lora:
    """A file, or a folder as PEFT saves it. Raises Rejected("weights") for what is no LoRA, or half of one."""
    if not path.exists():
        raise Rejected("weights", f"{path}: no such LoRA. Restore it, or take it out of the model's card.")
    weights = read_weights(path)
    pairs = pairs_in(weights, _settings(path, weights))
    if not pairs:
        raise Rejected("weights", f"{path}: not a LoRA; none of its {len(weights)} tensors is named lora_A or lora_B.")
    others = [name for name in weights if not _beside(name)]
    if others and not any(".base_layer." in name for name in weights):
        raise Rejected("weights", f"{path}: more than a LoRA in it, which is not read: {'; '.join(grouped(others))}")
    return Lora(str(path), strength, pairs)


def _beside(name: str) -> bool:
    """Whether a name belongs in a LoRA file, or carries no weight."""
    return bool(HALF.match(name)) or name.endswith(("alpha", "_extra_state")) or "accum_" in name


def pairs_in(weights: Weights, settings: Mapping[str, Any] | None = None) -> dict[str, Pair]:
    """The pairs of a file, by layer; empty where there are none. Without an alpha, alpha is the rank."""
    settings = settings or {}
    halves: dict[str, dict[str, str]] = {}
    for name in weights:
        if match := HALF.match(name):
            half = "down" if match["half"] in ("A", "down") else "up"
            halves.setdefault(match["layer"], {})[half] = name
    unread = [name for name in weights if ("lora_" in name and not HALF.match(name)) or "lora_magnitude" in name]
    unpaired = [next(iter(names.values())) for names in halves.values() if len(names) == 1]
    if unread or unpaired:
        problem = (
            f"pairs without their other half: {'; '.join(grouped(unpaired))}" if unpaired else f"not read: {unread[0]}"
        )
        raise Rejected("weights", f"{weights.source}: a damaged LoRA, or of a kind that is not read; {problem}")
    return {layer: _pair(weights, layer, names, settings) for layer, names in halves.items()}


def _pair(weights: Weights, layer: str, names: Mapping[str, str], settings: Mapping[str, Any]) -> Pair:
    down, up = weights[names["down"]], weights[names["up"]]
    if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
        problem = f"{tuple(down.shape)} and {tuple(up.shape)} are not the halves of one LoRA layer"
        raise Rejected("weights", f"{weights.source}: {layer}: {problem}.")
    rank = down.shape[0]
    alpha_name = f"{layer}.alpha"
    try:
        alpha = float(weights[alpha_name]) if alpha_name in weights else _alpha(layer, settings, rank)
    except (ValueError, TypeError, AttributeError, RuntimeError, re.error) as error:
        raise Rejected("weights", f"{weights.source}: {layer}: the LoRA's alpha cannot be read ({error}).") from error
    return Pair(down, up, alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank))


def _alpha(layer: str, settings: Mapping[str, Any], rank: int) -> float:
    """PEFT's rule: of the first pattern that is the end of the layer's name, else the one for all layers."""
    patterns = settings.get("alpha_pattern") or {}
    matching = (alpha for pattern, alpha in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", layer))
    return float(next(matching, settings.get("lora_alpha", rank)))


def _settings(path: Path, weights: Weights) -> dict[str, Any]:
    """``lora_alpha``, ``alpha_pattern`` and the like: from PEFT's file beside the weights, or the weights' metadata."""
    beside = (path if path.is_dir() else path.parent) / CONFIG_NAME
    try:
        if beside.exists():
            return dict(json.loads(beside.read_text()))
        for key in ("lora_adapter_metadata", "adapter_config"):
            if key in weights.metadata:
                metadata = json.loads(weights.metadata[key])
                return {name.rpartition(".")[2]: value for name, value in metadata.items()}
        for key in ("lora_alpha", "alpha", "ss_network_alpha"):
            if key in weights.metadata:
                return {"lora_alpha": float(weights.metadata[key])}
    except (OSError, ValueError, AttributeError) as error:
        raise Rejected("weights", f"{path}: the LoRA's settings cannot be read ({error}).") from error
    return {}


def merging(loras: tuple[Lora, ...], weights: Weights, key_of: Callable[[str], str | None]) -> Change:
    """The change that adds every LoRA to the weights of its layers.

    weights: the network's, under its names, whose shapes the LoRAs must fit. key_of: a layer's weight, as a LoRA's
    file names it -> the network's name. Raises Rejected("weights") naming all that fits nothing.
    """
    by_key: dict[str, list[tuple[float, Pair]]] = {}
    for lora in loras:
        for key, pair in _placed(lora, weights, key_of).items():
            by_key.setdefault(key, []).append((lora.strength * pair.scale, pair))

    def change(name: str, tensor: Tensor) -> Tensor:
        for factor, pair in by_key.get(name, []):
            tensor = tensor.float() + factor * (pair.up.float() @ pair.down.float())
        return tensor

    return change


def _placed(lora: Lora, weights: Weights, key_of: Callable[[str], str | None]) -> dict[str, Pair]:
    keys = {layer: key_of(f"{layer}.weight") for layer in lora.pairs}
    unknown = [layer for layer, key in keys.items() if key is None or key not in weights.shapes]
    if unknown:
        problem = f"{len(unknown)} of its {len(keys)} layers are not of this network: {'; '.join(grouped(unknown))}"
        raise Rejected("weights", f"{lora.source}: a LoRA for another network; {problem}")
    placed = {str(key): lora.pairs[layer] for layer, key in keys.items()}
    for key, pair in placed.items():
        shape = (pair.up.shape[0], pair.down.shape[1])
        if shape != weights.shapes[key]:
            problem = f"it changes a weight of {shape}, the network's is {weights.shapes[key]}"
            raise Rejected("weights", f"{lora.source}: a LoRA for a network of another size; {key}: {problem}.")
    return placed
