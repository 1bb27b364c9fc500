"""Reading a network's weights, in every layout they are published in, into ``CosmosDiT``.

Comes in: a file or folder, and what only a card knows of the network (RoPE ratios, generation). Goes out: the network,
on the CPU, in evaluation mode, or an error that says what the file is and what was expected. Does not know devices,
downloads or what the network computes.
"""

from dataclasses import fields, replace
from pathlib import Path

import torch

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.files import Weights, read_json, read_weights
from engine.checkpoints.lora import Lora, merging, pairs_in
from engine.contract.card_values import NetworkSizes
from engine.contract.errors import Rejected
from engine.contract.families.cosmos import CosmosSettings
from engine.models.cosmos.keys import our_key
from engine.models.cosmos.network import CosmosConfig, CosmosDiT
from engine.models.cosmos.recognise import TITLES, Kind, Recognised, Shapes, recognise

PREDICT1_BASE_FPS = 24.0
"""Predict1's temporal positions are in frames of this rate, whatever the film's."""


def load_network(
    path: Path,
    dtype: torch.dtype,
    settings: CosmosSettings | None = None,
    sizes: NetworkSizes | None = None,
    kind: Kind | None = None,
    loras: tuple[Lora, ...] = (),
    ema: bool = False,
) -> CosmosDiT:
    """The network of a file (``.pt``, ``.safetensors``) or a folder (ours with ``config.json``, or diffusers').

    settings, sizes, kind: what the card says of it; a file of another generation, size or kind is refused by name.
    Without ``settings`` only our own folders can be read. Raises Rejected("weights").
    """
    weights = read_weights(path, ema)
    recognised = recognise(weights.shapes)
    check_expected(recognised, str(path), settings, sizes, kind)
    ours = weights.renamed(our_key)
    network = _build(_config(path, ours, recognised, settings), str(path))
    bundled = pairs_in(weights)
    change = merging((*loras, Lora(str(path), 1.0, bundled)), ours, our_key)
    weights.let_go()
    assign_strictly(network, ours, str(path), dtype, change)
    return network.eval().requires_grad_(False)


def _build(config: CosmosConfig, source: str) -> CosmosDiT:
    """Without memory for its weights. Raises Rejected("weights") for sizes that no network can have."""
    try:
        with torch.device("meta"):
            return CosmosDiT(config)
    except (TypeError, ValueError, KeyError, ArithmeticError, RuntimeError) as error:
        raise Rejected("weights", f"{source}: no network has such sizes ({error}). Restore its config.json.") from error


def check_expected(
    recognised: Recognised, source: str, settings: CosmosSettings | None, sizes: NetworkSizes | None, kind: Kind | None
) -> None:
    """Raises Rejected("weights") for a file that is not of the card's generation, size or kind."""
    if recognised.generation is None:
        expected = _expected(settings, sizes, kind)
        raise Rejected("weights", f"{source}: this is {recognised.what}. Expected: {expected}.")
    wrong = (
        (settings is not None and recognised.generation != settings.generation)
        or (kind is not None and recognised.kind != kind)
        or (sizes is not None and (recognised.width, recognised.num_blocks) != (sizes.width, sizes.num_blocks))
    )
    if wrong:
        actual = f"{recognised.what} (width {recognised.width}, {recognised.num_blocks} blocks)"
        raise Rejected("weights", f"{source}: this is {actual}. Expected: {_expected(settings, sizes, kind)}.")


def _expected(settings: CosmosSettings | None, sizes: NetworkSizes | None, kind: Kind | None) -> str:
    name = f"Cosmos-{settings.generation.title()}" if settings is not None else "a Cosmos network"
    parts = [name, TITLES[kind] if kind is not None else ""]
    parts += [f"of width {sizes.width} with {sizes.num_blocks} blocks" if sizes is not None else ""]
    return " ".join(part for part in parts if part)


def _config(path: Path, ours: Weights, recognised: Recognised, settings: CosmosSettings | None) -> CosmosConfig:
    config_file = path / "config.json"
    if recognised.form == "own" and config_file.exists():
        return _with_card(read_config(config_file), settings)
    if settings is None:
        problem = "its RoPE ratios are not known from its weights; the model's card needs a group `cosmos`"
        raise Rejected("weights", f"{path}: {problem}.")
    return _with_card(config_of(ours.shapes, str(path), recognised, settings), settings)


def config_of(shapes: Shapes, source: str, recognised: Recognised, settings: CosmosSettings) -> CosmosConfig:
    """Sizes from the shapes of the weights (under our names), the rest from the card."""
    try:
        return _config_of(shapes, recognised, settings)
    except KeyError as error:
        raise Rejected("weights", f"{source}: {recognised.what}, but {error.args[0]} is missing.") from error


def _config_of(shapes: Shapes, recognised: Recognised, settings: CosmosSettings) -> CosmosConfig:
    width, features = shapes["patch_embed.weight"]
    video = recognised.kind == "video2world"
    predict1 = settings.generation == "predict1"
    t, h, w = (shapes[f"extra_pos_embed.{axis}"][0] if predict1 else 0 for axis in "thw")
    return CosmosConfig(
        width=width,
        num_blocks=recognised.num_blocks,
        num_heads=width // shapes["blocks.0.self_attn.q_norm.weight"][0],
        in_channels=features // 4 - 1 - int(video),
        out_channels=shapes["final.linear.weight"][0] // 4,
        text_width=shapes["blocks.0.cross_attn.k.weight"][1],
        mlp_ratio=shapes["blocks.0.mlp.up.weight"][0] / width,
        adaln_lora_dim=shapes["final.modulation.down.weight"][0],
        condition_mask=video,
        rope_ratio_t=settings.rope_ratio_t,
        rope_ratio_h=settings.rope_ratio_h,
        rope_ratio_w=settings.rope_ratio_w,
        rope_base_fps=PREDICT1_BASE_FPS if predict1 else None,
        extra_pos_embed=(t, h, w) if predict1 else None,
    )


def _with_card(config: CosmosConfig, settings: CosmosSettings | None) -> CosmosConfig:
    """The same sizes with the card's choices: rounding of the RoPE angles, neighborhood pattern."""
    if settings is None:
        return config
    rounded = settings.rope_precision == "reference_bf16"
    return replace(config, rope_reference_bf16=rounded, neighborhood=settings.neighborhood)


def read_config(path: Path) -> CosmosConfig:
    """``config.json`` of a network folder of ours. An unknown or missing size is an error that names it."""
    data = read_json(path)
    known = {field.name for field in fields(CosmosConfig)}
    if unknown := sorted(set(data) - known):
        raise Rejected("weights", f"{path}: unknown keys {', '.join(unknown)}")
    if isinstance(data.get("extra_pos_embed"), list):
        data["extra_pos_embed"] = tuple(data["extra_pos_embed"])
    try:
        return CosmosConfig(**data)
    except TypeError as error:
        raise Rejected("weights", f"{path}: {error}") from error
