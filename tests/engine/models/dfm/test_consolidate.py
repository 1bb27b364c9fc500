"""Joining parts: whatever the split, the same file; and what is missing, double or different is named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.contract.errors import Rejected
from engine.models.dfm.checkpoint import load_network
from engine.models.dfm.consolidate import consolidate, main
from engine.models.dfm.run_config import RunConfig
from tests.engine.models.dfm.factories import (
    MAX_FRAMES,
    MAX_IMG,
    NUM_BLOCKS,
    prefixed,
    rank_state,
    tiny_state,
    write_network,
    write_ranks,
)

CARD = RunConfig(max_frames=MAX_FRAMES, max_img_h=MAX_IMG, max_img_w=MAX_IMG)


def assert_whole(path: Path) -> None:
    """The file holds exactly the tiny model, under the original's keys, and is read as such."""
    expected = {name: tensor for name, tensor in tiny_state().items() if not name.startswith("affline_norm")}
    found = load_file(path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert load_network(path, torch.float32, CARD).config.num_blocks == NUM_BLOCKS


def refused(sources: list[Path], out: Path) -> str:
    with pytest.raises(Rejected) as caught:
        consolidate(sources, out)
    assert caught.value.code == "weights"
    assert [path.name for path in out.parent.glob(f"{out.name}*")] == [], "nothing half-written stays"
    return str(caught.value)


@pytest.mark.parametrize(("num_slices", "num_stages"), [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (2, 4)])
def test_ranks(tmp_path: Path, num_slices: int, num_stages: int) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), num_slices, num_stages)
    made = consolidate([tmp_path / "ranks"], tmp_path / "made" / "model.safetensors")
    assert len(made.parts) == num_slices * num_stages
    assert_whole(made.path)
    assert (tmp_path / "made" / "run_config.yaml").read_bytes() == (tmp_path / "ranks/run_config.yaml").read_bytes()


@pytest.mark.parametrize("form", ["iteration", "stacked", "indexed", "pth-0.module", "safetensors"])
def test_what_is_whole_already(tmp_path: Path, form: str) -> None:
    write_network(tmp_path / "network", form)
    assert_whole(consolidate([tmp_path / "network"], tmp_path / "made" / "model.safetensors").path)


def test_parts_named_one_by_one(tmp_path: Path) -> None:
    write_ranks(tmp_path, tiny_state(), 2, 1)
    sources = [tmp_path / "mp_rank_01", tmp_path / "mp_rank_00" / "model_optim_rng.pt"]
    assert_whole(consolidate(sources, tmp_path / "made.safetensors").path)


@pytest.mark.parametrize("name", ["rank_{}.safetensors", "model_rank{}.safetensors", "dit.rank-{}.safetensors"])
def test_files_with_a_rank_in_their_name(tmp_path: Path, name: str) -> None:
    paths = [tmp_path / name.format(rank) for rank in range(2)]
    for rank, path in enumerate(paths):
        save_file(rank_state(tiny_state(), rank, 2, 0, 1), path)
    assert_whole(consolidate(paths, tmp_path / "made.safetensors").path)


def test_layers_numbered_through_all_stages(tmp_path: Path) -> None:
    write_ranks(tmp_path, tiny_state(), 1, 2)
    path = tmp_path / "mp_rank_00_001" / "model_optim_rng.pt"
    stage = torch.load(path, weights_only=True)["model"]
    torch.save({"model": {_counted_on(name): tensor for name, tensor in stage.items()}}, path)
    assert_whole(consolidate([tmp_path], tmp_path / "made.safetensors").path)


def _counted_on(name: str) -> str:
    for index in (1, 0):
        name = name.replace(f"layers.{index}.", f"layers.{index + 2}.")
    return name


def halves() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    state = tiny_state()
    return {k: v for k, v in state.items() if "layers" in k}, {k: v for k, v in state.items() if "layers" not in k}


def test_parts_without_ranks_share_nothing(tmp_path: Path) -> None:
    first, second = halves()
    save_file(prefixed(first, "module."), tmp_path / "layers.safetensors")
    save_file(second, tmp_path / "others.safetensors")
    sources = [tmp_path / "layers.safetensors", tmp_path / "others.safetensors"]
    assert_whole(consolidate(sources, tmp_path / "made.safetensors").path)

    save_file(second | {"decoder.layers.3.mlp.linear_fc1.weight": torch.zeros(1)}, tmp_path / "others.safetensors")
    message = refused(sources, tmp_path / "again.safetensors")
    assert "decoder.layers.3.mlp.linear_fc1.weight is in layers.safetensors and in others.safetensors" in message


@pytest.mark.parametrize(
    ("num_slices", "num_stages", "missing", "told"),
    [
        (4, 1, "mp_rank_01", "Missing parts: mp_rank_01 (there are mp_rank_00, mp_rank_02, mp_rank_03)"),
        (2, 2, "mp_rank_00_001", "Missing parts: mp_rank_00_001"),
        (2, 1, "mp_rank_01", "mlp_width is 256 there and 128 here. Is the part of a rank missing"),
        (1, 2, "mp_rank_00_001", "missing final.weight"),
        (1, 2, "mp_rank_00_000", "Missing parts: mp_rank_00_000"),
        (1, 4, "mp_rank_00_002", "Missing parts: mp_rank_00_002"),
    ],
)
def test_a_missing_part(tmp_path: Path, num_slices: int, num_stages: int, missing: str, told: str) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), num_slices, num_stages)
    (tmp_path / "ranks" / missing / "model_optim_rng.pt").unlink()
    (tmp_path / "ranks" / missing).rmdir()
    assert told in refused([tmp_path / "ranks"], tmp_path / "made.safetensors")


def test_a_part_twice(tmp_path: Path) -> None:
    write_ranks(tmp_path, tiny_state(), 2, 1)
    message = refused([tmp_path, tmp_path / "mp_rank_01"], tmp_path / "made.safetensors")
    assert "Overlapping parts: mp_rank_01 and mp_rank_01 are the same rank" in message


def change_part(path: Path, **changes: Tensor | None) -> None:
    state = torch.load(path, weights_only=True)
    for name, tensor in changes.items():
        state["model"].pop(name)
        if tensor is not None:
            state["model"][name] = tensor
    torch.save(state, path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"module.x_embedder.bias": torch.zeros(64)}, "x_embedder.bias: mp_rank_01 differs from mp_rank_00"),
        ({"module.x_embedder.bias": None}, "Missing in mp_rank_01: x_embedder.bias"),
        ({"module.decoder.layers.2.mlp.linear_fc2.weight": torch.zeros(64, 64)}, "slices differ in size"),
    ],
)
def test_parts_of_different_checkpoints(tmp_path: Path, changes: dict[str, Tensor | None], told: str) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), 2, 1)
    change_part(tmp_path / "ranks" / "mp_rank_01" / "model_optim_rng.pt", **changes)
    assert told in refused([tmp_path / "ranks"], tmp_path / "made.safetensors")


def test_stages_that_overlap(tmp_path: Path) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), 1, 2)
    path = tmp_path / "ranks" / "mp_rank_00_001" / "model_optim_rng.pt"
    stage = torch.load(path, weights_only=True)["model"]
    torch.save({"model": {name.replace("layers.0.", "layers.2."): tensor for name, tensor in stage.items()}}, path)
    message = refused([tmp_path / "ranks"], tmp_path / "made.safetensors")
    assert "Overlapping parts: decoder.layers.1." in message and "mp_rank_00_000" in message


def test_a_part_without_a_rank_beside_ranks(tmp_path: Path) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), 2, 1)
    save_file(tiny_state(), tmp_path / "other.safetensors")
    message = refused([tmp_path / "ranks", tmp_path / "other.safetensors"], tmp_path / "made.safetensors")
    assert "other.safetensors: without a rank in the name" in message


def test_what_lies_there_is_not_overwritten(tmp_path: Path) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), 2, 1)
    out = tmp_path / "made.safetensors"
    out.write_text("precious")
    with pytest.raises(Rejected, match="there already"):
        consolidate([tmp_path / "ranks"], out)
    assert out.read_text() == "precious"
    (tmp_path / "run_config.yaml").write_text("model: {}")
    assert "another model's file" in refused([tmp_path / "ranks"], tmp_path / "other.safetensors")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), 2, 1)
    out = tmp_path / "model.safetensors"
    assert main([str(tmp_path / "ranks"), "--out", str(out)]) == 0
    assert "joined from 2 parts" in capsys.readouterr().out
    assert_whole(out)
    assert main([str(tmp_path / "absent"), "--out", str(tmp_path / "b.safetensors")]) == 1
    assert "absent: not there" in capsys.readouterr().err


def test_a_missing_last_rank_without_a_run_config(tmp_path: Path) -> None:
    path = tmp_path / "rank_0.safetensors"
    save_file(rank_state(tiny_state(), 0, 2, 0, 1), path)
    message = refused([path], tmp_path / "made.safetensors")
    assert "self_attn.qkv.weight is (96, 64), expected (192, 64)" in message and "part of a rank missing" in message


def write_shards(folder: Path) -> None:
    """``model_rank_0.pt`` ... as NeMo DFM's guide joins them: each has tensors of its own, some have a copy."""
    folder.mkdir(parents=True)
    state = tiny_state()
    shared = next(name for name in state if "norm" in name)
    for rank in range(3):
        shard = {name: tensor for index, (name, tensor) in enumerate(state.items()) if index % 3 == rank}
        torch.save({**shard, shared: state[shared]}, folder / f"model_rank_{rank}.pt")


def test_shards_whose_union_is_the_network(tmp_path: Path) -> None:
    write_shards(tmp_path / "iter_5000")
    with pytest.raises(Rejected, match="models consolidate"):
        load_network(tmp_path, torch.float32, CARD)
    assert_whole(consolidate([tmp_path], tmp_path / "made" / "model.safetensors").path)


def test_a_shard_that_is_missing_is_no_network(tmp_path: Path) -> None:
    write_shards(tmp_path / "iter_5000")
    (tmp_path / "iter_5000" / "model_rank_1.pt").unlink()
    assert "missing" in refused([tmp_path], tmp_path / "made.safetensors").lower()
