"""The names of a Cosmos network's tensors: those of the published layouts, and ours.

Comes in: a key of an original Predict1 or Predict2 checkpoint, of diffusers' layout, or our own. Goes out: our key.
Does not know shapes or files. Tensors are the same in every layout: never transposed, split or joined.

Sources: the released checkpoints' key lists; diffusers' ``convert_cosmos_to_diffusers`` (its names).
"""

import re

PREFIX = re.compile(r"^(base_model\.|module\.|model\.|_orig_mod\.|diffusion_model\.)*(net\.|net_ema\.|transformer\.)?")
"""Prefixes that training, PEFT, diffusers and others add to a name."""

NO_WEIGHT = re.compile(r"^(pos_embedder\.|accum_|logvar\.|conditioner\.)|_extra_state$|\.lora_\w+(\.|$)")
"""Keys of a checkpoint that are not the network's: buffers, counters, heads of training; and LoRA beside it."""

PREDICT2: tuple[tuple[str, str], ...] = (
    (r"^x_embedder\.proj\.1\.", "patch_embed."),
    (r"^t_embedder\.1\.", "time_embed."),
    (r"^t_embedding_norm\.", "time_embed.norm."),
    (r"^final_layer\.linear\.", "final.linear."),
    (r"^final_layer\.adaln_modulation\.", "final.modulation."),
    (r"_attn\.([qkv])_proj\.", r"_attn.\1."),
    (r"_attn\.output_proj\.", "_attn.out."),
    (r"\.adaln_modulation_(self_attn|cross_attn|mlp)\.", r".modulation_\1."),
)

PREDICT1: tuple[tuple[str, str], ...] = (
    (r"^affline_norm\.", "time_embed.norm."),
    (r"^extra_pos_embedder\.pos_emb_", "extra_pos_embed."),
    (r"^final_layer\.adaLN_modulation\.", "final.modulation."),
    (r"^blocks\.block(\d+)\.blocks\.0\.adaLN_modulation\.", r"blocks.\1.modulation_self_attn."),
    (r"^blocks\.block(\d+)\.blocks\.1\.adaLN_modulation\.", r"blocks.\1.modulation_cross_attn."),
    (r"^blocks\.block(\d+)\.blocks\.2\.adaLN_modulation\.", r"blocks.\1.modulation_mlp."),
    (r"^blocks\.block(\d+)\.blocks\.0\.block\.attn\.", r"blocks.\1.self_attn."),
    (r"^blocks\.block(\d+)\.blocks\.1\.block\.attn\.", r"blocks.\1.cross_attn."),
    (r"^blocks\.block(\d+)\.blocks\.2\.block\.", r"blocks.\1.mlp."),
    (r"_attn\.to_([qk])\.1\.", r"_attn.\1_norm."),
)

DIFFUSERS: tuple[tuple[str, str], ...] = (
    (r"^patch_embed\.proj\.", "patch_embed."),
    (r"^time_embed\.t_embedder\.", "time_embed."),
    (r"^learnable_pos_embed\.pos_emb_", "extra_pos_embed."),
    (r"^proj_out\.", "final.linear."),
    (r"^norm_out\.linear_", "final.modulation."),
    (r"^transformer_blocks\.", "blocks."),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"_attn\.norm_([qk])\.", r"_attn.\1_norm."),
    (r"\.norm1\.linear_", ".modulation_self_attn."),
    (r"\.norm2\.linear_", ".modulation_cross_attn."),
    (r"\.norm3\.linear_", ".modulation_mlp."),
    (r"\.ff\.net\.0\.proj\.", ".mlp.up."),
    (r"\.ff\.net\.2\.", ".mlp.down."),
)

SHARED: tuple[tuple[str, str], ...] = (
    (r"_attn\.to_([qkv])\.(0\.)?", r"_attn.\1."),
    (r"_attn\.to_out\.0\.", "_attn.out."),
    (r"(modulation\w*)\.1\.", r"\1.down."),
    (r"(modulation\w*)\.2\.", r"\1.up."),
    (r"\.mlp\.layer1\.", ".mlp.up."),
    (r"\.mlp\.layer2\.", ".mlp.down."),
)

RULES = tuple((re.compile(pattern), ours) for pattern, ours in (*PREDICT2, *PREDICT1, *DIFFUSERS, *SHARED))
"""Original key -> our key, applied in order. Our own keys pass them unchanged."""


def bare(key: str) -> str:
    """Without the prefixes and infixes that trainers add."""
    return PREFIX.sub("", key).replace(".base_layer.", ".")


def our_key(original: str) -> str | None:
    """The name in our network of a key of any layout; None if it carries no weight of the network."""
    key = bare(original)
    if NO_WEIGHT.search(key):
        return None
    for pattern, replacement in RULES:
        key = pattern.sub(replacement, key)
    return key
