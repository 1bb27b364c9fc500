"""Text for the DFM DiT: T5-11B, rows past the prompt's end zero, and no text at all as zero rows alone.

Comes in: prompts. Goes out: embeddings as the network met them in training. Does not know guidance.

In training a fifth of the texts was dropped by multiplying the whole embedding by 0, and the reference's sampler makes
its unconditional branch the same way. So the embedding of an empty prompt is zero, not T5's answer to an empty string;
a negative prompt that says something is encoded like any other.

Letters: B batch, L text length, D text width.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, T5Config, T5EncoderModel

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.files import read_weights
from engine.contract.errors import Rejected

SHARED, EMBEDDING = "shared.weight", "encoder.embed_tokens.weight"
"""One tensor under two names: files hold either or both."""


class TextEncoder(nn.Module):
    """Longer prompts than ``max_tokens`` are cut (the plan notes it); shorter ones are padded with zero rows."""

    def __init__(self, tokenizer: Any, encoder: T5EncoderModel) -> None:
        super().__init__()
        self.tokenizer, self.encoder = tokenizer, encoder

    @torch.inference_mode()
    def forward(self, prompts: list[str], max_tokens: int) -> Tensor:
        """-> (B, max_tokens, D)."""
        batch = self.tokenizer(
            prompts, padding="max_length", truncation=True, max_length=max_tokens, return_tensors="pt"
        )
        mask = batch["attention_mask"].to(self.encoder.device)
        hidden = self.encoder(batch["input_ids"].to(self.encoder.device), attention_mask=mask).last_hidden_state
        said = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=mask.device)
        return hidden * (mask * said[:, None])[..., None].to(hidden.dtype)


def load_text_encoder(folder: Path, tokenizer_folder: Path, dtype: torch.dtype) -> TextEncoder:
    """From a T5 in transformers' layout (``config.json``, weights as safetensors or ``.bin``), on the CPU.

    Raises Rejected("weights") for what is missing, damaged or no T5 encoder. Nothing is looked up elsewhere.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
        config = T5Config.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            encoder = T5EncoderModel(config)
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the text encoder cannot be read ({error}). Restore it.") from error
    assign_strictly(encoder, encoder_state(read_weights(folder)), str(folder), dtype)
    encoder.encoder.embed_tokens.weight = encoder.shared.weight
    return TextEncoder(tokenizer, encoder.eval()).requires_grad_(False)


def encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors of a whole T5; the token embedding under both of its names."""
    kept = {name: state[name] for name in state if name == SHARED or name.startswith("encoder.")}
    if found := [kept[name] for name in (SHARED, EMBEDDING) if name in kept]:
        kept |= {SHARED: found[0], EMBEDDING: found[0]}
    return kept
