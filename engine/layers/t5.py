"""A T5 encoder and its tokenizer, from folders in transformers' layout: what all families read their prompts with.

Comes in: folders, prompts. Goes out: the two of them on the CPU, or Rejected("weights"); embeddings with their mask.
Nothing is looked up elsewhere. Does not know which padding or which words a family was trained with.

Letters: B batch, L text length, D width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, T5EncoderModel, T5Tokenizer
from transformers.utils import logging

from engine.checkpoints.assign import grouped
from engine.contract.errors import Rejected
from engine.layers.spiece import read_spiece

NUM_SENTINELS = 100
"""``<extra_id_N>`` of T5's own training, after all pieces, the highest first."""


def padded(tokenizer: Any, encoder: T5EncoderModel, prompts: list[str], max_tokens: int) -> tuple[Tensor, Tensor]:
    """-> embeddings (B, L, D), mask (B, L) with 1 where a prompt is; L = ``max_tokens``, what is more is cut."""
    batch = tokenizer(prompts, padding="max_length", truncation=True, max_length=max_tokens, return_tensors="pt")
    mask = batch["attention_mask"].to(encoder.device)
    return encoder(batch["input_ids"].to(encoder.device), attention_mask=mask).last_hidden_state, mask


def load_tokenizer(folder: Path) -> Any:
    """From ``tokenizer.json``, or from ``spiece.model`` alone, as some released folders have it."""
    try:
        if (folder / "tokenizer.json").exists():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if (folder / "spiece.model").exists():
            spiece = read_spiece(folder / "spiece.model")
            sentinels = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(NUM_SENTINELS))]
            return T5Tokenizer([*spiece.pieces, *sentinels], _spm_precompiled_charsmap=spiece.character_table or None)
    except Rejected:
        raise
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the tokenizer cannot be read ({error}). Restore it.") from error
    problem = "no tokenizer here; expected tokenizer.json or spiece.model"
    raise Rejected("weights", f"{folder}: {problem}. Restore it or choose another model.")


def load_encoder(folder: Path, dtype: torch.dtype) -> T5EncoderModel:
    """A whole T5 is read too: its decoder is left in the file. Safetensors come before ``pytorch_model.bin``, of which
    the weights alone are read."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what does not fit is reported below, as an error
    load: Any = T5EncoderModel.from_pretrained  # its annotation leaves out what output_loading_info adds
    options = {"weights_only": True, "local_files_only": True, "output_loading_info": True}
    try:
        model, report = load(folder, dtype=dtype, use_safetensors=any(folder.glob("*.safetensors")), **options)
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the text encoder cannot be read ({error}). Restore it.") from error
    if absent := [*report["missing_keys"], *(str(key[0]) for key in report["mismatched_keys"])]:
        listed = "; ".join(grouped(absent))
        raise Rejected("weights", f"{folder}: not the weights of this T5 encoder; missing or misshapen: {listed}")
    return model
