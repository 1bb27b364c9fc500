"""Text for the DFM DiT: T5-11B, rows past the prompt's end zero, and no text at all as zero rows alone.

Comes in: prompts. Goes out: embeddings as the network met them in training. Does not know guidance.

In training a fifth of the texts was dropped by multiplying the whole embedding by 0, and the reference's sampler makes
its unconditional branch the same way. So the embedding of an empty prompt is zero, not T5's answer to an empty string;
a negative prompt that says something is encoded like any other.

Letters: B batch, L text length, D text width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import T5EncoderModel

from engine.layers.t5 import load_encoder, load_tokenizer, padded
from engine.models.model import TextEncoder


class T5TextEncoder(TextEncoder):
    """Longer prompts than ``max_tokens`` are cut (the plan notes it); shorter ones are padded with zero rows."""

    def __init__(self, tokenizer: Any, encoder: T5EncoderModel) -> None:
        super().__init__()
        self.tokenizer, self.encoder = tokenizer, encoder

    @torch.inference_mode()
    def forward(self, prompts: list[str], max_tokens: int) -> Tensor:
        """-> (B, max_tokens, D)."""
        hidden, mask = padded(self.tokenizer, self.encoder, prompts, max_tokens)
        has_text = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=mask.device)
        return hidden * (mask * has_text[:, None])[..., None].to(hidden.dtype)


def load_text_encoder(folder: Path, tokenizer_folder: Path, dtype: torch.dtype) -> T5TextEncoder:
    """From folders in transformers' layout (they may be one), on the CPU. Raises Rejected("weights")."""
    tokenizer, encoder = load_tokenizer(tokenizer_folder), load_encoder(folder, dtype)
    return T5TextEncoder(tokenizer, encoder).eval().requires_grad_(False)
