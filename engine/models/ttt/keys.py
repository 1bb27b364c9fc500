"""The names of the network's tensors: ours are those of the original checkpoints, without their prefix.

Comes in: a key of an original checkpoint, or of a diffusers CogVideoX transformer. Goes out: our key. Does not know
files, tensors or sizes.
"""

import re

PREFIXES = ("model.dit.", "dit.")
"""Training checkpoints write ``model.dit.*`` beside the optimizer; converted ones write ``dit.*``."""

WITHOUT_WEIGHTS = ("optimizer.", "lr_scheduler.", "data_module.", "metadata.")
"""What else a training checkpoint holds."""

DIFFUSERS: tuple[tuple[str, str], ...] = (
    (r"^patch_embed\.proj\.", "patch_embedding.vid_proj."),
    (r"^patch_embed\.text_proj\.", "patch_embedding.text_proj."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^norm_final\.", "transformer_norm."),
    (r"^norm_out\.linear\.", "final_layer.adaLN_modulation.1."),
    (r"^norm_out\.norm\.", "final_layer.norm."),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^transformer_blocks\.", "layers."),
    (r"\.norm1\.linear\.", ".pre_seq_adaLN_modulation.1."),
    (r"\.norm1\.norm\.", ".pre_seq_layernorm."),
    (r"\.norm2\.linear\.", ".pre_mlp_adaLN_modulation.1."),
    (r"\.norm2\.norm\.", ".pre_mlp_layernorm."),
    (r"\.attn1\.to_([qkv])\.", r".seq_modeling_block.\1."),
    (r"\.attn1\.to_out\.0\.", ".seq_modeling_block.o."),
    (r"\.attn1\.norm_([qk])\.", r".seq_modeling_block.\1_norm."),
    (r"\.ff\.net\.0\.proj\.", ".mlp.layer1."),
    (r"\.ff\.net\.2\.", ".mlp.layer2."),
)
"""diffusers ``CogVideoXTransformer3DModel`` key -> our key, in order. Tensors are never transposed or split."""


def our_key(original: str) -> str | None:
    """The name in our network of an original key, in either form; None if it carries no weight. Others stay as they
    are, so that a strict reader names them."""
    if original.startswith(WITHOUT_WEIGHTS):
        return None
    for prefix in PREFIXES:
        if original.startswith(prefix):
            return original.removeprefix(prefix)
    return original


def our_key_of_diffusers(theirs: str) -> str:
    """The name in our network of a key of diffusers' CogVideoX transformer."""
    for pattern, replacement in DIFFUSERS:
        theirs = re.sub(pattern, replacement, theirs)
    return theirs
