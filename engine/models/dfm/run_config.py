"""``run_config.yaml``: what a Megatron checkpoint says of the model it holds.

Comes in: a path. Goes out: ``RunConfig``, the facts that the weights do not show and those that they must agree with.
The file's ``_target_`` entries and Python tags are words to us: nothing in it is looked up or run. Does not know
tensors.
"""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from engine.contract.errors import Rejected

NAME = "run_config.yaml"

OURS = {
    "layernorm_epsilon": "norm_eps",
    "num_layers": "num_blocks",
    "hidden_size": "width",
    "num_attention_heads": "num_heads",
    "ffn_hidden_size": "mlp_width",
    "crossattn_emb_size": "text_width",
}
"""Megatron's name of a field -> ours; other fields of ``RunConfig`` have the same name in both."""

MUST_BE: dict[str, Any] = {
    "gated_linear_unit": False,
    "add_bias_linear": False,
    "layernorm_across_heads": False,
    "activation_func": "gelu",
}
"""What our network computes; another value is another network. (``normalization`` is no such key: the DiT's own layers
choose their norms and never read it.)"""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Sizes of None are unknown and taken from the weights."""

    norm_eps: float = 1e-5
    patch_spatial: int = 2
    patch_temporal: int = 1
    max_frames: int = 34
    max_img_h: int = 80
    max_img_w: int = 80
    sigma_data: float = 0.5
    num_blocks: int | None = None
    width: int | None = None
    num_heads: int | None = None
    num_query_groups: int | None = None
    mlp_width: int | None = None
    text_width: int | None = None
    in_channels: int | None = None

    @property
    def largest(self) -> tuple[int, int, int]:
        """The patch grid (T, h, w) of the position table."""
        p, pt = self.patch_spatial, self.patch_temporal
        return self.max_frames // pt, self.max_img_h // p, self.max_img_w // p


class _Loader(yaml.SafeLoader):
    """YAML without Python: a tag that is not plain YAML's gives its own name."""


_Loader.add_multi_constructor("", lambda loader, suffix, node: suffix)  # pyright: ignore[reportUnknownLambdaType]


def read_run_config(path: Path, default: RunConfig) -> RunConfig:
    """What the file says, over ``default``. Raises Rejected("weights") for an unreadable file or another model."""
    try:
        document: Any = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 - a SafeLoader without constructors
    except (OSError, yaml.YAMLError) as error:
        raise Rejected("weights", f"{path}: cannot be read: {error}") from error
    model = document.get("model", document) if isinstance(document, dict) else None
    if not isinstance(model, dict):
        raise Rejected("weights", f"{path}: no `model:` group in it. Restore the checkpoint's own file.")
    for key, expected in MUST_BE.items():
        if (value := _plain(model.get(key))) not in (None, expected):
            raise Rejected("weights", f"{path}: {key} is {value}; the network that can be read here has {expected}.")
    settings = {OURS.get(key, key): value for key, value in model.items() if value is not None}
    known = {f.name: _number(settings[f.name], f.name, path) for f in fields(RunConfig) if f.name in settings}
    return replace(default, **known)


def _plain(value: Any) -> Any:
    """Of an object, written as ``{_target_: NAME, ...}`` or as a tag of Python's, the last word of its name."""
    name = value.get("_target_") if isinstance(value, dict) else value
    return name.replace(":", ".").rpartition(".")[2].lower() if isinstance(name, str) else name


def _number(value: Any, key: str, path: Path) -> float:
    wants_float = key in ("norm_eps", "sigma_data")
    try:
        number = float(value) if wants_float else int(value)
        if not 0 < number < math.inf or (not wants_float and number != float(value)):
            raise ValueError("not a positive number")
    except (TypeError, ValueError, OverflowError) as error:
        raise Rejected("weights", f"{path}: {key} is {value!r}, expected a positive number.") from error
    return number
