"""Giving a network its weights: strictly, and without a second copy of the file in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.checkpoints.assign import assign_strictly, grouped
from engine.checkpoints.files import read_weights
from engine.contract.errors import Rejected
from tests.engine.checkpoints import measure_memory
from tests.engine.checkpoints.measure_memory import NUM_LAYERS, SIDE
from tests.engine.forked import value_of

LARGEST_SHARE = 1.15
"""Of the file: the most host memory that loading may take."""
HALF_SHARE = 0.75
"""Where weights are cast to half their size, and what was read is let go on the way."""


def tiny() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def tiny_state() -> dict[str, Tensor]:
    state = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict()
    return {name: tensor.clone() for name, tensor in state.items()}


def test_floating_tensors_are_cast_and_counters_are_not() -> None:
    network, state = tiny(), tiny_state()
    assign_strictly(network, state, "a file", torch.bfloat16)
    given = network.state_dict()
    assert given["0.weight"].dtype == torch.bfloat16 and given["1.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(given["0.weight"], state["0.weight"].bfloat16())


def test_every_key_that_does_not_fit_is_named() -> None:
    state = tiny_state()
    state["1.weight"] = torch.zeros(4)
    state["stranger"] = state.pop("0.bias")
    del state["0.weight"]
    with pytest.raises(Rejected) as refused:
        assign_strictly(tiny(), state, "a file", torch.float32)
    print(refused.value)
    for told in (
        "a file",
        "missing 0.weight",
        "missing 0.bias",
        "unexpected stranger",
        "1.weight is (4,), expected (3,)",
    ):
        assert told in str(refused.value)


def test_nothing_is_assigned_where_something_does_not_fit() -> None:
    network = tiny()
    with pytest.raises(Rejected):
        assign_strictly(network, tiny_state() | {"more": torch.zeros(1)}, "a file", torch.float32)
    assert all(parameter.is_meta for parameter in network.parameters())


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a", "b"], ["a", "b"]),
        (["blocks.3.q"], ["blocks.3.q"]),
        ([f"blocks.{n}.{part}" for n in (0, 1, 2, 5) for part in "qk"], ["blocks.{0..2,5}.q", "blocks.{0..2,5}.k"]),
        (["blocks.block0.blocks.1.q", "blocks.block1.blocks.1.q"], ["blocks.block{0..1}.blocks.1.q"]),
    ],
)
def test_names_that_differ_in_a_number_are_told_as_one(names: list[str], told: list[str]) -> None:
    assert grouped(names) == told


def large_pt(folder: Path) -> Path:
    torch.save(large_state(), folder / "large.pt")
    return folder / "large.pt"


def large_safetensors(folder: Path) -> Path:
    save_file(large_state(), folder / "large.safetensors")
    return folder / "large.safetensors"


def large_state() -> dict[str, Tensor]:
    return {f"{index}.weight": torch.full((SIDE, SIDE), 0.5) for index in range(NUM_LAYERS)}


@pytest.mark.parametrize(
    ("write", "dtype", "largest_share"),
    [
        (large_pt, torch.float32, LARGEST_SHARE),
        (large_pt, torch.bfloat16, HALF_SHARE),
        (large_safetensors, torch.float32, LARGEST_SHARE),
        (large_safetensors, torch.bfloat16, LARGEST_SHARE),
    ],
)
def test_memory_stays_near_the_size_of_the_file(
    write: Callable[[Path], Path], dtype: torch.dtype, largest_share: float, tmp_path: Path
) -> None:
    """Every weight is read once after loading, so that no page can hide."""
    path = write(tmp_path)
    share = value_of(measure_memory.main, path, dtype) / path.stat().st_size
    print(f"{path.name} as {dtype}: peak {share:.3f} of {path.stat().st_size / 1e6:.0f} MB")
    assert share <= largest_share


def test_weights_of_the_right_precision_stay_in_the_file(tmp_path: Path) -> None:
    """Mapped, not copied: the tensor's memory is the file's."""
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.ones(4, 4), "bias": torch.zeros(4)}, path)
    with torch.device("meta"):
        network = nn.Linear(4, 4)
    assign_strictly(network, read_weights(path), str(path), torch.float32)
    maps = Path("/proc/self/maps").read_text().splitlines()
    held = [line.split()[0] for line in maps if str(path) in line]
    place = network.weight.data_ptr()
    ranges = [tuple(int(end, 16) for end in each.split("-")) for each in held]
    assert any(start <= place < end for start, end in ranges)
