"""Torch distributed-checkpoint folders: read whole and exactly, and nothing in them is run."""

import pickle
import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import MetadataIndex

from engine.checkpoints.assign import assign_strictly
from engine.checkpoints.dcp import METADATA_NAME, is_dcp, read_dcp
from engine.contract.errors import Rejected
from engine.contract.jobs import SamplerSettings


def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "a.weight": torch.randn(4, 6, generator=generator),
        "a.bias": torch.randn(4, generator=generator).bfloat16(),
        "count": torch.tensor(7),
    }


def save(folder: Path, entries: dict[str, object]) -> Path:
    dcp.save(entries, checkpoint_id=folder, no_dist=True)
    return folder


def rewrite(folder: Path, change: object) -> None:
    """Changes the index, which torch's own reader reads here: these are our own files."""
    metadata = dcp.FileSystemReader(folder).read_metadata()
    change(metadata)  # pyright: ignore
    (folder / METADATA_NAME).write_bytes(pickle.dumps(metadata))


def test_read_exactly_and_lazily(tmp_path: Path) -> None:
    folder = save(tmp_path / "step-5", dict(state()))
    weights = read_dcp(folder)
    assert is_dcp(folder) and not is_dcp(tmp_path)
    assert weights.shapes == {"a.weight": (4, 6), "a.bias": (4,), "count": ()}
    assert weights.num_bytes == 4 * 6 * 4 + 4 * 2 + 8
    for name, tensor in state().items():
        assert weights[name].dtype == tensor.dtype and torch.equal(weights[name], tensor)


def test_only_wanted_tensors_are_looked_for(tmp_path: Path) -> None:
    """Optimizer entries and objects beside the weights are never opened, not even where their bytes are no good."""
    optimizer = {"state": {"a.weight": {"exp_avg": torch.ones(4, 6)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 1)}]}
    extra = {"model": state(), "optimizer": optimizer, "note": OrderedDict(a=1), "model.a._extra_state": b"never read"}
    folder = save(tmp_path / "nested", extra)

    def damage(metadata: object) -> None:
        for index, info in metadata.storage_data.items():  # pyright: ignore
            if not index.fqn.startswith("model.") or index.fqn.endswith("_extra_state"):
                info.relative_path = "__9_9.distcp"

    rewrite(folder, damage)
    weights = read_dcp(folder, lambda name: name.removeprefix("model.") if name.startswith("model.") else None)
    assert set(weights) == set(state())
    with pytest.raises(Rejected, match="__9_9.distcp"):
        read_dcp(folder)


def test_pieces_of_several_ranks_are_one_tensor(tmp_path: Path) -> None:
    """As two ranks write a tensor whose rows they share, in files of their own."""
    folder, whole = save(tmp_path / "both", {"w": torch.zeros(5, 3)}), torch.randn(5, 3)
    for rank, rows in enumerate((whole[:3], whole[3:])):
        torch.save(rows.clone(), folder / f"__{rank}_0.distcp")

    def split(metadata: object) -> None:
        about, (info,) = metadata.state_dict_metadata["w"], metadata.storage_data.values()  # pyright: ignore
        chunk = about.chunks[0]
        about.chunks, metadata.storage_data = [], {}  # pyright: ignore
        for rank, (start, rows) in enumerate(((0, 3), (3, 2))):
            offsets, name = torch.Size((start, 0)), f"__{rank}_0.distcp"
            about.chunks.append(type(chunk)(offsets, torch.Size((rows, 3))))
            place = type(info)(name, 0, (folder / name).stat().st_size)
            metadata.storage_data[MetadataIndex("w", offsets, rank)] = place  # pyright: ignore

    rewrite(folder, split)
    assert torch.equal(read_dcp(folder)["w"], whole)
    (folder / "__1_0.distcp").unlink()
    with pytest.raises(Rejected, match="1 of 2 files are missing: __1_0.distcp"):
        read_dcp(folder)

    def lose(metadata: object) -> None:
        metadata.state_dict_metadata["w"].chunks.pop()  # pyright: ignore

    rewrite(folder, lose)
    with pytest.raises(Rejected, match="hold 9 of the 15 elements of w"):
        read_dcp(folder)


def test_renamed_and_assigned(tmp_path: Path) -> None:
    layer = nn.Linear(6, 4)
    folder = save(tmp_path / "net", {f"net.{name}": tensor.detach() for name, tensor in layer.state_dict().items()})
    with torch.device("meta"):
        network = nn.Linear(6, 4)
    weights = read_dcp(folder).renamed(lambda name: name.removeprefix("net."))
    assign_strictly(network, weights, weights.source, torch.bfloat16)
    assert torch.equal(network.weight, layer.weight.bfloat16())
    with pytest.raises(Rejected, match="both mean x"):
        read_dcp(folder, lambda name: "x")


class Planted:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path(__file__).with_name("planted"),))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is damaged"),
        (b"not a pickle", "is damaged"),
        (pickle.dumps({"a": 1}), "not the index of a checkpoint"),
        (pickle.dumps(Planted()), "names .*(builtins.getattr|Path)"),
        (pickle.dumps(SamplerSettings), "names engine.contract.jobs.SamplerSettings"),
        (pickle.dumps(torch.ones(1)), "names torch._utils._rebuild_tensor_v2"),
    ],
    ids=["empty", "no pickle", "no index", "code", "our class", "a tensor"],
)
def test_an_index_of_another_kind_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "net", dict(state()))
    (folder / METADATA_NAME).write_bytes(content)
    with pytest.raises(Rejected, match=told) as caught:
        read_dcp(folder)
    assert caught.value.code == "weights"
    assert not Path(__file__).with_name("planted").exists(), "nothing in an index is run"


def test_what_can_be_wrong_with_the_files(tmp_path: Path) -> None:
    folder = save(tmp_path / "net", dict(state()))
    with pytest.raises(Rejected, match="no .metadata .no such folder"):
        read_dcp(tmp_path / "elsewhere")
    shard = next(folder.glob("*.distcp"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-200])
    with pytest.raises(Rejected, match=f"{shard.name}: cut short"):
        read_dcp(folder)
    shard.write_bytes(b"\0" * len(content))
    with pytest.raises(Rejected, match="cannot be read"):
        read_dcp(folder)["a.weight"]
    shard.unlink()
    with pytest.raises(Rejected, match=f"1 of 1 files are missing: {shard.name}"):
        read_dcp(folder)
    (folder / METADATA_NAME).unlink()
    with pytest.raises(Rejected, match="not a torch distributed checkpoint"):
        read_dcp(folder)


def test_files_outside_the_folder_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "net", dict(state()))
    shutil.copy(next(folder.glob("*.distcp")), tmp_path / "other.distcp")

    def point_outside(metadata: object) -> None:
        for info in metadata.storage_data.values():  # pyright: ignore
            info.relative_path = "../other.distcp"

    rewrite(folder, point_outside)
    with pytest.raises(Rejected, match="outside its own folder"):
        read_dcp(folder)


def test_a_piece_that_is_not_what_the_index_says(tmp_path: Path) -> None:
    folder = save(tmp_path / "net", {"w": torch.zeros(2, 3)})
    shard = next(folder.glob("*.distcp"))
    torch.save(torch.zeros(3, 2), shard)

    def fit(metadata: object) -> None:
        for info in metadata.storage_data.values():  # pyright: ignore
            info.length = shard.stat().st_size

    rewrite(folder, fit)
    with pytest.raises(Rejected, match="w is not what the index says"):
        read_dcp(folder)["w"]
