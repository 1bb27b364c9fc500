"""The key names of Megatron checkpoints of the DFM DiT, and ours.

Comes in: a state dict under the original's keys, with any of the prefixes that such files carry. Goes out: the same
tensors under our names, layer by layer, or an error that says which key does not fit. Does not know files, sizes or
what the network computes.

Source: ``DiTCrossAttentionModel.sharded_state_dict`` (default prefix ``module.``); Megatron Core stores homogeneous
layers stacked on a new axis 0, without the layer's index.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from engine.checkpoints.assign import grouped
from engine.contract.errors import Rejected

PREFIX = re.compile(r"^(model\.(?=\d+\.|module\.))?(\d+\.)?(module\.)*")
"""None, ``module.``, ``module.module.``, ``0.module.``, and these under ``model.``."""

NO_WEIGHT = re.compile(
    r"^(chained_\d+\.)?(optimizer|opt_param_scheduler|lr_scheduler|rng_state|rerun_state_machine\w*|train_state"
    r"|loss_scaler|args|iteration|checkpoint_version|num_floating_point_operations_so_far|content_metadata)\b"
    r"|(\.|^)_extra_state(/|$)"
)
"""Entries of a training checkpoint that are no weight of the network."""

UNUSED = re.compile(r"^affline_norm\.")
"""Weights that the reference holds and never applies."""

RULES: tuple[tuple[str, str], ...] = (
    (r"^x_embedder\.", "patch_embed."),
    (r"^t_embedder\.1\.", "time_embed."),
    (r"^fps_embedder\.1\.", "fps_embed."),
    (r"^pos_embedder\.pos_embedding\.weight$", "positions.table"),
    (r"^final_layer_linear\.", "final."),
    (r"^decoder\.layers\.", "blocks."),
    (r"\.full_self_attention\.linear_qkv\.", ".self_attn.qkv."),
    (r"\.full_self_attention\.", ".self_attn."),
    (r"\.cross_attention\.linear_(q|kv)\.", r".cross_attn.\1."),
    (r"\.cross_attention\.", ".cross_attn."),
    (r"_attn\.linear_proj\.", "_attn.out."),
    (r"_attn\.([qk])_layernorm\.", r"_attn.\1_norm."),
    (r"\.mlp\.linear_fc1\.", ".mlp.up."),
    (r"\.mlp\.linear_fc2\.", ".mlp.down."),
    (r"\.adaLN\.adaLN_modulation\.1\.", ".modulation.down."),
    (r"\.adaLN\.adaLN_modulation\.2\.", ".modulation.up."),
)
"""Original key without prefix -> our key, applied in order. Tensors are never transposed or split: the rows of fused
projections stay interleaved per head, and the network takes them apart."""

ROOTS = ("patch_embed.", "time_embed.", "fps_embed.", "positions.table", "final.", "blocks.")

STACKED = re.compile(r"^decoder\.layers\.(?=[A-Za-z])")


def bare_key(key: str) -> str | None:
    """The original's key without prefix; None for what is no weight of the network."""
    bare = PREFIX.sub("", key)
    return None if NO_WEIGHT.search(key) or NO_WEIGHT.search(bare) or UNUSED.search(bare) else bare


def our_key(bare: str) -> str:
    for pattern, replacement in RULES:
        bare = re.sub(pattern, replacement, bare)
    return bare


def bare_keys(keys: Iterable[str], source: str) -> dict[str, str]:
    """Key -> key without prefix, of all that are weights. Raises Rejected("weights") where two become one."""
    bare_by_key: dict[str, str] = {}
    for key in keys:
        bare = bare_key(key)
        if bare is None:
            continue
        if bare in bare_by_key.values():
            twin = next(other for other, name in bare_by_key.items() if name == bare)
            raise Rejected("weights", f"{source}: {twin} and {key} are the same weight twice. Keep one of them.")
        bare_by_key[key] = bare
    return bare_by_key


def from_megatron(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """A state dict under our names, stacked layers taken apart (views, no copies).

    Raises Rejected("weights") naming keys that no DFM DiT has, for example for an unknown prefix.
    """
    named: dict[str, Tensor] = {}
    for key, bare in bare_keys(state, source).items():
        for name, tensor in unstacked(bare, state[key], source):
            if name in named:
                raise Rejected("weights", f"{source}: {name} is there stacked and by its layer's index. Keep one.")
            named[name] = tensor
    renamed = {our_key(name): tensor for name, tensor in named.items()}
    foreign = [name for name in named if not our_key(name).startswith(ROOTS)]
    if foreign or not renamed:
        what = f"keys of another network: {listed(foreign)}" if foreign else "no weights in it"
        known = "known prefixes: none, `module.` (any number), `0.module.`, `model.module.`"
        raise Rejected("weights", f"{source}: not a DFM DiT: {what} ({known}).")
    return renamed


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names that differ in a number as one, the first few of them."""
    groups = grouped(names)
    rest = len(groups) - most
    return ", ".join(groups[:most]) + (f" and {rest} more" if rest > 0 else "")


def unstacked(bare: str, tensor: Tensor, source: str) -> list[tuple[str, Tensor]]:
    """The layers of a stacked tensor under their indices; anything else as it is."""
    if not STACKED.search(bare):
        return [(bare, tensor)]
    if tensor.dim() == 0:
        raise Rejected("weights", f"{source}: {bare} is a single number, expected one layer after another.")
    rest = STACKED.sub("", bare)
    return [(f"decoder.layers.{index}.{rest}", layer) for index, layer in enumerate(tensor.unbind(0))]
