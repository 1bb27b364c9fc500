"""Text for the Cosmos family: a T5 encoder and its tokenizer.

Comes in: prompts. Goes out: embeddings with padded positions zero, as the network was trained on. Does not know
guidance.

Letters: B batch, L text length, D width.
"""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, T5EncoderModel
from transformers.utils import logging

from engine.checkpoints.assign import grouped
from engine.contract.errors import Rejected

TOKENIZER_NAMES = ("tokenizer.json", "spiece.model")


class TextEncoder(nn.Module):
    """Longer prompts than ``max_tokens`` are cut (the plan notes it); shorter ones are padded with zero vectors."""

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
        return hidden * mask[..., None].to(hidden.dtype)


def load_text_encoder(folder: Path, tokenizer_folder: Path, dtype: torch.dtype) -> TextEncoder:
    """From folders in transformers' layout (they may be one, as the hub's t5-11b), on the CPU.

    Safetensors before ``pytorch_model.bin``, which is read as weights alone too. Nothing is looked up elsewhere.
    Raises Rejected("weights").
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what does not fit is told below, as an error
    tokenizer, encoder = load_tokenizer(tokenizer_folder), load_encoder(folder, dtype)
    return TextEncoder(tokenizer, encoder).eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> Any:
    if not any((folder / name).exists() for name in TOKENIZER_NAMES):
        told = f"no tokenizer here; expected {' or '.join(TOKENIZER_NAMES)}"
        raise Rejected("weights", f"{folder}: {told}. Restore it or choose another model.")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the tokenizer cannot be read ({error}). Restore it.") from error


def load_encoder(folder: Path, dtype: torch.dtype) -> T5EncoderModel:
    """A whole T5 is read too: its decoder is left in the file."""
    options = {"weights_only": True, "local_files_only": True, "output_loading_info": True}
    safe, loader = any(folder.glob("*.safetensors")), cast(Any, T5EncoderModel)  # the pair is not in its annotations
    try:
        model, told = loader.from_pretrained(folder, dtype=dtype, use_safetensors=safe, **options)
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the text encoder cannot be read ({error}). Restore it.") from error
    if told["missing_keys"] or told["mismatched_keys"]:
        absent = "; ".join(grouped([*told["missing_keys"], *(str(key[0]) for key in told["mismatched_keys"])]))
        raise Rejected("weights", f"{folder}: not the weights of this T5 encoder; missing or misshapen: {absent}")
    return model
