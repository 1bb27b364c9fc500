"""NeMo DFM's DiT: the whole network, its position table and its token order."""

import re
import zlib
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.models.dfm.checkpoint import network_of
from engine.models.dfm.keys import from_megatron
from engine.models.dfm.network import DfmDiT, from_tokens, to_tokens
from engine.models.dfm.positions import sincos_table
from engine.models.dfm.run_config import RunConfig
from tests.goldens.runner import Case, Description, assert_close, kind


def is_dfm(description: Description, tensor: str) -> bool:
    repository = description.get("source", {}).get("repository", "")
    return repository == "NVIDIA-NeMo/DFM" and tensor in description.get("tensors", {})


def formula(name: str, shape: list[int], seed: int) -> Tensor:
    """The integer hash that ``dfm_dit_derived.json`` describes, in float32."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        start = np.uint32(zlib.crc32(name.encode()) + seed & 0xFFFFFFFF)
        x = start + np.uint32(2654435769) * np.arange(1, count + 1, dtype=np.uint32)
        x = (x ^ (x >> np.uint32(16))) * np.uint32(2246822507)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(3266489909)
        x = x ^ (x >> np.uint32(16))
    center, amplitude = 0.0, 0.1
    if len(shape) >= 2:
        amplitude = sqrt(3.0 / np.prod(shape[1:]))
    elif name.endswith(".weight"):
        center, amplitude = 1.0, 0.2
    values = center + amplitude * (2.0 * (x.astype(np.float64) / 2**32) - 1.0)
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def weights_of(case: Case) -> dict[str, Tensor]:
    weights = case.description.get("weights")
    if weights is None:
        return case.weights("module.")
    state = {name: formula(name, shape, weights["seed"]) for name, shape in weights["shapes"].items()}
    for name, values in weights["check"].items():
        torch.testing.assert_close(state[name].flatten()[:3], torch.tensor(values), rtol=0, atol=1e-7)
    return state


def network_for(case: Case) -> DfmDiT:
    config = case.description["config"]
    assert config["layernorm_eps"] == config["rms_eps"], "the network has one epsilon, as the reference's config does"
    run_config = RunConfig(norm_eps=config["layernorm_eps"], patch_spatial=2, max_frames=34, max_img_h=80, max_img_w=80)
    network = network_of(from_megatron(weights_of(case), case.name), run_config, case.name, torch.float32)
    made = network.config
    found = (made.width, made.num_heads, made.num_blocks, made.adaln_lora_dim, made.text_width)
    names = ("hidden", "heads", "layers", "adaln_lora_dim", "crossattn_emb_size")
    assert found == tuple(config[name] for name in names)
    return network


def stages(network: DfmDiT) -> tuple[dict[str, Tensor], list[Any]]:
    """Collects the intermediates that the case holds, under its names."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: seen.__setitem__(name, output)

    hooks = [
        network.time_embed.register_forward_hook(keep("mid.t_emb")),
        network.fps_embed.register_forward_hook(keep("mid.fps_emb")),
    ]
    for index, block in enumerate(network.blocks):
        hooks.append(block.register_forward_hook(keep(f"mid.{index}.after_mlp")))
    return seen, hooks


@kind("dfm dit", recognises=lambda description: is_dfm(description, "in.context_rows"))
def check_network(case: Case) -> None:
    golden, config = case.tensors(), case.description["config"]
    network = network_for(case)
    grid = (config["T"], config["h"], config["w"])
    raster = torch.cartesian_prod(*(torch.arange(size) for size in grid))
    assert torch.equal(golden["in.pos_ids"], raster), "tokens are expected in raster order"

    text = torch.zeros(1, config["context_rows_total"], golden["in.context_rows"].shape[-1])
    text[:, : config["context_rows_nonzero"]] = golden["in.context_rows"]
    x = from_tokens(golden["in.tokens"].unflatten(1, (grid[0], -1)), grid)
    timesteps = torch.full((1, grid[0]), config["c_noise"])
    seen, hooks = stages(network)
    with torch.inference_mode():
        out = network(x, timesteps, text, fps=config["fps"])
    for hook in hooks:
        hook.remove()

    atol = case.description["tolerance"]["out"]["fp32_atol"]
    for name, value in seen.items():
        ours = value if value.dim() == 2 else value.flatten(1, 2)[:, :2]
        assert_close(ours, golden[name], atol, what=name)
    assert_close(to_tokens(out).flatten(1, 2), golden["out"], atol, what="out")


@kind("dfm tokens and positions", recognises=lambda description: is_dfm(description, "pos.rows"))
def check_positions(case: Case) -> None:
    golden, config = case.tensors(), case.description["config"]
    frames, height, width = (int(size) for size in re.findall(r"\d+", config["table"])[:3])
    ids = golden["pos.ids"]
    rows = ids[:, 0] * height * width + ids[:, 1] * width + ids[:, 2]
    assert torch.equal(rows, golden["pos.flat_index"])
    table = sincos_table((frames, height, width), config["hidden"])
    assert_close(table[rows], golden["pos.rows"], case.description["tolerance"]["pos.rows"]["atol"], what="pos.rows")


@kind("dfm tokens and positions", recognises=lambda description: is_dfm(description, "tok.tokens"))
def check_tokens(case: Case) -> None:
    golden = case.tensors()
    latent = golden["tok.latent"]
    grid = (latent.shape[2], latent.shape[3] // 2, latent.shape[4] // 2)
    tokens = to_tokens(latent)
    assert torch.equal(tokens.flatten(1, 2), golden["tok.tokens"])
    assert torch.equal(from_tokens(tokens, grid), latent)
    assert torch.equal(torch.cartesian_prod(*(torch.arange(size) for size in grid)), golden["tok.pos_ids"])
