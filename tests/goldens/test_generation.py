"""The GPU benchmark works on a few tokens, and counts what a released pass costs as it is known."""

import torch

from benchmarks.generation import KNOWN, RELEASED, TINY, measured
from benchmarks.network import attention_flops, linear_flops
from engine.models.cosmos.network import CosmosConfig, CosmosDiT


def test_a_few_tokens() -> None:
    with torch.inference_mode():
        figures = measured(TINY, 2, torch.device("cpu"))
    assert figures["max_difference"] < 1e-4
    assert all(figures[name] > 0 for name in ("pass_s", "diffusers_pass_s", "denoise_s", "decode_s"))


def test_a_released_pass_is_counted_as_known() -> None:
    with torch.device("meta"):
        network = CosmosDiT(CosmosConfig(RELEASED.width, RELEASED.num_blocks, RELEASED.num_heads))
    counted = (linear_flops(network, RELEASED.grid) + attention_flops(network, RELEASED.grid)) / 1e15
    print(f"{counted:.3f} PFLOP a pass")
    assert abs(counted / KNOWN["pflop_a_pass"] - 1) < 0.01
