"""A DFM DiT from its files: its sizes from weights and ``run_config.yaml``, its weights assigned strictly.

Comes in: a Megatron folder (``iter_*`` or its parent), a consolidated ``model.pth``, or our safetensors. Goes out: the
network on the CPU. Does not know devices, text or autoencoders.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.dcp import is_dcp, read_dcp
from engine.checkpoints.files import TENSOR_SUFFIXES, read_weights
from engine.contract.errors import Rejected
from engine.models.dfm.keys import bare_key, from_megatron
from engine.models.dfm.network import DfmConfig, DfmDiT
from engine.models.dfm.positions import sincos_table
from engine.models.dfm.run_config import NAME, RunConfig, read_run_config

TABLE = "positions.table"
RANK_FOLDER = re.compile(r"^mp_rank_\d+")
RANK_FILE = re.compile(r"(?:^|[_.=-])rank[_=-]?(\d+)(?:_(\d+))?(?=$|[_.-])")
"""In the name of a file, or of a folder that holds one: tensor-parallel and pipeline-parallel rank."""


def load_network(path: Path, dtype: torch.dtype, card: RunConfig) -> DfmDiT:
    """``card``: what the model's card says; the checkpoint's own ``run_config.yaml`` wins.

    Raises Rejected("weights") for what is missing, damaged, foreign, or still in one piece per rank.
    """
    checkpoint = newest(path)
    config_file = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / NAME
    run_config = read_run_config(config_file, card) if config_file.exists() else card
    _check_card(card, run_config, config_file)
    return network_of(from_megatron(read_state(checkpoint), str(checkpoint)), run_config, str(checkpoint), dtype)


def newest(path: Path) -> Path:
    """The numerically largest ``iter_*`` folder below; the path itself where there is none."""
    iterations = {
        int(match[1]): child for child in _children(path) if (match := re.fullmatch(r"iter_(\d+)", child.name))
    }
    return iterations[max(iterations)] if iterations else path


def _children(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def read_state(path: Path) -> Mapping[str, Tensor]:
    """The tensors of one checkpoint under its own names. Raises Rejected("weights")."""
    if parts := rank_parts(path):
        raise Rejected(
            "weights",
            f"{path}: holds one part per rank ({parts[0].name} ...). Join them first: "
            f"storyboard models consolidate {path} --out FILE.safetensors",
        )
    return read_dcp(path, lambda key: key if bare_key(key) else None) if is_dcp(path) else read_weights(path)


def rank_parts(path: Path) -> list[Path]:
    """What one folder holds for each Megatron rank: ``mp_rank_*`` folders, or files such as ``model_rank_0.pt``."""
    folders = [child for child in _children(path) if RANK_FOLDER.match(child.name)]
    files = [child for child in _children(path) if child.suffix in TENSOR_SUFFIXES and RANK_FILE.search(child.stem)]
    return folders or (files if len(files) > 1 else [])


def network_of(state: Mapping[str, Tensor], run_config: RunConfig, source: str, dtype: torch.dtype) -> DfmDiT:
    """The network of a state dict under our names. The position table is computed where there is none."""
    config = config_of(state, run_config, source)
    if TABLE not in state:
        state = {**state, TABLE: sincos_table(config.largest, config.width, dtype)}
    with torch.device("meta"):
        network = DfmDiT(config)
    assign_strictly(network, state, source, dtype)
    return network.eval().requires_grad_(False)


def config_of(state: Mapping[str, Tensor], run_config: RunConfig, source: str) -> DfmConfig:
    """Sizes from the weights, the rest from ``run_config``. Raises Rejected("weights") where the two disagree."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    width, features = _shape(shapes, "patch_embed.weight", source)
    [head_dim] = _shape(shapes, "blocks.0.self_attn.q_norm.weight", source)
    if width % head_dim or (TABLE not in state and width % 16):
        raise Rejected("weights", f"{source}: width {width} and heads of {head_dim} are of no DFM DiT.")
    volume = run_config.patch_spatial**2 * run_config.patch_temporal
    config = DfmConfig(
        width=width,
        num_blocks=1 + max(int(match[1]) for name in shapes if (match := re.match(r"blocks\.(\d+)\.", name))),
        num_heads=width // head_dim,
        mlp_width=_shape(shapes, "blocks.0.mlp.up.weight", source)[0],
        in_channels=features // volume,
        out_channels=_shape(shapes, "final.weight", source)[0] // volume,
        text_width=_shape(shapes, "blocks.0.cross_attn.kv.weight", source)[1],
        adaln_lora_dim=_shape(shapes, "blocks.0.modulation.down.weight", source)[0],
        fps_width=_shape(shapes, "fps_embed.linear_1.weight", source)[0],
        patch_spatial=run_config.patch_spatial,
        patch_temporal=run_config.patch_temporal,
        largest=run_config.largest,
        norm_eps=run_config.norm_eps,
    )
    _check(config, run_config, source)
    return config


def _check_card(card: RunConfig, run_config: RunConfig, config_file: Path) -> None:
    """The card decides what is planned and how noise is scaled: it may not promise more than the weights hold."""
    wrong = [f"sigma_data is {run_config.sigma_data:g} and {card.sigma_data:g} on the card"] * (
        run_config.sigma_data != card.sigma_data
    )
    for name, has, promised in zip(("frames", "height", "width"), run_config.largest, card.largest, strict=True):
        if promised > has:
            wrong.append(f"the position table has {has} patches of {name}, and {promised} on the card")
    if wrong:
        raise Rejected("weights", f"{config_file}: {'; '.join(wrong)}. Correct the model's card.")


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, source: str) -> tuple[int, ...]:
    if name not in shapes:
        raise Rejected("weights", f"{source}: missing {name}, without which the model's sizes are unknown.")
    expected = 1 if name.endswith("norm.weight") else 2
    if len(shapes[name]) != expected or not all(shapes[name]):
        raise Rejected("weights", f"{source}: {name} is {shapes[name]}, expected {expected} sizes.")
    return shapes[name]


def _check(config: DfmConfig, run_config: RunConfig, source: str) -> None:
    names = ("num_blocks", "width", "num_heads", "mlp_width", "text_width", "in_channels")
    pairs = [(name, getattr(run_config, name), getattr(config, name)) for name in names]
    pairs.append(("num_query_groups", run_config.num_query_groups, config.num_heads))
    wrong = [
        f"{name} is {expected} there and {actual} here"
        for name, expected, actual in pairs
        if expected not in (None, actual)
    ]
    if wrong:
        raise Rejected("weights", f"{source}: not the model that {NAME} describes: {'; '.join(wrong)}.")
