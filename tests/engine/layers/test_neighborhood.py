"""Neighborhood attention: the rule by hand, by the reference's own formula, and the fast form against the plain one."""

import pytest
import torch
from torch import Tensor

from engine.contract.errors import Rejected
from engine.layers.attention import SingleRankLayout, attend
from engine.layers.neighborhood import (
    FULL,
    Attending,
    Neighborhood,
    Triple,
    axis_cells,
    neighborhood_attend,
    neighborhood_attend_plain,
    neighborhood_mask,
    window_start,
)
from engine.models.cosmos.sparse import BASE, PATTERNS, A, B, C, D, E, layouts_for, patterns_of
from tests.goldens.runner import assert_close

GRID_720P = (24, 44, 80)


def drawn(grid: Triple, heads: int = 2, width: int = 8, batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    num_tokens = grid[0] * grid[1] * grid[2]
    return [torch.randn(batch, heads, num_tokens, width, generator=generator) for _ in range(3)]


def reference_keys(query: int, size: int, window: int, stride: int, dilation: int) -> list[int]:
    """NATTEN's kernels, as their authors write the non-causal case: lengths left and right, a correction at the end."""
    group, place = query % dilation, query // dilation
    padding = 1 - (group + (dilation - size % dilation)) // dilation
    length = size // dilation + padding
    left, right = window // 2, window // 2 + (window % 2 - 1)
    leader = min(place // stride * stride + stride // 2, length - 1)
    start = max(leader - left, 0) + (leader + right >= length) * (length - right - leader - 1)
    return [group + dilation * (start + index) for index in range(window)]


@pytest.mark.parametrize(
    ("query", "length", "window", "stride", "start"),
    [
        (5, 10, 3, 1, 4),  # odd: one on each side
        (5, 10, 4, 1, 3),  # even: two before, one after
        (0, 10, 3, 1, 0),  # moved in at the beginning
        (9, 10, 3, 1, 7),  # and at the end
        (4, 12, 4, 4, 4),  # 4..7 share the window of 6
        (7, 12, 4, 4, 4),
        (9, 10, 4, 4, 6),  # the last group is cut: its middle would be 10, it is 9
        (0, 4, 4, 1, 0),  # all of the axis
    ],
)
def test_windows_by_hand(query: int, length: int, window: int, stride: int, start: int) -> None:
    assert window_start(query, length, window, stride) == start


AXES = [
    (10, 3, 1, 1),
    (10, 4, 2, 1),
    (11, 4, 3, 2),
    (12, 4, 4, 3),
    (13, 5, 5, 2),
    (7, 7, 1, 1),
    (9, 2, 2, 4),
    (80, 16, 1, 5),
    (44, 12, 4, 1),
]


@pytest.mark.parametrize(("size", "window", "stride", "dilation"), AXES)
def test_cells_are_the_references_windows(size: int, window: int, stride: int, dilation: int) -> None:
    positions = list(range(size))
    seen: list[int] = []
    for queries, keys in axis_cells(size, window, stride, dilation):
        for query in positions[queries]:
            assert positions[keys] == reference_keys(query, size, window, stride, dilation)
            seen.append(query)
    assert sorted(seen) == positions, "every query is in one cell"


CASES = [
    ((2, 8, 10), Neighborhood((FULL, 3, 4))),
    ((3, 8, 12), Neighborhood((FULL, 4, 4), stride=(1, 2, 4))),
    ((3, 7, 11), Neighborhood((2, 4, 5), stride=(2, 3, 5))),
    ((2, 9, 13), Neighborhood((FULL, 3, 3), dilation=(1, 3, 4))),
    ((4, 9, 11), Neighborhood((2, 4, 3), stride=(1, 4, 2), dilation=(2, 2, 3))),
    ((1, 6, 6), Neighborhood((1, 6, 1))),
    *[((2, 12, 20), pattern.fitted((2, 12, 20), BASE)) for pattern in (A, B, C, D, E)],
]


@pytest.mark.parametrize(("grid", "pattern"), CASES)
def test_the_fast_form_is_the_plain_one(grid: Triple, pattern: Neighborhood) -> None:
    q, k, v = drawn(grid)
    assert_close(neighborhood_attend(q, k, v, grid, pattern), neighborhood_attend_plain(q, k, v, grid, pattern), 2e-6)


@pytest.mark.parametrize(("grid", "pattern"), CASES[:6])
def test_the_mask_is_the_references(grid: Triple, pattern: Neighborhood) -> None:
    mask = neighborhood_mask(grid, pattern).unflatten(0, grid).unflatten(3, grid)
    axes = list(zip(grid, pattern.window, pattern.stride, pattern.dilation, strict=True))
    for query in torch.cartesian_prod(*(torch.arange(size) for size in grid)).tolist():
        keys = [
            range(size) if axis[0] == FULL else reference_keys(place, size, *axis)
            for place, (size, *axis) in zip(query, axes, strict=True)
        ]
        expected = torch.zeros(grid, dtype=torch.bool)
        expected[torch.meshgrid(*(torch.tensor(list(those)) for those in keys), indexing="ij")] = True
        assert torch.equal(mask[tuple(query)], expected)


def test_a_window_over_everything_is_dense_attention() -> None:
    grid = (3, 4, 6)
    q, k, v = drawn(grid)
    for pattern in (Neighborhood((FULL, FULL, FULL)), Neighborhood((3, 4, 6)), Neighborhood((FULL, 4, 6), (1, 2, 3))):
        assert_close(neighborhood_attend(q, k, v, grid, pattern), attend(q, k, v), 2e-6, what=str(pattern))


def test_in_a_layout() -> None:
    """As a network uses it: (B, T, S, A, d), the pattern bound to the grid."""
    grid, pattern = (2, 6, 8), Neighborhood((FULL, 3, 4), stride=(1, 2, 2))
    q, k, v = drawn(grid)
    tokens = [x.transpose(1, 2).unflatten(1, (2, 48)) for x in (q, k, v)]
    expected = neighborhood_attend_plain(q, k, v, grid, pattern).transpose(1, 2).unflatten(1, (2, 48))
    assert_close(SingleRankLayout(pattern.attend_on(grid)).self_attend(*tokens, 48), expected, 2e-6)


@pytest.mark.parametrize(
    ("window", "stride", "dilation"),
    [((FULL, 7, 4), (1, 1, 1), (1, 1, 1)), ((FULL, 4, 4), (1, 5, 1), (1, 1, 1)), ((2, 3, 3), (1, 1, 1), (1, 1, 3))],
)
def test_patterns_that_do_not_fit(window: Triple, stride: Triple, dilation: Triple) -> None:
    with pytest.raises(Rejected, match="do not fit [68] positions") as caught:
        Neighborhood(window, stride, dilation).attend_on((3, 6, 8))
    assert caught.value.code == "size"


@pytest.mark.parametrize(("pattern", "sparsity"), [(A, 0.98), (B, 0.95), (C, 0.92), (D, 0.77), (E, 0.55)])
def test_published_sparsity(pattern: Neighborhood, sparsity: float) -> None:
    fitted = pattern.fitted(GRID_720P, BASE)
    assert fitted == pattern, "the grid it was chosen for changes nothing"
    assert 1 - fitted.kept_share(GRID_720P) == pytest.approx(sparsity, abs=0.006)


@pytest.mark.parametrize(("pattern", "num_cells"), [(A, 55), (B, 45), (C, 72), (D, 42), (E, 20)])
def test_few_cells_at_the_published_size(pattern: Neighborhood, num_cells: int) -> None:
    t, h, w = pattern.cells(GRID_720P)
    assert len(t) * len(h) * len(w) == num_cells


@pytest.mark.parametrize(
    ("grid", "pattern", "fitted"),
    [
        ((24, 22, 40), A, Neighborhood((FULL, 2, 8), (1, 1, 1), (1, 6, 2))),  # 5.5 and 2.5 are rounded to the even one
        ((24, 22, 40), C, Neighborhood((FULL, 6, 12), (1, 2, 4))),
        ((24, 30, 52), E, Neighborhood((FULL, 19, 36), (1, 3, 5))),
        ((3, 2, 3), E, Neighborhood((FULL, 2, 2))),
        ((1, 44, 80), C, Neighborhood((FULL, FULL, FULL))),
    ],
)
def test_other_grids(grid: Triple, pattern: Neighborhood, fitted: Neighborhood) -> None:
    assert pattern.fitted(grid, BASE) == fitted


def test_blocks_of_the_published_weights() -> None:
    """As their configuration says it in words."""
    names = {A: "A", B: "B", C: "C", D: "D", E: "E", None: "dense"}
    found = {name: [names[pattern] for pattern in patterns] for name, patterns in PATTERNS.items()}
    assert {name: len(letters) for name, letters in found.items()} == {"2b": 28, "14b": 36}
    places = {
        ("2b", "A"): [0, 1],
        ("2b", "B"): [2, 5, 10],
        ("2b", "C"): [3, 4, 6, 7, 8, 9, 27],
        ("2b", "D"): [*range(11, 23), 24, 25, 26],
        ("2b", "E"): [23],
        ("2b", "dense"): [],
        ("14b", "A"): list(range(11)),
        ("14b", "B"): [11, 12],
        ("14b", "C"): list(range(13, 23)),
        ("14b", "D"): [23, 25, 29, 30, 33, 35],
        ("14b", "E"): [24, 26, 28, 31, 32, 34],
        ("14b", "dense"): [27],
    }
    for (name, letter), blocks in places.items():
        assert [index for index, found_letter in enumerate(found[name]) if found_letter == letter] == blocks


@pytest.mark.parametrize(("name", "num_blocks"), [("2b", 28), ("14b", 36), ("", 5)])
def test_layout_of_every_block(name: str, num_blocks: int) -> None:
    grid, whole = (2, 8, 12), SingleRankLayout()
    q, k, v = (x.transpose(1, 2).unflatten(1, (2, 96)) for x in drawn(grid, heads=1, batch=1))
    dense = whole.self_attend(q, k, v, 96)
    patterns = patterns_of(name, num_blocks)
    layouts = layouts_for(patterns, grid, whole)
    assert len(layouts) == num_blocks
    for layout, pattern in zip(layouts, patterns, strict=True):
        same = torch.allclose(layout.self_attend(q, k, v, 96), dense, atol=1e-6)
        assert same == (pattern is None), f"{pattern}"


def test_a_pattern_for_another_network() -> None:
    with pytest.raises(Rejected, match="for 28 blocks, the network has 36"):
        patterns_of("2b", 36)


def test_a_picture_is_attended_whole() -> None:
    q, k, v = drawn((1, 4, 6))
    layouts = layouts_for(PATTERNS["2b"], (1, 4, 6), SingleRankLayout())
    tokens = [x.transpose(1, 2).unflatten(1, (1, 24)) for x in (q, k, v)]
    assert_close(layouts[0].self_attend(*tokens, 24), SingleRankLayout().self_attend(*tokens, 24), 2e-6)


class Backwards(SingleRankLayout):
    """One rank that keeps the tokens of each frame, and the heads, in the opposite order."""

    def to_heads(self, x: Tensor, tokens_per_frame: int) -> Tensor:
        return x.flip(2, 3)

    def to_tokens(self, x: Tensor) -> Tensor:
        return x.flip(2, 3)


def test_in_a_layout_that_spreads_tokens() -> None:
    """Windows are laid on the grid, not on the order in which a rank keeps its tokens."""
    grid, pattern = (2, 4, 6), Neighborhood((FULL, 3, 2))
    tokens = [x.transpose(1, 2).unflatten(1, (2, 24)) for x in drawn(grid)]
    expected = Attending(SingleRankLayout(), pattern.attend_on(grid)).self_attend(*tokens, 24)
    kept = Attending(Backwards(), pattern.attend_on(grid)).self_attend(*(x.flip(2, 3) for x in tokens), 24)
    assert_close(kept.flip(2, 3), expected, 1e-6)
