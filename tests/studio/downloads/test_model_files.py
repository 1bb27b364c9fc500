"""Models on disk: what is here, whether it fits, and bringing it from a hub that is gated, cut off, or not there."""

import fcntl
import hashlib
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract.card_values import Part
from engine.contract.errors import Rejected
from engine.storage.card_files import find_part
from engine.storage.workspace import Workspace
from studio.downloads.files import (
    Gpu,
    Machine,
    files_of,
    fit,
    gigabytes,
    gpus_in,
    memory_in,
    needed_bytes,
    part_files,
)
from studio.downloads.hub import INCOMING, Hub, token_of
from studio.planning.presets import load_cards
from tests.studio.downloads.fake_hub import COMMIT, NEWEST, FakeHub, running

REPOSITORY = "maker/model"
BIG = bytes(range(256)) * 1024 * 96
"""24 MiB: the hub's library writes 10 MiB at a time."""
INDEX = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
FILES = {
    "model.pt": b"weights" * 1000,
    "config.json": b"{}",
    "transformer/model.safetensors.index.json": json.dumps(INDEX).encode(),
    "transformer/model-1-of-2.safetensors": b"one" * 1000,
    "transformer/model-2-of-2.safetensors": b"two" * 1000,
}


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running(FakeHub({REPOSITORY: dict(FILES)})) as server:
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def part(*paths: str, fetch: tuple[str, ...] = (), revision: str = COMMIT[:7], gated: bool = False) -> Part:
    return Part(folder="maker/model", paths=paths, repository=REPOSITORY, revision=revision, fetch=fetch, gated=gated)


def client(hub: FakeHub, root: Path, workspace: Workspace) -> Hub:
    return Hub(root, workspace, hub.url)


@pytest.mark.parametrize(
    ("revision", "commit"),
    [(COMMIT, COMMIT), (COMMIT[:7], COMMIT), ("main", COMMIT), (NEWEST[:7], NEWEST), ("", NEWEST)],
)
def test_a_file_arrives_whole_from_the_pinned_revision(
    revision: str, commit: str, hub: FakeHub, root: Path, workspace: Workspace
) -> None:
    wanted = part("model.pt", revision=revision)
    client(hub, root, workspace).fetch("network", wanted)
    assert find_part(wanted, root).read_bytes() == FILES["model.pt"]
    assert sorted(path.name for path in (root / "maker/model").iterdir()) == ["model.pt"]
    assert not list((root / INCOMING).rglob("*.*"))
    assert commit in hub.got("model.pt")[0].path


@pytest.mark.parametrize("fetch", [("transformer/*", "config.json"), ("transformer", "config.json")])
def test_patterns_bring_whole_folders(fetch: tuple[str, ...], hub: FakeHub, root: Path, workspace: Workspace) -> None:
    wanted = part("transformer", fetch=fetch)
    client(hub, root, workspace).fetch("network", wanted)
    found = part_files("network", wanted, root)
    assert found.place == root / "maker/model/transformer"
    assert found.num_bytes == sum(len(content) for name, content in FILES.items() if name.startswith("transformer"))
    assert (root / "maker/model/config.json").read_bytes() == b"{}"
    assert not (root / "maker/model/model.pt").exists()


def test_files_beside_what_is_here_are_added(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    (root / "maker/model/transformer").mkdir(parents=True)
    (root / "maker/model/transformer/own.txt").write_text("mine")
    client(hub, root, workspace).fetch("network", part("transformer"))
    assert len(list((root / "maker/model/transformer").iterdir())) == 4


@pytest.mark.parametrize(
    ("name", "missing"), [("model-2-of-2.safetensors", "model-2-of-2"), ("model-1-of-2.safetensors", "model-1-of-2")]
)
def test_a_sharded_part_is_here_when_every_shard_is(
    name: str, missing: str, hub: FakeHub, root: Path, workspace: Workspace
) -> None:
    wanted = part("transformer")
    client(hub, root, workspace).fetch("network", wanted)
    (root / "maker/model/transformer" / name).unlink()
    found = part_files("network", wanted, root)
    assert found.place is None and missing in found.reason and found.reason.startswith("not in")
    client(hub, root, workspace).fetch("network", wanted)
    assert part_files("network", wanted, root).place is not None


@pytest.mark.parametrize("index", [b"[1]", b"{", b"{}", b'{"weight_map": 3}'])
def test_an_index_that_cannot_be_read_is_said(index: bytes, root: Path) -> None:
    folder = root / "maker/model/transformer"
    folder.mkdir(parents=True)
    (folder / "x.index.json").write_bytes(index)
    found = part_files("network", part("transformer"), root)
    assert found.place is None and "cannot be read" in found.reason


def test_a_cut_line_is_taken_up_again_by_itself(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    hub.repositories[REPOSITORY]["big.pt"] = BIG
    hub.cut_after = 15 * 2**20
    client(hub, root, workspace).fetch("network", part("big.pt"))
    assert (root / "maker/model/big.pt").read_bytes() == BIG
    assert [each.range for each in hub.got("big.pt")] == ["", f"bytes={10 * 2**20}-"]


def test_half_a_download_is_no_part_and_the_next_try_goes_on(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    hub.repositories[REPOSITORY]["big.pt"] = BIG
    hub.cut_after, hub.down_after_cut = 15 * 2**20, True
    wanted = part("big.pt", fetch=("config.json", "big.pt"))
    with pytest.raises(Rejected, match="what has arrived is kept"):
        client(hub, root, workspace).fetch("network", wanted)
    assert part_files("network", wanted, root).place is None
    halves = [path for path in (root / INCOMING).rglob("big.pt*") if path.is_file()]
    assert [path.suffix for path in halves] == [".incomplete"] and halves[0].stat().st_size == 10 * 2**20
    hub.down = False
    client(hub, root, workspace).fetch("network", wanted)
    assert (root / "maker/model/big.pt").read_bytes() == BIG
    assert hub.got("big.pt")[-1].range == f"bytes={10 * 2**20}-"
    assert len(hub.got("config.json")) == 1


def test_what_arrives_damaged_is_removed(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    hub.wrong_bytes = b"x" * len(FILES["model.pt"])
    with pytest.raises(Rejected, match="arrived damaged and was removed"):
        client(hub, root, workspace).fetch("network", part("model.pt"))
    hub.wrong_bytes = b""
    client(hub, root, workspace).fetch("network", part("model.pt"))
    assert (root / "maker/model/model.pt").read_bytes() == FILES["model.pt"]


def test_a_file_longer_than_it_should_be_is_begun_anew(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    etag = hashlib.sha256(FILES["model.pt"]).hexdigest()
    half = root / INCOMING / "maker/model" / f"network-{COMMIT[:12]}" / f"model.pt.{etag[:16]}.incomplete"
    half.parent.mkdir(parents=True)
    half.write_bytes(FILES["model.pt"] * 2)
    client(hub, root, workspace).fetch("network", part("model.pt"))
    assert (root / "maker/model/model.pt").read_bytes() == FILES["model.pt"]


def test_two_at_once_do_not_write_one_file(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    etag = hashlib.sha256(FILES["model.pt"]).hexdigest()
    half = root / INCOMING / "maker/model" / f"network-{COMMIT[:12]}" / f"model.pt.{etag[:16]}.incomplete"
    half.parent.mkdir(parents=True)
    with half.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Rejected, match="another process is bringing it"):
            client(hub, root, workspace).fetch("network", part("model.pt"))
    client(hub, root, workspace).fetch("network", part("model.pt"))


def test_a_gated_repository_without_a_token(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    hub.gated = {REPOSITORY}
    with pytest.raises(Rejected) as caught:
        client(hub, root, workspace).fetch("network", part("model.pt", gated=True))
    said = str(caught.value)
    assert "https://huggingface.co/maker/model is gated, and there is no token here" in said
    assert "accept its licence" in said and "HF_TOKEN" in said and str(workspace.root / "hf_token") in said


def test_a_gated_repository_with_tokens(
    hub: FakeHub,
    root: Path,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.gated = {REPOSITORY}
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_secret")
    with pytest.raises(Rejected, match="the token that is used here has no access") as caught:
        client(hub, root, workspace).fetch("network", part("model.pt", gated=True))
    monkeypatch.delenv("HF_TOKEN")
    (workspace.root / "hf_token").touch(mode=0o600)
    (workspace.root / "hf_token").write_text("hf_right\n")
    client(hub, root, workspace).fetch("network", part("model.pt", gated=True))
    assert (root / "maker/model/model.pt").read_bytes() == FILES["model.pt"]
    shown = capfd.readouterr()
    everything = f"{caught.value}{caught.value.__cause__}{shown.out}{shown.err}{caplog.text}"
    assert "hf_wrong_secret" not in everything and "hf_right" not in everything


def test_a_token_that_others_may_read_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workspace.root / "hf_token"
    path.write_text("hf_right")
    path.chmod(0o644)
    with pytest.raises(Rejected, match="chmod 600"):
        token_of(workspace)
    path.chmod(0o600)
    assert token_of(workspace) == "hf_right"
    monkeypatch.setenv("HF_TOKEN", " hf_other ")
    assert token_of(workspace) == "hf_other"


def test_a_token_goes_to_the_hub_alone(
    hub: FakeHub, root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    hub.elsewhere, hub.gated = True, {REPOSITORY}
    client(hub, root, workspace).fetch("network", part("model.pt"))
    assert (root / "maker/model/model.pt").read_bytes() == FILES["model.pt"]
    at_storage = [each for each in hub.asked if each.path.startswith("/storage")]
    assert at_storage and {each.authorization for each in at_storage} == {""}
    assert {each.host for each in at_storage} == {f"localhost:{hub.port}"}


def test_without_a_network_the_files_and_their_place_are_named(root: Path, workspace: Workspace) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(Rejected) as caught:
        Hub(root, workspace, address).fetch("network", part("model.pt", "transformer"))
    said = str(caught.value)
    assert f"{address} cannot be reached" in said and "model.pt" in said and str(root / "maker/model") in said
    assert f"https://huggingface.co/maker/model/tree/{COMMIT[:7]}" in said


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (part("nothing.pt"), "has no nothing.pt"),
        (part("model.pt", revision="abcdef0"), "has no commit abcdef0"),
        (part("model.pt", revision="a" * 40), f"has no revision {'a' * 40}"),
        (part("model.pt").model_copy(update={"repository": "maker/gone"}), "is not there (any more)"),
        (part("model.pt").model_copy(update={"repository": "maker/gone", "gated": True}), "is gated"),
        (part("model.pt").model_copy(update={"repository": ""}), "is published nowhere. Put your own (model.pt)"),
    ],
)
def test_what_the_hub_does_not_have_is_said(
    wanted: Part, words: str, hub: FakeHub, root: Path, workspace: Workspace
) -> None:
    with pytest.raises(Rejected) as caught:
        client(hub, root, workspace).fetch("network", wanted)
    assert words in str(caught.value) and str(root / "maker/model") in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_name_that_leads_outside_is_refused(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    hub.repositories[REPOSITORY]["../../evil.pt"] = b"x"
    with pytest.raises(Rejected, match="names a file outside of itself"):
        client(hub, root, workspace).fetch("network", part("x", fetch=("../../*",)))


def test_a_hub_that_is_down_is_said(hub: FakeHub, root: Path, workspace: Workspace) -> None:
    hub.down = True
    with pytest.raises(Rejected, match="answered 503.*again later"):
        client(hub, root, workspace).fetch("network", part("model.pt"))


def test_memory_and_gpus_are_read_from_what_the_machine_says() -> None:
    assert memory_in("MemTotal:       32000000 kB\nMemFree: 1 kB\n") == 32000000 * 1024
    assert memory_in("nothing") == 0
    said = "NVIDIA H200, 143771\nNVIDIA RTX, Ti, 100\nNo devices were found\n"
    assert gpus_in(said) == (Gpu("NVIDIA H200", 143771 * 2**20), Gpu("NVIDIA RTX, Ti", 100 * 2**20))


def test_whether_a_model_fits() -> None:
    card = load_cards()["diorama"]
    needed, source = needed_bytes(card)
    assert needed == int(card.network.num_parameters * 4 * 1.25) and source == "an estimate"
    gpu = Machine(0, (Gpu("small", 10), Gpu("H200", 150 * 10**9)))
    assert fit(card, gpu) == "fits on the GPU: needs 28 MB (an estimate), H200 has 150 GB"
    assert fit(card, Machine(0, (Gpu("small", 10),))).startswith("does not fit on the GPU")
    assert fit(card, Machine(2**30, ())).startswith("fits in memory, without a GPU: needs 28 MB")
    assert fit(card, Machine(10, ())).startswith("does not fit in memory")
    assert fit(card, Machine(0, ())).endswith("this machine does not say what it has")


@pytest.mark.parametrize(
    ("num_bytes", "words"), [(1, "1 MB"), (310_400_000, "310 MB"), (5_240_000_000, "5.2 GB"), (28_400_000_000, "28 GB")]
)
def test_sizes_in_words(num_bytes: int, words: str) -> None:
    assert gigabytes(num_bytes) == words


def test_the_bundled_model_is_here() -> None:
    files = files_of(load_cards()["diorama"], Path(__file__).parents[3])
    assert not files.missing and files.download_bytes == 0


def test_an_empty_or_half_filled_folder_is_no_part(root: Path) -> None:
    wanted = part(".", fetch=("encoder.jit", "decoder.jit", "*.json"))
    folder = root / "maker/model"
    folder.mkdir(parents=True)
    assert part_files("autoencoder", wanted, root).reason == f"not in {folder}: encoder.jit, decoder.jit"
    assert part_files("autoencoder", part("."), root).reason.endswith(": a checkpoint")
    (folder / "encoder.jit").write_bytes(b"x")
    assert part_files("autoencoder", wanted, root).reason.endswith(": decoder.jit")
    (folder / "decoder.jit").write_bytes(b"x")
    assert part_files("autoencoder", wanted, root).place == folder


def test_another_layout_in_the_folder_is_a_part_too(root: Path) -> None:
    folder = root / "maker/model"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x")
    assert part_files("text_encoder", part(".", fetch=("pytorch_model.bin",)), root).place == folder


def published_parts() -> dict[Part, str]:
    cards = load_cards().values()
    return {part: name for card in cards for name, part in card.parts.all().items() if part.repository}


def names_like(part: Part) -> list[str]:
    """Files that a repository would hold for a part to be whole."""
    wanted = part.fetch or part.paths[:1]
    return [f"{name}/model.safetensors" if "." not in name else name.replace("*", "model") for name in wanted]


def test_every_published_part_of_the_cards_can_be_brought(root: Path, workspace: Workspace) -> None:
    parts = published_parts()
    files: dict[str, dict[str, bytes]] = {}
    for wanted in parts:
        files.setdefault(wanted.repository, {}).update({name: b"x" for name in names_like(wanted)})
    commits = tuple(sorted({wanted.revision.ljust(40, "0") for wanted in parts if wanted.revision}))
    with running(FakeHub(files, commits=commits)) as hub:
        for wanted, name in parts.items():
            client(hub, root, workspace).fetch(name, wanted)
            assert part_files(name, wanted, root).place == find_part(wanted, root), wanted


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!doctype html>", "web page"),
        (b"\xff\x00\x00\x00\x00\x00\x00\x00{", "cut short"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}", ""),
        (b"PK\x03\x04", ""),
    ],
)
def test_here_is_what_may_be_weights(root: Path, content: bytes, problem: str) -> None:
    wanted = part("model.safetensors")
    place = root / wanted.folder / "model.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    files = part_files("network", wanted, root)
    assert (files.place is None) == bool(problem) and problem in files.reason
