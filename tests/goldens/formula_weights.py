"""Weights that a golden case does not store but gives by an exact integer formula (``weights_formula`` of its JSON).

Comes in: the formula's salt, and shape, scale and offset by key. Goes out: float32 tensors, the same on every machine.
"""

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

MASK = np.uint64(0xFFFFFFFF)


def formula_weights(formula: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        key: formula_tensor(f"{formula['salt']}{key}", shape, scale, offset)
        for key, (shape, scale, offset) in formula["keys_shape_scale_offset"].items()
    }


def formula_tensor(salted_key: str, shape: list[int], scale: float, offset: float) -> Tensor:
    """A hash of each element's index, brought to (-scale, scale) + offset in float32."""
    index = np.arange(int(np.prod(shape)), dtype=np.uint64)
    v1 = (index * np.uint64(2654435761) + np.uint64(zlib.crc32(salted_key.encode()))) & MASK
    v2 = ((v1 ^ (v1 >> np.uint64(15))) * np.uint64(2246822519)) & MASK
    v3 = v2 ^ (v2 >> np.uint64(13))
    q = (v3 >> np.uint64(16)).astype(np.int64) - 32768
    values = q.astype(np.float32) * np.float32(scale / 32768) + np.float32(offset)
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def sha256_of(weights: Mapping[str, Tensor]) -> str:
    """Over the float32 bytes in the order of the sorted keys."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(weights[key].float().contiguous().numpy().tobytes())
    return digest.hexdigest()
