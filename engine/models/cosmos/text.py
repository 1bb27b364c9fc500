"""Text for the Cosmos family: a T5 encoder and its tokenizer.

Comes in: prompts. Goes out: embeddings with padded positions zero, as the network was trained on. Does not know
guidance.

Letters: B batch, L text length, D width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, T5EncoderModel
from transformers.utils import logging

from engine.contract.errors import Rejected


class TextEncoder(nn.Module):
    """Longer prompts than ``max_tokens`` are cut (the plan notes it); shorter ones are padded with zero vectors."""

    def __init__(self, tokenizer: Any, encoder: T5EncoderModel, max_tokens: int) -> None:
        super().__init__()
        self.tokenizer, self.encoder, self.max_tokens = tokenizer, encoder, max_tokens

    @torch.inference_mode()
    def forward(self, prompts: list[str]) -> Tensor:
        """-> (B, max_tokens, D)."""
        batch = self.tokenizer(
            prompts, padding="max_length", truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        mask = batch["attention_mask"].to(self.encoder.device)
        hidden = self.encoder(batch["input_ids"].to(self.encoder.device), attention_mask=mask).last_hidden_state
        return hidden * mask[..., None].to(hidden.dtype)


def load_text_encoder(folder: Path, tokenizer_folder: Path, max_tokens: int, dtype: torch.dtype) -> TextEncoder:
    """From folders in transformers' layout (they may be one), on the CPU. Nothing is looked up elsewhere."""
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
        encoder = T5EncoderModel.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True)
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the text encoder cannot be read ({error}). Restore it.") from error
    return TextEncoder(tokenizer, encoder, max_tokens).eval().requires_grad_(False)
