"""One way to write a file: whole or not at all, whatever the disk answers and wherever the process dies.

Comes in: folders made here, and an ``fsync`` that answers as a shared folder or a broken disk does. Goes out: failures.
Does not know what the files are for.
"""

import errno
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract.errors import Rejected
from engine.storage.atomic import (
    Fsync,
    create_once,
    draft_of,
    open_replacing,
    publish_folder,
    replacing,
    sync_folder,
    write_bytes,
    write_text,
)
from engine.storage.media import MediaStore

ROOT = Path(__file__).parents[3]
WITHOUT_FOLDER_SYNC = ["EINVAL", "ENOTSUP", "EOPNOTSUPP"]
BROKEN = ["EIO", "ENOSPC", "EDQUOT"]


def answering(name: str, to: Callable[[int], bool]) -> Fsync:
    """An fsync that fails with the named error where ``to(mode)`` holds for what is synced."""

    def fsync(descriptor: int) -> None:
        if to(os.fstat(descriptor).st_mode):
            raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
        os.fsync(descriptor)

    return fsync


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", WITHOUT_FOLDER_SYNC)
def test_a_folder_that_cannot_be_synced_is_no_failure(name: str, tmp_path: Path) -> None:
    write_text(tmp_path / "film.yaml", "böats", fsync=answering(name, stat.S_ISDIR))
    assert (tmp_path / "film.yaml").read_text(encoding="utf-8") == "böats"
    assert names(tmp_path) == ["film.yaml"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_disk_is_a_failure_of_the_folder_too(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        write_bytes(tmp_path / "film.mp4", b"new", fsync=answering(name, stat.S_ISDIR))
    assert caught.value.errno == getattr(errno, name)
    assert names(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize("name", [*WITHOUT_FOLDER_SYNC, *BROKEN])
def test_content_that_did_not_reach_the_disk_is_always_a_failure(name: str, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"older")
    with pytest.raises(OSError) as caught:
        write_bytes(tmp_path / "film.mp4", b"new", fsync=answering(name, stat.S_ISREG))
    assert caught.value.errno == getattr(errno, name)
    assert (tmp_path / "film.mp4").read_bytes() == b"older"
    assert names(tmp_path) == ["film.mp4"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system whose folders cannot be synced")
def test_a_file_system_of_this_machine_without_folder_sync() -> None:
    with pytest.raises(OSError) as caught:
        descriptor = os.open("/proc", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    assert caught.value.errno == errno.EINVAL, "else this test shows nothing"
    sync_folder(Path("/proc"))


def test_a_file_is_synced_before_its_folder(tmp_path: Path) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append("folder" if is_folder else "file")
        assert (tmp_path / "film.mp4").exists() == is_folder, "the name comes between the two"

    write_bytes(tmp_path / "film.mp4", b"new", fsync=fsync)
    assert synced == ["file", "folder"]
    write_bytes(tmp_path / "preview.webp", b"new", durable=False, fsync=fsync)
    assert synced == ["file", "folder"]


def test_an_error_of_the_writer_leaves_the_older_file(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"older")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "film.mp4") as draft:
        draft.write_bytes(b"half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), open_replacing(tmp_path / "film.mp4") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "film.mp4").read_bytes() == b"older"
    assert names(tmp_path) == ["film.mp4"]


def test_drafts_have_names_that_cannot_be_guessed_and_always_fit(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 120 + ".mp4")
    drafts = {draft_of(target) for _ in range(100)}
    assert len(drafts) == 100
    assert all(draft.parent == tmp_path and draft.name.endswith(".tmp") for draft in drafts)
    write_bytes(target, b"film")
    assert names(tmp_path) == [target.name]


def test_a_file_that_is_made_once_is_never_replaced(tmp_path: Path) -> None:
    assert create_once(tmp_path / "token", b"first", mode=0o600)
    assert not create_once(tmp_path / "token", b"second", mode=0o600)
    assert (tmp_path / "token").read_bytes() == b"first"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["token"]


def test_a_folder_appears_whole_and_replaces_an_older_one(tmp_path: Path) -> None:
    draft, final = tmp_path / ".take.tmp", tmp_path / "take"
    for folder, content in ((draft, "new"), (final, "older")):
        folder.mkdir()
        (folder / "take.json").write_text(content)
    (final / "left over").write_text("older")
    publish_folder(draft, final, fsync=answering("EINVAL", stat.S_ISDIR))
    assert names(tmp_path) == ["take"] and names(final) == ["take.json"]
    assert (final / "take.json").read_text() == "new"


@pytest.mark.parametrize("name", WITHOUT_FOLDER_SYNC)
def test_media_are_stored_in_a_shared_folder(name: str, tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "media", fsync=answering(name, stat.S_ISDIR))
    (tmp_path / "take.mp4").write_bytes(b"take")
    assert store.has(store.put_stream([b"pict", b"ure"]))
    assert store.has(store.adopt(tmp_path / "take.mp4"))


def test_a_disk_that_breaks_keeps_no_media(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "media", fsync=answering("EIO", stat.S_ISREG))
    with pytest.raises(OSError):
        store.put_stream([b"picture"])
    with pytest.raises(Rejected):
        store.put_stream([b"picture"], expected_sha="0" * 64)
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


DYING = """
import os, sys
from pathlib import Path
from engine.storage.atomic import open_replacing

target, death = Path(sys.argv[1]), sys.argv[2]
count = 0

def fsync(descriptor):
    global count
    count += 1
    if death == f"at sync {count}":
        os._exit(9)
    os.fsync(descriptor)

with open_replacing(target, fsync=fsync) as file:
    file.write(b"new " * 100)
    file.flush()
    if death == "while writing":
        os._exit(9)
    file.write(b"end")
os._exit(9)
"""
NEW = b"new " * 100 + b"end"
DEATHS = {"while writing": b"older", "at sync 1": b"older", "at sync 2": NEW, "after all": NEW}


@pytest.mark.parametrize("death", DEATHS)
def test_a_process_that_dies_leaves_one_whole_file(death: str, tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    target.write_bytes(b"older")
    command = [sys.executable, "-c", DYING, str(target), death]
    assert subprocess.run(command, cwd=ROOT, timeout=60).returncode == 9
    assert target.read_bytes() == DEATHS[death]
    leftovers = [name for name in names(tmp_path) if name != "film.mp4"]
    assert len(leftovers) == (DEATHS[death] == b"older")
    assert all(name.startswith(".") and name.endswith(".tmp") for name in leftovers)
    write_bytes(target, b"the next")
    assert target.read_bytes() == b"the next", "a leftover is in nobody's way"


def test_a_leftover_of_a_dead_process_is_no_media(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "media")
    sha256 = store.put_stream([b"picture"])
    draft_of(store.path(sha256)).write_bytes(b"pict")
    draft_of(store.folder / "stream").write_bytes(b"pict")
    assert store.path(sha256).read_bytes() == b"picture"
    assert store.put_stream([b"picture"]) == sha256


BY_HAND = re.compile(r"os\.(fsync|replace|rename|link)\(|\.(rename|hardlink_to)\(|(?<!dataclasses)\.replace\([^,()]+\)")
ALLOWED = {
    "engine/storage/atomic.py": "this is the one place",
    "engine/service/takes.py": "moves a damaged take aside",
    "studio/downloads/hub.py": "moves what has arrived whole",
}


def test_nobody_else_renames_by_hand() -> None:
    sources = [path for room in ("studio", "engine", "tools") for path in (ROOT / room).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if BY_HAND.search(path.read_text())}
    assert found == set(ALLOWED)
