"""Predict1's and Predict2's networks: one forward pass, in float32 and in bfloat16.

Comes in: a case with weights, inputs and the original's outputs. Does not know noise levels or guidance.
Every tensor named ``out...`` is an output: with a padding mask or another frame rate where its name says so.

Letters: B batch, C latent channels, T latent frames, h w latent size, S tokens of one frame, D width, L text length.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from engine.layers.rotary import rope_angles
from engine.models.cosmos.network import CosmosDiT
from tests.goldens.networks import network_of
from tests.goldens.runner import Case, Description, assert_close, kind

BF16_SHARE = 3e-2
"""Of the largest value; the reference itself differs by 0.9e-2 to 1.6e-2 when it runs in bfloat16."""
FPS = re.compile(r"out_fps([\d.]+)")


def is_network(description: Description) -> bool:
    return "model_channels" in description.get("config", {}) and "latent_in" in description.get("tensors", {})


@kind("cosmos_network", recognises=is_network)
def float32(case: Case) -> None:
    golden, network, tolerance = case.tensors(), network_of(case), case.description["tolerance"]
    seen = watched(network)
    ours = {name: run(network, case, golden, name) for name in outputs(golden)}
    tell_inside(network, case, golden, seen)
    for name, out in ours.items():
        assert_close(out, golden[name], tolerance["atol"], tolerance["rtol"], name)


@kind("cosmos_network", recognises=is_network)
def bfloat16(case: Case) -> None:
    golden, network = case.tensors(), network_of(case, torch.bfloat16)
    for name in outputs(golden):
        out = run(network, case, golden, name, torch.bfloat16)
        assert_close(out.float(), golden[name], BF16_SHARE * float(golden[name].abs().max()), what=name)


def outputs(golden: dict[str, Tensor]) -> list[str]:
    names = [name for name in golden if name.startswith("out")]
    assert "out" in names, "the case has no output"
    return names


def run(
    network: CosmosDiT, case: Case, golden: dict[str, Tensor], name: str, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The output that the tensor ``name`` of the case is computed from."""
    x = golden["latent_in"]
    timesteps = golden["timesteps"].reshape(x.shape[0], -1).expand(-1, x.shape[2])
    fps = case.description.get("fps")
    padding = mask = None
    if found := FPS.fullmatch(name):
        fps = float(found[1])
    elif name == "out_with_padding_mask":
        padding = golden["padding_mask_pixels"].float()
    else:
        assert name == "out", f"{name}: not known what this output was made with"
    if "condition_mask" in golden:
        mask = golden["condition_mask"].expand(-1, -1, -1, *x.shape[-2:]).to(dtype)
    given = x.to(dtype), timesteps.to(dtype), golden["text"].to(dtype)
    return network(*given, condition_mask=mask, padding_mask=padding, fps=fps)


def watched(network: CosmosDiT) -> dict[str, Tensor]:
    """What the network computes on its way in its first call, by the goldens' names; filled when it runs."""
    seen: dict[str, Tensor] = {}

    def keep(*names: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, out: Any) -> None:
            for name, tensor in zip(names, out if isinstance(out, tuple) else (out,), strict=True):
                seen.setdefault(name, tensor)

        return hook

    network.patch_embed.register_forward_hook(keep("embedded"))
    network.time_embed.register_forward_hook(keep("t_embedding_normed", "adaln_lora"))
    for index, block in enumerate(network.blocks):
        block.register_forward_hook(keep(f"block{index}_out"))
    if network.extra_pos_embed is not None:
        network.extra_pos_embed.register_forward_hook(keep("extra_pos_emb"))
    return seen


def tell_inside(network: CosmosDiT, case: Case, golden: dict[str, Tensor], seen: dict[str, Tensor]) -> None:
    """Prints how far each recorded intermediate value is off: where a wrong output begins."""
    size, patch = golden["latent_in"].shape[2:], network.config.patch_spatial
    grid = size[0] // network.config.patch_temporal, size[1] // patch, size[2] // patch
    angles = rope_angles(network.config.rotary, grid, case.description.get("fps")).flatten(0, 1)
    seen["rope_angles"] = angles[:, : angles.shape[1] // 2]
    for name in seen.keys() & golden.keys():
        ours, theirs = seen[name], golden[name]
        ours = ours[:, : theirs.shape[1]] if name in ("t_embedding_normed", "adaln_lora") else ours
        difference = (ours.reshape(theirs.shape) - theirs).abs()
        print(f"inside, {name}: max {difference.max():.2e}, mean {difference.mean():.2e}")
