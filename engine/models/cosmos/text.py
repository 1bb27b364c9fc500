"""Text for the Cosmos family: T5-11B, or a smaller T5.

Comes in: prompts. Goes out: embeddings with padded positions zero, as the network was trained on. Does not know
guidance.

Letters: B batch, L text length, D width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import T5EncoderModel

from engine.layers.t5 import load_encoder, load_tokenizer, padded
from engine.models.model import TextEncoder


class T5TextEncoder(TextEncoder):
    """Longer prompts than ``max_tokens`` are cut (the plan notes it); shorter ones are padded with zero vectors."""

    def __init__(self, tokenizer: Any, encoder: T5EncoderModel) -> None:
        super().__init__()
        self.tokenizer, self.encoder = tokenizer, encoder

    @torch.inference_mode()
    def forward(self, prompts: list[str], max_tokens: int) -> Tensor:
        """-> (B, max_tokens, D)."""
        hidden, mask = padded(self.tokenizer, self.encoder, prompts, max_tokens)
        return hidden * mask[..., None].to(hidden.dtype)


def load_text_encoder(folder: Path, tokenizer_folder: Path, dtype: torch.dtype) -> T5TextEncoder:
    """From folders in transformers' layout (they may be one), on the CPU. Raises Rejected("weights")."""
    tokenizer, encoder = load_tokenizer(tokenizer_folder), load_encoder(folder, dtype)
    return T5TextEncoder(tokenizer, encoder).eval().requires_grad_(False)
