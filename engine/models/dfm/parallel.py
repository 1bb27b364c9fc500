"""Parts of a DFM DiT, one per Megatron rank, and how they become one state dict.

Comes in: named parts with the rank each one is. Goes out: one state dict under the original's keys, or an error that
names the part which is missing, double or different. Does not know files.

What a part is: Megatron's ``mp_rank_TT`` or ``mp_rank_TT_PPP``. Tensor-parallel rank TT holds a slice of every large
projection (rows of the column-parallel ones, columns of the row-parallel ones) and a copy of all else. Pipeline rank
PPP holds its own layers, numbered from 0 (or through all stages), and the embeddings as its stage needs them. A part
without a rank holds whole tensors that no other part has; so do parts with a rank where no large projection is in two
of them (shards whose union is the network, as NeMo DFM's guide joins ``model_rank_0.pt`` ...).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.contract.errors import Rejected

SPLIT_ROWS = re.compile(r"\.(linear_qkv|linear_q|linear_kv|linear_fc1)\.weight$")
SPLIT_COLUMNS = re.compile(r"\.(linear_proj|linear_fc2)\.weight$")
LAYER = re.compile(r"^decoder\.layers\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Part:
    """``state``: under the original's keys without prefix, layers unstacked. ``tensor_rank`` None: no rank is known."""

    name: str
    state: Mapping[str, Tensor]
    tensor_rank: int | None = None
    pipeline_rank: int = 0


def join(parts: list[Part]) -> dict[str, Tensor]:
    """Raises Rejected("weights") naming missing, overlapping or differing parts."""
    ranked = [part for part in parts if part.tensor_rank is not None]
    if ranked and len(ranked) != len(parts):
        others = ", ".join(part.name for part in parts if part.tensor_rank is None)
        raise Rejected("weights", f"{others}: without a rank in the name, beside parts that have one. Join them apart.")
    if not ranked:
        return _disjoint(parts)
    stages = _by_stage(ranked)
    joined = [Part(_names(stage), _join_slices(stage)) for stage in stages]
    return _join_stages(joined)


def _names(parts: list[Part]) -> str:
    return ", ".join(part.name for part in parts)


def _disjoint(parts: list[Part]) -> dict[str, Tensor]:
    joined: dict[str, Tensor] = {}
    owner: dict[str, str] = {}
    for part in parts:
        for key, tensor in part.state.items():
            if key in joined:
                raise Rejected("weights", f"Overlapping parts: {key} is in {owner[key]} and in {part.name}.")
            joined[key], owner[key] = tensor, part.name
    return joined


def _by_stage(parts: list[Part]) -> list[list[Part]]:
    """Parts by pipeline rank, each in the order of the tensor ranks, all of them there exactly once."""
    places: dict[tuple[int, int], Part] = {}
    for part in parts:
        place = (part.pipeline_rank, part.tensor_rank or 0)
        if place in places:
            raise Rejected("weights", f"Overlapping parts: {places[place].name} and {part.name} are the same rank.")
        places[place] = part
    num_stages, num_slices = (1 + max(place[axis] for place in places) for axis in (0, 1))
    expected = [(stage, piece) for stage in range(num_stages) for piece in range(num_slices)]
    if missing := [_rank_name(place, num_stages) for place in expected if place not in places]:
        raise Rejected("weights", f"Missing parts: {', '.join(missing)} (there are {_names(parts)}).")
    return [[places[stage, piece] for piece in range(num_slices)] for stage in range(num_stages)]


def _rank_name(place: tuple[int, int], num_stages: int) -> str:
    return f"mp_rank_{place[1]:02d}" + (f"_{place[0]:03d}" if num_stages > 1 else "")


def _join_slices(parts: list[Part]) -> dict[str, Tensor]:
    """The tensor-parallel ranks of one stage."""
    joined: dict[str, Tensor] = {}
    holders = Counter(key for part in parts for key in part.state)
    if all(count == 1 for key, count in holders.items() if SPLIT_ROWS.search(key) or SPLIT_COLUMNS.search(key)):
        return _union(parts)
    for key in holders:
        if lacking := [part.name for part in parts if key not in part.state]:
            raise Rejected("weights", f"Missing in {', '.join(lacking)}: {key}, which the other parts hold.")
        pieces = [part.state[key] for part in parts]
        axis = 0 if SPLIT_ROWS.search(key) else 1 if SPLIT_COLUMNS.search(key) else None
        if axis is None:
            joined[key] = _same(key, parts, pieces)
        elif len({(piece.shape, piece.dtype) for piece in pieces}) > 1:
            shapes = ", ".join(
                f"{tuple(piece.shape)} in {part.name}" for part, piece in zip(parts, pieces, strict=True)
            )
            raise Rejected("weights", f"{key}: the parts' slices differ in size: {shapes}.")
        else:
            joined[key] = torch.cat(pieces, dim=axis) if len(pieces) > 1 else pieces[0]
    return joined


def _union(parts: list[Part]) -> dict[str, Tensor]:
    """Of parts that hold whole tensors; what is in several is the same in each."""
    joined: dict[str, Tensor] = {}
    for key in dict.fromkeys(key for part in parts for key in part.state):
        holders = [part for part in parts if key in part.state]
        joined[key] = _same(key, holders, [part.state[key] for part in holders])
    return joined


def _same(key: str, parts: list[Part], pieces: list[Tensor]) -> Tensor:
    """What every rank holds a copy of."""
    for part, piece in zip(parts[1:], pieces[1:], strict=True):
        if piece.shape != pieces[0].shape or not torch.equal(piece, pieces[0]):
            raise Rejected(
                "weights", f"{key}: {part.name} differs from {parts[0].name}, though every rank has the same. "
                "Are they parts of one checkpoint?",
            )  # fmt: skip
    return pieces[0]


def _join_stages(stages: list[Part]) -> dict[str, Tensor]:
    """The pipeline's stages: layers one after another, anything else the same wherever it is."""
    joined: dict[str, Tensor] = {}
    owner: dict[str, Part] = {}
    num_before = 0
    for stage in stages:
        layers = {int(match[1]) for key in stage.state if (match := LAYER.match(key))}
        local = bool(layers) and min(layers) == 0
        for key, tensor in stage.state.items():
            name = _moved(key, num_before) if local else key
            if name in joined and LAYER.match(name):
                raise Rejected("weights", f"Overlapping parts: {name} is in {owner[name].name} and in {stage.name}.")
            joined[name] = _same(name, [owner[name], stage], [joined[name], tensor]) if name in joined else tensor
            owner.setdefault(name, stage)
        num_before += len(layers)
    return joined


def _moved(key: str, num_before: int) -> str:
    """The key with its layer's index counted through all stages."""
    return LAYER.sub(lambda match: f"decoder.layers.{int(match[1]) + num_before}.", key)
