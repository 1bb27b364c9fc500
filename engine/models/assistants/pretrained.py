"""Models and tokenizers from folders in transformers' layout, as published; nothing is looked up elsewhere.

Comes in: a folder, a class. Goes out: the model on the CPU, its tokenizer with a chat template, or Rejected("weights").
Does not know what they are asked.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging

from engine.checkpoints.assign import grouped
from engine.contract.errors import Rejected

TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")


def load_model(form: Any, folder: Path, dtype: torch.dtype) -> Any:
    """``form``: a class with ``from_pretrained``. Safetensors come before ``.bin``, of which the weights alone are
    read. What the class does not use stays in the file; what it lacks is an error."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what does not fit is reported below, as an error
    options: dict[str, Any] = {"weights_only": True, "local_files_only": True, "output_loading_info": True}
    options["attn_implementation"] = "sdpa"  # a published configuration may name a package that is not here
    safe = any(folder.glob("*.safetensors"))
    try:
        model, report = form.from_pretrained(folder, dtype=dtype, use_safetensors=safe, **options)
    except Exception as error:  # every library below has its own kinds of errors for a damaged folder
        raise Rejected("weights", f"{folder}: the model cannot be read ({error}). Restore it.") from error
    if absent := [*report["missing_keys"], *(str(key[0]) for key in report["mismatched_keys"])]:
        problem = f"{len(absent)} weights are missing or of another shape: {'; '.join(grouped(absent))}"
        raise Rejected("weights", f"{folder}: {problem}. Restore it.")
    return model.eval()


def load_tokenizer(folder: Path) -> Any:
    """With the chat template of the tokenizer, or of the file beside it."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        tokenizer.chat_template = tokenizer.chat_template or _template_in(folder)
    except Exception as error:
        raise Rejected("weights", f"{folder}: the tokenizer cannot be read ({error}). Restore it.") from error
    return tokenizer


def _template_in(folder: Path) -> str | None:
    for name in TEMPLATE_FILES:
        if (folder / name).is_file():
            text = (folder / name).read_text(encoding="utf-8")
            return str(json.loads(text)["chat_template"]) if name.endswith(".json") else text
    return None
