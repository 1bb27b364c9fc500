"""Our network and diffusers' on equal weights: the benchmark's contenders compute the same."""

import pytest
import torch
import torch.utils.flop_counter

from benchmarks.network import attention_flops, inputs, linear_flops, make_ours, make_theirs, run_theirs
from tests.goldens.runner import assert_close


@pytest.mark.parametrize("grid", [(3, 4, 6), (1, 8, 8)])
def test_same_output(grid: tuple[int, int, int]) -> None:
    ours, given = make_ours(width=64, num_blocks=2, num_heads=2), inputs(grid)
    x, timesteps, text, mask = given
    with torch.inference_mode():
        theirs = run_theirs(make_theirs(ours), *given)
        assert_close(ours(x, timesteps, text, condition_mask=mask), theirs, 1e-4, what="diffusers")


def test_flops_are_counted_as_pytorch_does() -> None:
    """PyTorch's counter sees linear layers, but no attention on a CPU."""
    grid = (3, 8, 12)
    ours = make_ours(width=128, num_blocks=2, num_heads=2)
    x, timesteps, text, mask = inputs(grid)
    with torch.inference_mode(), torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        ours(x, timesteps, text, condition_mask=mask)
    assert linear_flops(ours, grid) == counter.get_total_flops()
    assert attention_flops(ours, grid) == 2 * 4 * 72 * (72 + 512) * 128
