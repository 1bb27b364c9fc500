"""TorchScript files: networks that come as code with their weights, as NVIDIA publishes its tokenizers.

Comes in: a file, or the bytes of one. Goes out: a module on the CPU. Does not know what the module computes.

A TorchScript file is a program. It runs inside PyTorch's interpreter, not as Python, but it is code all the same: use
files from those whom you trust, and of a revision that you know.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoints.files import load_plain
from engine.contract.errors import Rejected


def load_jit(file: Path | bytes, source: str, dtype: torch.dtype) -> torch.jit.ScriptModule:
    """In evaluation mode, without gradients. Raises Rejected("weights") for what is missing or not TorchScript."""
    if isinstance(file, Path) and not file.is_file():
        raise Rejected("weights", f"{source}: no such file. Restore it or choose another model.")
    try:
        loaded = torch.jit.load(str(file) if isinstance(file, Path) else io.BytesIO(file), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0][:200]
        problem = f"not a readable TorchScript file, or of another PyTorch ({first})"
        raise Rejected("weights", f"{source}: {problem}. Get it again.") from error
    module = loaded.eval().to(dtype)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def first_output(outputs: Any) -> Tensor:
    """A program's output, of one that returns a tensor, or a tuple that begins with it."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def read_statistics(document: Any, num_channels: int, source: str) -> tuple[Tensor, Tensor]:
    """Mean and deviation as (C, n) float32, n = 1 or one for each latent frame, of whatever holds the two.

    A pair, a dict with ``mean`` and ``std``, a tensor whose first axis is the pair, or the bytes of a saved one.
    """
    if isinstance(document, bytes | io.BytesIO):
        raw = io.BytesIO(document) if isinstance(document, bytes) else document
        document = load_plain(raw, source)
    if isinstance(document, Mapping) and {"mean", "std"} <= set(document):
        document = (document["mean"], document["std"])
    try:
        mean, std = (torch.as_tensor(values).float().reshape(num_channels, -1) for values in document)
    except (TypeError, ValueError, RuntimeError) as error:
        problem = f"not a mean and a deviation for {num_channels} latent channels ({error})"
        raise Rejected("weights", f"{source}: {problem}.") from error
    return mean, std
