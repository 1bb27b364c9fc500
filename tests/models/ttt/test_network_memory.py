"""Peak memory of one evaluation against the length of the film."""

import torch

from engine.models.ttt.order import Extent
from engine.models.ttt.scan import GROUP_TOKENS, scan
from tests.models.ttt.making import TINY, make_film, make_network, make_scan
from tests.models.ttt.memory import PeakMemory

GRID = (10, 10)


def test_memory_grows_no_faster_than_the_film() -> None:
    """3, 9 and 21 segments. What stays the same for every film (one group of mini-batches, one segment's attention, one
    piece of the MLP) is why the growth is a little less than in proportion."""
    network, peaks = make_network(), {}
    for num_segments in (3, 9, 21):
        film = make_film(num_segments, grid=GRID)
        with torch.no_grad(), PeakMemory() as memory:
            network(*film)
        tokens = film[0].shape[2] * GRID[0] * GRID[1] + num_segments * film[2].shape[2]
        sequence = tokens * TINY.width * 4
        peaks[num_segments] = memory.peak_bytes
        print(f"{num_segments} segments: peak {memory.peak_bytes / 1e6:.2f} MB, sequence {sequence / 1e6:.2f} MB")
        assert memory.peak_bytes - 12 * sequence < 4e6, (
            "at most twelve copies of the sequence beside what is fixed"
        )
    assert peaks[21] - peaks[9] <= 1.05 * (21 - 9) / (9 - 3) * (peaks[9] - peaks[3])


def test_the_walk_keeps_nothing_per_token() -> None:
    """Beside its input and output, a film four times as long takes not one byte more."""
    own: list[int] = []
    for num_segments in (3, 12):
        extent = Extent(num_segments, 5, num_segments * 9 + 1, 100, 9)
        weights, norm, streams, (walk, _) = make_scan("ttt_mlp", extent, 16, grid=(10, 10))
        assert extent.num_tokens > 2 * GROUP_TOKENS
        with torch.no_grad(), PeakMemory() as memory:
            out, _ = scan(weights, norm, streams, walk, 16)
        own.append(memory.peak_bytes - out.nbytes)
    print(f"beside streams and output: {own[0]} and {own[1]} bytes")
    assert own[0] == own[1]
