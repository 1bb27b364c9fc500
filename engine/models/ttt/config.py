"""Sizes of a TTT-Video network, as its weights and its card tell them.

Comes in: the shapes of the weights under our names, and the card's settings. Goes out: a ``TttConfig``, or an error
that names what does not fit. Does not know files, tensors' contents or torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.contract.errors import Rejected
from engine.contract.families.ttt import TttSettings

SsmLayer = Literal["ttt_mlp", "ttt_linear", "none"]
Shapes = Mapping[str, tuple[int, ...]]

NORM_EPS = 1e-6
"""Of every layer norm outside the inner model, whatever the original's configuration file says."""
INNER_EPS = 1e-6
"""Of the inner model's norm, inside the square root, as in the kernels the weights were trained with."""
ROPE_THETA = 10000.0
PATCH = 2
HEAD_DIM_MULTIPLE = 16
"""So that the rotary embedding's quarter and two three-eighths of a head are whole pairs."""
BLOCK = "layers.0.seq_modeling_block."


@dataclass(frozen=True, slots=True)
class TttConfig:
    """``segment_latent_frames``: of a segment, without the one it shares with the next. ``ssm_layer`` none: local
    attention alone, which is a CogVideoX transformer and what a network with zero gates computes."""

    width: int
    num_layers: int
    num_heads: int
    in_channels: int
    out_channels: int
    text_width: int
    time_width: int
    mlp_width: int
    ssm_layer: SsmLayer
    mini_batch_size: int
    base_lr: float
    segment_latent_frames: int = 12
    inner_width: int = 4
    """Hidden width of the inner MLP, in head widths."""
    compile_scan: bool = False
    """Whether the loop over mini-batches goes through ``torch.compile``; see ``benchmarks/ttt.py``."""

    @property
    def head_dim(self) -> int:
        return self.width // self.num_heads


def config_from(shapes: Shapes, settings: TttSettings, base: bool = False) -> TttConfig:
    """``shapes``: our key -> size, of all weights. ``base``: they are a CogVideoX transformer's, without TTT layers.

    Raises Rejected("weights") where a key is missing, or the weights hold another layer than ``settings`` names.
    """
    expected: SsmLayer = "none" if base else settings.ssm_layer
    if (actual := layer_in(shapes)) != expected:
        raise Rejected("weights", f"the weights hold TTT layers of kind {actual}, the card's ssm_layer says {expected}")
    width, in_channels, *_ = shape_of(shapes, "patch_embedding.vid_proj.weight", 4)
    (head_dim,) = shape_of(shapes, BLOCK + "q_norm.weight", 1)
    if head_dim % HEAD_DIM_MULTIPLE or width % head_dim:
        raise Rejected("weights", f"head width {head_dim} is no multiple of {HEAD_DIM_MULTIPLE} that divides {width}")
    inner = shape_of(shapes, BLOCK + "ssm.ttt.W1", 3)[2] // head_dim if expected == "ttt_mlp" else 4
    return TttConfig(
        width=width,
        num_layers=1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("layers.")),
        num_heads=width // head_dim,
        in_channels=in_channels,
        out_channels=shape_of(shapes, "final_layer.linear.weight", 2)[0] // PATCH**2,
        text_width=shape_of(shapes, "patch_embedding.text_proj.weight", 2)[1],
        time_width=shape_of(shapes, "time_embed.0.weight", 2)[0],
        mlp_width=shape_of(shapes, "layers.0.mlp.layer1.weight", 2)[0],
        ssm_layer=expected,
        mini_batch_size=settings.mini_batch_size,
        base_lr=settings.base_lr,
        segment_latent_frames=settings.segment_latent_frames,
        inner_width=inner,
        compile_scan=settings.compile_scan,
    )


def layer_in(shapes: Shapes) -> SsmLayer:
    """Which inner model the weights hold."""
    if BLOCK + "ssm.ttt.W2" in shapes:
        return "ttt_mlp"
    return "ttt_linear" if BLOCK + "ssm.ttt.W1" in shapes else "none"


def shape_of(shapes: Shapes, key: str, num_axes: int) -> tuple[int, ...]:
    """The size of a weight that must be there."""
    if key not in shapes or len(shapes[key]) != num_axes:
        actual = f"is {shapes[key]}" if key in shapes else "is missing"
        raise Rejected("weights", f"not weights of a TTT-Video network: {key} {actual}, expected {num_axes} axes")
    return shapes[key]
