"""Which Cosmos network a file holds, by the names and shapes of its tensors alone.

Comes in: key -> shape, in any layout. Goes out: ``Recognised``: generation, size, kind and layout, or in words what the
file is instead. Does not know files or cards' contents; shapes do not show RoPE ratios.

Source: the released checkpoints' key lists (NVIDIA's configurations for every size).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.checkpoints.known import describe_weights
from engine.models.cosmos.keys import bare

Generation = Literal["predict1", "predict2"]
Kind = Literal["text2image", "text2world", "video2world"]
Form = Literal["original", "diffusers", "own"]
Shapes = Mapping[str, tuple[int, ...]]

SIZES: dict[tuple[Generation, int], str] = {
    ("predict2", 1280): "0.6B",
    ("predict2", 2048): "2B",
    ("predict2", 5120): "14B",
    ("predict1", 4096): "7B",
    ("predict1", 5120): "14B",
}
"""(generation, width) -> size, of the released networks."""
SHORT: dict[Kind, str] = {"text2image": "t2i", "text2world": "t2w", "video2world": "v2w"}
TITLES: dict[Kind, str] = {"text2image": "Text2Image", "text2world": "Text2World", "video2world": "Video2World"}
LAYOUTS: dict[Form, str] = {"original": "NVIDIA's layout", "diffusers": "diffusers' layout", "own": "our own layout"}
LATENT_CHANNELS = 16
"""Of every released network, where the file does not show it."""

EMBEDDINGS: dict[Form, tuple[str, str]] = {
    "original": ("x_embedder.proj.1.weight", "final_layer.linear.weight"),
    "diffusers": ("patch_embed.proj.weight", "proj_out.weight"),
    "own": ("patch_embed.weight", "final.linear.weight"),
}
"""The first and the last layer's weights, by layout."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """``generation`` None: not a Cosmos network of these generations, and ``what`` says what it is instead."""

    what: str
    generation: Generation | None = None
    form: Form | None = None
    kind: Kind | None = None
    size: str = ""
    """As released; "" for a width that never was."""
    ema: bool = False
    """All weights are those of the averaged copy."""
    width: int = 0
    num_blocks: int = 0

    @property
    def variant(self) -> str | None:
        """``p2_2b_v2w``; None for what is no released network."""
        if not (self.generation and self.kind and self.size):
            return None
        return f"p{self.generation[-1]}_{self.size.lower()}_{SHORT[self.kind]}"

    @property
    def label(self) -> str | None:
        """The variant, and in brackets what is unusual about the file: ``p2_2b_v2w (ema)``."""
        remark = "diffusers" if self.form == "diffusers" else "ema" if self.ema else ""
        return f"{self.variant} ({remark})" if self.variant and remark else self.variant


def recognise(shapes: Shapes) -> Recognised:
    """Never raises: ``what`` describes what is foreign or of an unknown build."""
    ema = bool(shapes) and all(name.startswith("net_ema.") for name in shapes)
    named = {bare(name): tuple(shape) for name, shape in shapes.items()}
    layout = _layout(named)
    if layout is None or _later(named):
        return Recognised(what=describe_weights(shapes))
    form, generation = layout
    first, last = EMBEDDINGS[form]
    width, features = named[first]
    mask_channels = features / 4 - (named[last][0] // 4 if named.get(last) else LATENT_CHANNELS)
    if form != "own" and mask_channels not in (1, 2):
        what = f"a network like Cosmos-{generation.title()} whose input has {features / 4:g} channels, not released"
        return Recognised(what=what)
    kind = _kind(generation, video=mask_channels == 2)
    size = SIZES.get((generation, width), "")
    what = f"Cosmos-{generation.title()} {size or f'of width {width}'} {TITLES[kind]}, in {LAYOUTS[form]}"
    return Recognised(what, generation, form, kind, size, ema, width, _num_blocks(named))


def _layout(named: Shapes) -> tuple[Form, Generation] | None:
    if len(named.get("x_embedder.proj.1.weight", ())) == 2:
        if _in_any_block(named, r"blocks\.\d+\.self_attn\.q_proj\.weight"):
            return "original", "predict2"
        if _in_any_block(named, r"blocks\.block\d+\.blocks\.0\.block\.attn\.to_q\.0\.weight"):
            return "original", "predict1"
    learnt = any(name.startswith(("learnable_pos_embed.", "extra_pos_embed.")) for name in named)
    generation: Generation = "predict1" if learnt else "predict2"
    if len(named.get("patch_embed.proj.weight", ())) == 2 and _in_any_block(
        named, r"transformer_blocks\.\d+\.attn1\.to_q\.weight"
    ):
        return "diffusers", generation
    if len(named.get("patch_embed.weight", ())) == 2 and _in_any_block(named, r"blocks\.\d+\.self_attn\.q\.weight"):
        return "own", generation
    return None


def _in_any_block(named: Shapes, pattern: str) -> bool:
    """Any block will do: a shard need not hold block 0."""
    return any(re.fullmatch(pattern, name) for name in named)


def _later(named: Shapes) -> bool:
    """Networks that share the first layers' names and are others: Predict2.5, action-conditioned ones."""
    return any(name.startswith(("crossattn_proj.", "action_embedder", "view_embeddings")) for name in named)


def _kind(generation: Generation, video: bool) -> Kind:
    if video:
        return "video2world"
    return "text2image" if generation == "predict2" else "text2world"


def _num_blocks(named: Shapes) -> int:
    parts = [name.split(".")[1] for name in named if name.startswith(("blocks.", "transformer_blocks."))]
    return len({part.removeprefix("block") for part in parts})
