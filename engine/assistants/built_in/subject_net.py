"""A small convolutional network that names the subject of a crop, in numpy.

Comes in: its weights (safetensors: ``convs.N.weight`` and ``bias``, ``out.weight`` and ``bias``), crops. Goes out:
log-probabilities. Does not know the names, or how it was trained (``tools/diorama/measure.py`` is its torch form).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

Floats = NDArray[np.float32]
NUM_POOLED = 3
"""Convolutions that are followed by a 2 x 2 maximum; the last one by means over a 2 x 2 grid."""


class SubjectNet:
    def __init__(self, weights: Path) -> None:
        """Raises OSError, SafetensorError, KeyError."""
        tensors: dict[str, NDArray[np.float16]] = load_file(weights)
        values = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
        num_convs = sum(name.startswith("convs.") for name in values) // 2
        self._convs = [(values[f"convs.{i}.weight"], values[f"convs.{i}.bias"]) for i in range(num_convs)]
        self._out = values["out.weight"], values["out.bias"]

    def log_probabilities(self, crops: Floats) -> Floats:
        """(N, 3, H, W) in [0, 1] -> (N, classes)."""
        x = crops
        for i, (weight, bias) in enumerate(self._convs):
            x = np.maximum(_convolved(x, weight, bias), 0)
            x = _halved(x) if i < NUM_POOLED else _two_by_two(x)
        weight, bias = self._out
        logits = x.reshape(len(x), -1) @ weight.T + bias
        logits = logits - logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _convolved(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """3 x 3, padded by zeros."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))  # (N, C, H, W, 3, 3)
    return np.moveaxis(np.tensordot(windows, weight, axes=([1, 4, 5], [1, 2, 3])), -1, 1) + bias[:, None, None]


def _halved(x: Floats) -> Floats:
    n, c, h, w = x.shape
    return x[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def _two_by_two(x: Floats) -> Floats:
    """Means over four windows that overlap where a side is odd, as torch's adaptive pooling does."""
    h, w = x.shape[2:]
    rows, columns = ([slice(0, -(-n // 2)), slice(n // 2, n)] for n in (h, w))
    return np.stack([np.stack([x[:, :, r, c].mean((2, 3)) for c in columns], -1) for r in rows], -2)
