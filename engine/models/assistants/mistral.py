"""NVIDIA's 12B caption upsampler: a Mistral-NeMo network in a ``model.pt`` with Mistral's own names.

Comes in: a folder with ``model.pt``, perhaps ``config.json``. Goes out: transformers' Mistral, the same numbers. Its
rotary positions turn neighbouring channels, transformers' the two halves of a head: the rows of query and key are put
in that order. Does not know what it is asked.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM
from transformers.models.mistral.modeling_mistral import MistralRotaryEmbedding

from engine.checkpoints.assign import check_keys
from engine.checkpoints.files import read_json, read_weights
from engine.contract.errors import Rejected

HEAD_WIDTH, ROPE_THETA, NORM_EPS = 128, 1e6, 1e-5
"""Of Mistral-NeMo 12B."""
NAMES = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
LAYER = re.compile(r"^layers\.(?P<number>\d+)\.(?P<name>.+)\.weight$")


def load_captioner(folder: Path, dtype: torch.dtype) -> MistralForCausalLM:
    """Raises Rejected("weights")."""
    weights = read_weights(folder / "model.pt").renamed(_name)
    settings = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    try:
        config = config_of(weights, settings)
    except (KeyError, ValueError) as error:
        raise Rejected("weights", f"{weights.source}: no caption upsampler of the Mistral kind ({error}).") from error
    with torch.device("meta"):
        model = MistralForCausalLM(config)
    state = {name: _ordered(name, weights[name], config).to(dtype) for name in weights}
    check_keys(model, state, weights.source)
    model.load_state_dict(state, assign=True)
    model.model.rotary_emb = MistralRotaryEmbedding(config)  # it has no weights, and is still without numbers
    return model.eval()


def config_of(weights: Mapping[str, Tensor], settings: Mapping[str, Any]) -> MistralConfig:
    """By the shapes of the weights; of ``settings`` the width of a head, which no shape says."""
    vocabulary, width = weights["model.embed_tokens.weight"].shape
    head = int(settings.get("head_dim") or HEAD_WIDTH)
    layer = "model.layers.0"
    return MistralConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=weights[f"{layer}.mlp.gate_proj.weight"].shape[0],
        num_hidden_layers=len({name.split(".")[2] for name in weights if name.startswith("model.layers.")}),
        num_attention_heads=weights[f"{layer}.self_attn.q_proj.weight"].shape[0] // head,
        num_key_value_heads=weights[f"{layer}.self_attn.k_proj.weight"].shape[0] // head,
        head_dim=head,
        rms_norm_eps=NORM_EPS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        sliding_window=None,
        tie_word_embeddings=False,
    )


def _name(name: str) -> str | None:
    """As transformers has it; None: no weight."""
    name = name.removeprefix("model.")
    if "_extra_state" in name or name.startswith("rope"):
        return None
    match = LAYER.match(name)
    if match is None:
        return NAMES.get(name, name)
    return f"model.layers.{match['number']}.{LAYER_NAMES.get(match['name'], match['name'])}.weight"


def _ordered(name: str, tensor: Tensor, config: MistralConfig) -> Tensor:
    if not re.search(r"self_attn\.[qk]_proj", name):
        return tensor
    pairs = tensor.reshape(-1, (config.head_dim or HEAD_WIDTH) // 2, 2, tensor.shape[1])
    return pairs.transpose(1, 2).reshape(tensor.shape)
