"""Peak memory of one evaluation against the length of the film."""

from dataclasses import replace

import torch
from torch import Tensor

from engine.layers.attention import SingleRankLayout
from engine.models.ttt.layer import TttLayer
from engine.models.ttt.network import TttVideo
from engine.models.ttt.scan import GROUP_TOKENS, InnerNorm, Streams, Weights, scan, scan_in_order
from engine.models.ttt.scan_order import Extent, ScanOrder
from tests.engine.models.ttt.factories import FULL, TINY, make_film, make_network, make_scan
from tests.engine.models.ttt.memory import PeakMemory

GRID = (10, 10)


def test_memory_grows_no_faster_than_the_film() -> None:
    """3, 9 and 21 segments. What stays the same for every film (one group of mini-batches, one segment's attention, one
    piece of the MLP) is why the growth is a little less than in proportion."""
    network, peaks = make_network(mini_batch_size=32), {}
    for num_segments in (3, 9, 21):
        film = make_film(num_segments, grid=GRID)
        with torch.no_grad(), PeakMemory() as memory:
            network(*film)
        tokens = film[0].shape[2] * GRID[0] * GRID[1] + num_segments * film[2].shape[2]
        sequence = tokens * TINY.width * 4
        peaks[num_segments] = memory.peak_bytes
        print(f"{num_segments} segments: peak {memory.peak_bytes / 1e6:.2f} MB, sequence {sequence / 1e6:.2f} MB")
        assert memory.peak_bytes - 10 * sequence < 4e6, "at most ten copies of the sequence beside what is fixed"
    assert peaks[21] - peaks[9] <= 1.05 * (21 - 9) / (9 - 3) * (peaks[9] - peaks[3])


def test_memory_of_the_published_network() -> None:
    """One layer at full size in bfloat16, on the meta device: 9 s, and what stays as small for 63 s."""
    with torch.device("meta"):
        network = TttVideo(replace(FULL, num_layers=1)).bfloat16()
        x = torch.empty(1, 16, 37, 60, 90, dtype=torch.bfloat16)
        text, timesteps = torch.empty(1, 3, 502, 4096, dtype=torch.bfloat16), torch.empty(1, 37)
    for module in network.modules():
        if isinstance(module, TttLayer):
            module.scan = without_steps
    with torch.no_grad(), torch.device("meta"), PeakMemory() as memory:
        network(x, timesteps, text, layout=SingleRankLayout(lambda q, k, v: torch.empty_like(q)))
    sequence = (37 * 1350 + 3 * 502) * 3072 * 2
    print(f"peak {memory.peak_bytes / 1e9:.2f} GB: {memory.peak_bytes / sequence:.1f} copies of the sequence")
    assert memory.peak_bytes < 11 * sequence


def without_steps(
    weights: Weights, norm: InnerNorm, streams: Streams, order: ScanOrder, size: int
) -> tuple[Tensor, Weights]:
    """The scan with all that it keeps, but nothing computed for a mini-batch."""
    return scan_in_order(
        lambda state, gamma, q, k, pull, steps: torch.empty_like(q), weights, norm, streams, order, size
    )


def test_the_walk_keeps_nothing_per_token() -> None:
    """Beside its input and output, a film four times as long takes not one byte more."""
    own: list[int] = []
    for num_segments in (3, 12):
        extent = Extent(num_segments, 5, num_segments * 9 + 1, 100, 9)
        weights, norm, streams, (order, _) = make_scan("ttt_mlp", extent, 16, grid=(10, 10))
        assert extent.num_tokens > 2 * GROUP_TOKENS
        with torch.no_grad(), PeakMemory() as memory:
            out, _ = scan(weights, norm, streams, order, 16)
        own.append(memory.peak_bytes - out.nbytes)
    print(f"beside streams and output: {own[0]} and {own[1]} bytes")
    assert own[0] == own[1]
