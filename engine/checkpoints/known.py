"""What a file of weights looks like, as text for errors: by the names of its tensors alone.

Comes in: names with shapes. Goes out: a phrase such as "a T5 text encoder". Knows models and programs by name, both
supported ones and others, for these phrases only; no other module of this folder does. Does not decide what is read:
each model family does that for its files.
"""

import re
from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

KNOWN: tuple[tuple[str, str], ...] = (
    (r"(^|\.)lora_(A|B|down|up)\b|\.lora_magnitude_vector", "a LoRA, which is laid over a network, not read as one"),
    (r"\.ssm\.ttt\.", "a TTT-Video network"),
    (r"^(\d+\.)?(module\.)*decoder\.layers\.(\d+\.)?full_self_attention\.", "a DFM (Megatron) video network"),
    (r"(^|\.)decoder\.layers\.(\d+\.)?self_attention\.linear_qkv|(^|\.)language_model\.", "a Megatron language model"),
    (r"(^|\.)decoder\.block\.\d+\.layer\.\d+\.(EncDec|Self)Attention\.", "a whole T5 (encoder and decoder)"),
    (r"(^|\.)encoder\.block\.\d+\.layer\.0\.SelfAttention\.", "a T5 text encoder"),
    (r"^crossattn_proj\.|\.crossattn_proj\.", "a Cosmos-Predict2.5 network, which reads another text encoder"),
    (r"action_embedder", "an action-conditioned Cosmos network"),
    (r"blocks\.block\d+\.blocks\.\d+\.", "a Cosmos-Predict1 network"),
    (r"x_embedder\.proj\.1\.", "a Cosmos network"),
    (r"(^|\.)encoder\.downsamples\.\d+\.", "the Wan 2.1 autoencoder in its original layout"),
    (r"(^|\.)encoder\.(down_blocks|mid_block)\..*norm\d\.gamma", "the Wan 2.1 autoencoder in diffusers' layout"),
    (r"patch_embedding\.text_proj|^transformer\.(transformer\.)?layers\.", "a CogVideoX network"),
    (r"norm1\.linear\..*|^transformer_blocks\.\d+\.norm2\.linear", "a CogVideoX network in diffusers' layout"),
    (r"^encoder\.down\.\d+\.block\.\d+\.conv1\.conv\.", "the CogVideoX autoencoder"),
    (r"^(first_stage_model|conditioner\.embedders|model\.diffusion_model\.(input|output)_blocks)", "Stable Diffusion"),
    (r"^(down_blocks|mid_block|up_blocks)\.", "a Stable Diffusion U-Net in diffusers' layout"),
    (r"(^|\.)joint_blocks\.", "a Stable Diffusion 3 network"),
    (r"(^|\.)(double_blocks|single_transformer_blocks)\.", "a FLUX network"),
    (r"^(text_model|transformer\.text_model)\.|^visual\.|resblocks\.", "a CLIP encoder"),
    (r"^(encoder|decoder)\.(conv_in|conv_out|mid_block|down\.|up\.)", "an image or video autoencoder"),
    (r"^blocks\.\d+\.self_attn\.q\.", "a Wan video network"),
    (r"(^|\.)model\.layers\.\d+\.(self_attn|mlp)\.", "a language model"),
)
"""A pattern of a tensor's name -> what a file with such a tensor is. The first match counts."""


def describe_weights(shapes: Shapes) -> str:
    """A phrase for what the names look like."""
    for pattern, description in KNOWN:
        if any(re.search(pattern, name) for name in shapes):
            return description
    if not shapes:
        return "a file without tensors"
    examples = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:3])
    return f"something unknown ({len(shapes)} tensors: {examples} ...)"
