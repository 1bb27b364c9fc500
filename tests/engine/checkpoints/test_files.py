"""Files of tensors, whole and damaged: what is read, and in which words the rest is refused."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.checkpoints.files import Weights, read_weights
from engine.checkpoints.jit import load_jit, read_statistics
from engine.checkpoints.known import describe_weights
from engine.contract.errors import Rejected

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}


def same(weights: Weights, state: dict[str, Tensor]) -> bool:
    return weights.keys() == state.keys() and all(torch.equal(weights[name], state[name]) for name in state)


def write_pt(path: Path) -> Path:
    torch.save(STATE, path / "x.pt")
    return path / "x.pt"


def write_with_bytes(path: Path) -> Path:
    """TransformerEngine's extra states, counters."""
    torch.save({**STATE, "a._extra_state": io.BytesIO(b"fp8"), "iteration": 3, "b._extra_state": None}, path / "x.pt")
    return path / "x.pt"


def write_safetensors(path: Path) -> Path:
    save_file(STATE, path / "x.safetensors")
    return path / "x.safetensors"


def write_misnamed(path: Path) -> Path:
    """What a file is, is known by its content."""
    save_file(STATE, path / "x.pt")
    return path / "x.pt"


def write_folder(path: Path) -> Path:
    save_file(STATE, path / "diffusion_pytorch_model.safetensors")
    return path


def write_bin_folder(path: Path) -> Path:
    torch.save(STATE, path / "pytorch_model.bin")
    return path


def write_shards(path: Path) -> Path:
    parts = {"one-00001-of-00002.safetensors": ["a.weight"], "one-00002-of-00002.safetensors": ["b"]}
    for name, keys in parts.items():
        save_file({key: STATE[key] for key in keys}, path / name)
    weight_map = {key: name for name, keys in parts.items() for key in keys}
    (path / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return path


def wrapped_in(*names: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        document: Any = STATE
        for name in reversed(names):
            document = {name: document, "epoch": 2}
        torch.save(document, path / "x.pt")
        return path / "x.pt"

    write.__name__ = "wrapped_in_" + "_".join(names)
    return write


WRITERS = [
    write_pt,
    write_with_bytes,
    write_safetensors,
    write_misnamed,
    write_folder,
    write_bin_folder,
    write_shards,
    wrapped_in("model"),
    wrapped_in("state_dict"),
    wrapped_in("module"),
    wrapped_in("model", "module"),
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_the_same_tensors_from_every_form(write: Callable[[Path], Path], tmp_path: Path) -> None:
    weights = read_weights(write(tmp_path))
    assert same(weights, STATE)
    assert weights.shapes == {"a.weight": (2, 3), "b": (4,)} and weights.num_bytes == 24 + 8
    weights.let_go()
    assert same(weights, STATE), "what was let go is read again"


def test_the_averaged_copy_is_read_on_demand(tmp_path: Path) -> None:
    doubled = {name: tensor * 2 for name, tensor in STATE.items()}
    torch.save({"model": STATE, "ema": {name.replace(".", "-"): t for name, t in doubled.items()}}, tmp_path / "p1.pt")
    both = {f"net.{n}": t for n, t in STATE.items()} | {f"net_ema.{n}": t for n, t in doubled.items()}
    torch.save(both, tmp_path / "p2.pt")
    torch.save({name: t for name, t in both.items() if "ema" in name}, tmp_path / "alone.pt")
    assert same(read_weights(tmp_path / "p1.pt"), STATE) and same(read_weights(tmp_path / "p1.pt", ema=True), doubled)
    assert sorted(read_weights(tmp_path / "p2.pt")) == ["net.a.weight", "net.b"]
    for name, ema in (("p2.pt", True), ("alone.pt", True), ("alone.pt", False)):
        assert same(read_weights(tmp_path / name, ema), {f"net_ema.{n}": t for n, t in doubled.items()})
    with pytest.raises(Rejected, match="no averaged"):
        read_weights(write_pt(tmp_path), ema=True)


def test_two_names_for_one_tensor(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="two tensors both mean x"):
        read_weights(write_pt(tmp_path)).renamed(lambda name: "x")


class Evil:
    """Unpickling this would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def code(path: Path) -> Path:
    torch.save({**STATE, "args": Evil(path / "harm")}, path / "x.pt")
    return path / "x.pt"


def code_in_a_bin(path: Path) -> Path:
    torch.save({**STATE, "args": Evil(path / "harm")}, path / "pytorch_model.bin")
    return path


def old_pickle(path: Path) -> Path:
    torch.save(STATE, path / "x.pt", _use_new_zipfile_serialization=False)
    return path / "x.pt"


def cut_pt(path: Path) -> Path:
    whole = write_pt(path)
    whole.write_bytes(whole.read_bytes()[:-300])
    return whole


def cut_safetensors(path: Path) -> Path:
    whole = write_safetensors(path)
    whole.write_bytes(whole.read_bytes()[:-4])
    return whole


def empty(path: Path) -> Path:
    (path / "x.pt").write_bytes(b"")
    return path / "x.pt"


def reserved(path: Path) -> Path:
    """As a download that had its space set aside, and no more."""
    (path / "x.pt").write_bytes(bytes(4096))
    return path / "x.pt"


def lfs_pointer(path: Path) -> Path:
    (path / "x.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n")
    return path / "x.pt"


def web_page(path: Path) -> Path:
    (path / "x.pt").write_text("<!doctype html><title>Sign in</title>")
    return path / "x.pt"


def gguf(path: Path) -> Path:
    (path / "x.gguf").write_bytes(b"GGUF" + bytes(60))
    return path / "x.gguf"


def text(path: Path) -> Path:
    (path / "x.pt").write_text("these are not weights")
    return path / "x.pt"


def torchscript(path: Path) -> Path:
    torch.jit.script(nn.Linear(2, 2)).save(str(path / "x.pt"))
    return path / "x.pt"


def other_zip(path: Path) -> Path:
    with zipfile.ZipFile(path / "x.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path / "x.pt"


def a_list(path: Path) -> Path:
    torch.save([torch.ones(2)], path / "x.pt")
    return path / "x.pt"


def no_tensors(path: Path) -> Path:
    torch.save({"optimizer": {"lr": 1.0}, "epoch": 3}, path / "x.pt")
    return path / "x.pt"


def missing_shard(path: Path) -> Path:
    write_shards(path)
    (path / "one-00002-of-00002.safetensors").unlink()
    return path


def half_a_download(path: Path) -> Path:
    missing_shard(path)
    cache = path / ".cache/huggingface/download"
    cache.mkdir(parents=True)
    (cache / "one-00002-of-00002.safetensors.abc.incomplete").write_bytes(b"half")
    return path


def shard_without_its_tensor(path: Path) -> Path:
    write_shards(path)
    save_file({"c": torch.ones(1)}, path / "one-00002-of-00002.safetensors")
    return path


def shard_elsewhere(path: Path) -> Path:
    write_shards(path)
    index = {"weight_map": {"a.weight": "../../secret.safetensors"}}
    (path / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    return path


def broken_index(path: Path) -> Path:
    (path / "model.safetensors.index.json").write_text("{")
    return path


def two_files(path: Path) -> Path:
    write_pt(path)
    write_safetensors(path)
    return path


def nothing(path: Path) -> Path:
    return path / "absent.pt"


def interrupted_file(path: Path) -> Path:
    (path / "absent.pt.incomplete").write_bytes(b"half")
    return path / "absent.pt"


def empty_folder(path: Path) -> Path:
    return path


REFUSED: list[tuple[Callable[[Path], Path], str]] = [
    (code, "Python objects .*mkdir.*refused"),
    (code_in_a_bin, "Python objects .*refused"),
    (old_pickle, "pickle of the old kind"),
    (cut_pt, "cut short"),
    (cut_safetensors, "cut short"),
    (empty, "empty"),
    (reserved, "empty, or a download"),
    (lfs_pointer, "Git LFS pointer"),
    (web_page, "web page"),
    (gguf, "GGUF"),
    (text, "neither a PyTorch nor"),
    (torchscript, "TorchScript"),
    (other_zip, "zip file, but not"),
    (a_list, "holds a list"),
    (no_tensors, "no weights in it; it holds optimizer, epoch"),
    (missing_shard, "1 of 2 parts are missing: one-00002-of-00002.safetensors"),
    (half_a_download, "parts are missing.*unfinished download: one-00002"),
    (shard_without_its_tensor, "lacks b"),
    (shard_elsewhere, "outside its own folder"),
    (broken_index, "not an index"),
    (two_files, "several files of weights"),
    (nothing, "no such file"),
    (interrupted_file, "no such file .an unfinished download"),
    (empty_folder, "no weights here"),
]


@pytest.mark.parametrize(("write", "words"), REFUSED, ids=[write.__name__ for write, _ in REFUSED])
def test_what_is_refused_and_how(write: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(Rejected, match=words) as refused:
        read_weights(path)
    print(refused.value)
    assert refused.value.code == "weights" and str(tmp_path) in str(refused.value)
    assert not (tmp_path / "harm").exists(), "nothing in a file is ever run"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nothing of the kind", "not a readable TorchScript"),
        (b"", "not a readable TorchScript"),
        (None, "no such file"),
    ],
)
def test_unreadable_torchscript(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "encoder.jit"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Rejected, match=words) as refused:
        load_jit(path, str(path), torch.float32)
    assert str(path) in str(refused.value)


def test_torchscript_cut_short(tmp_path: Path) -> None:
    path = torchscript(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Rejected, match="not a readable TorchScript"):
        load_jit(path, str(path), torch.float32)


MEAN, STD = torch.arange(8.0).reshape(4, 2), torch.ones(4, 2)


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(document, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "document",
    [
        (MEAN, STD),
        [MEAN.flatten(), STD.flatten()],
        {"mean": MEAN, "std": STD},
        torch.stack([MEAN, STD]),
        saved((MEAN, STD)),
        io.BytesIO(saved((MEAN, STD))),
    ],
    ids=["pair", "flat", "dict", "tensor", "bytes", "stream"],
)
def test_statistics_in_every_form(document: Any) -> None:
    mean, std = read_statistics(document, 4, "a file")
    assert torch.equal(mean, MEAN) and torch.equal(std, STD)


@pytest.mark.parametrize("document", [3, (MEAN,), (MEAN, torch.ones(3)), "words"])
def test_statistics_of_another_kind(document: Any) -> None:
    with pytest.raises(Rejected, match="a file: not a mean and a deviation for 4 latent channels"):
        read_statistics(document, 4, "a file")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", "Stable Diffusion"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "T5 text encoder"),
        ("decoder.block.0.layer.1.EncDecAttention.q.weight", "whole T5"),
        ("encoder.downsamples.0.residual.0.gamma", "Wan 2.1 autoencoder in its original"),
        ("encoder.down_blocks.0.norm1.gamma", "Wan 2.1 autoencoder in diffusers'"),
        ("dit.layers.0.seq_modeling_block.ssm.ttt.wq.weight", "TTT-Video"),
        ("net.blocks.0.self_attn.q_proj.lora_A.default.weight", "LoRA"),
        ("module.decoder.layers.full_self_attention.linear_qkv.weight", "DFM"),
        ("model.language_model.encoder.layers.0.mlp.weight", "Megatron language model"),
        ("decoder.layers.0.self_attention.linear_qkv.weight", "Megatron"),
        ("model.layers.0.self_attn.q_proj.weight", "language model"),
        ("net.crossattn_proj.0.weight", "Predict2.5"),
        ("net.blocks.block0.blocks.0.block.attn.to_q.0.weight", "Cosmos-Predict1"),
        ("double_blocks.0.img_attn.qkv.weight", "FLUX"),
        ("something.else", "something unknown .1 tensors: something.else .2, 2."),
    ],
)
def test_whose_a_file_is(name: str, told: str) -> None:
    import re

    assert re.search(told, describe_weights({name: (2, 2)}))
