"""Text for the DFM DiT: T5-11B, rows past the prompt's end zero, and no text at all as zero rows alone.

Comes in: prompts. Goes out: embeddings as the network met them in training. Does not know guidance.

In training a fifth of the texts was dropped by multiplying the whole embedding by 0, and the reference's sampler makes
its unconditional branch the same way. So the embedding of an empty prompt is zero, not T5's answer to an empty string;
a negative prompt that says something is encoded like any other.

Letters: B batch, L text length, D text width.
"""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, T5EncoderModel
from transformers.utils import logging

from engine.checkpoints.assign import grouped
from engine.contract.errors import Rejected


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
    """From a T5 in transformers' layout (the hub's t5-11b: encoder and decoder in one file), on the CPU.

    Safetensors before ``pytorch_model.bin``, of which the weights alone are read. Nothing is looked up elsewhere.
    Raises Rejected("weights") for what is missing, damaged or no T5 encoder.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what does not fit is told below, as an error
    options = {"weights_only": True, "local_files_only": True, "output_loading_info": True}
    safe, loader = any(folder.glob("*.safetensors")), cast(Any, T5EncoderModel)  # the pair is not in its annotations
    try:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
        encoder, told = loader.from_pretrained(folder, dtype=dtype, use_safetensors=safe, **options)
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the text encoder cannot be read ({error}). Restore it.") from error
    if absent := [*told["missing_keys"], *(str(key[0]) for key in told["mismatched_keys"])]:
        listed = "; ".join(grouped(absent))
        raise Rejected("weights", f"{folder}: not the weights of this T5 encoder; missing or misshapen: {listed}")
    return TextEncoder(tokenizer, encoder).eval().requires_grad_(False)
