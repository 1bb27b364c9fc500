"""The GPU benchmark works on a few tokens, and counts what a released pass costs as it is known."""

import torch

from benchmarks.generation import KNOWN, RELEASED, TINY, make_network, measured, passes
from benchmarks.network import TEXT_LENGTH, TEXT_WIDTH, attention_flops, linear_flops, make_theirs, run_theirs
from engine.models.cosmos.network import CosmosConfig, CosmosDiT


def test_a_few_tokens() -> None:
    with torch.inference_mode():
        figures = measured(TINY, 2, torch.device("cpu"))
    assert figures["max_difference"] < 1e-4
    assert all(figures[name] > 0 for name in ("pass_s", "diffusers_pass_s", "denoise_s", "decode_s"))


def test_both_networks_take_the_inputs_as_a_gpu_has_them() -> None:
    """In bfloat16, all on one device: a mask made elsewhere, or in float32, would stop diffusers' network there."""
    with torch.inference_mode():
        network = make_network(TINY, torch.device("cpu"), torch.bfloat16)
        assert passes(network, TINY, torch.device("cpu"), torch.bfloat16)["max_difference"] < 0.1
        theirs = make_theirs(make_network(TINY, torch.device("cpu"), torch.float32)).to("meta")
        x, timesteps = torch.empty(1, 16, *TINY.grid, device="meta"), torch.empty(1, TINY.grid[0], device="meta")
        text = torch.empty(1, TEXT_LENGTH, TEXT_WIDTH, device="meta")
        assert run_theirs(theirs, x, timesteps, text, x[:, :1]).shape == x.shape


def test_a_released_pass_is_counted_as_known() -> None:
    with torch.device("meta"):
        network = CosmosDiT(CosmosConfig(RELEASED.width, RELEASED.num_blocks, RELEASED.num_heads))
    counted = (linear_flops(network, RELEASED.grid) + attention_flops(network, RELEASED.grid)) / 1e15
    print(f"{counted:.3f} PFLOP a pass")
    assert abs(counted / KNOWN["pflop_a_pass"] - 1) < 0.01
