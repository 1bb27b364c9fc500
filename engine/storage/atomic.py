"""Files and folders that appear whole or not at all: written under a temporary name, synced, renamed, folder synced.

Comes in: a target and its content, or a callback that writes it. Goes out: the target, complete and on the disk; where
anything fails, the older target as it was and no temporary file. A process that dies midway can leave a ``*.tmp``
beside the target; its name is random, and no reader takes it for a result. Does not know what the files mean.

Every function takes ``fsync``, so that a test can play a disk that answers differently from this machine's.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import BinaryIO

Fsync = Callable[[int], None]
"""Writes the file of a descriptor to the disk, as ``os.fsync``."""

NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What SMB and shared folders answer to the fsync of a folder: they have no such call, and nothing has failed."""

SUFFIX = ".tmp"
_SHOWN_CHARACTERS = 40


def draft_of(target: Path) -> Path:
    """A name beside the target that nobody can guess and no reader takes for a result."""
    return target.with_name(f".{target.name[:_SHOWN_CHARACTERS]}.{secrets.token_hex(8)}{SUFFIX}")


@contextlib.contextmanager
def replacing(target: Path, *, durable: bool = True, fsync: Fsync = os.fsync) -> Generator[Path]:
    """The name of a draft, for a writer that opens files by name: the target is replaced at the end of the block.

    durable: False spares the disk where a file that a power cut damages is simply made again. Raises OSError.
    """
    draft = draft_of(target)
    try:
        yield draft
        publish(draft, target, durable=durable, fsync=fsync)
    finally:
        discard(draft)


@contextlib.contextmanager
def open_replacing(target: Path, *, durable: bool = True, fsync: Fsync = os.fsync) -> Generator[BinaryIO]:
    """A new file to stream into: the target is replaced at the end of the block. Raises OSError."""
    with replacing(target, durable=durable, fsync=fsync) as draft:
        with draft.open("xb") as file:
            yield file


def write_bytes(target: Path, content: bytes, *, durable: bool = True, fsync: Fsync = os.fsync) -> None:
    """Raises OSError."""
    with open_replacing(target, durable=durable, fsync=fsync) as file:
        file.write(content)


def write_text(target: Path, text: str, *, durable: bool = True, fsync: Fsync = os.fsync) -> None:
    """UTF-8, line ends as they are. Raises OSError."""
    write_bytes(target, text.encode(), durable=durable, fsync=fsync)


def create_once(target: Path, content: bytes, *, mode: int = 0o666, fsync: Fsync = os.fsync) -> bool:
    """Makes a file that is never replaced. -> False where another process was first. Raises OSError."""
    draft = draft_of(target)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        sync_file(draft, fsync)
        return link(draft, target, fsync=fsync)
    finally:
        discard(draft)


def link(source: Path, target: Path, *, fsync: Fsync = os.fsync) -> bool:
    """A second name for a finished file of the same disk. -> False where the target is there. Raises OSError."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return False
    sync_folder(target.parent, fsync)
    return True


def publish(draft: Path, target: Path, *, durable: bool = True, fsync: Fsync = os.fsync) -> None:
    """Gives a finished file of the same disk its final name, over an older one. Raises OSError."""
    if durable:
        sync_file(draft, fsync)
    draft.replace(target)
    if durable:
        sync_folder(target.parent, fsync)


def publish_folder(draft: Path, target: Path, *, fsync: Fsync = os.fsync) -> None:
    """Gives a finished folder of plain files its final name; an older folder of that name goes. Raises OSError."""
    for path in draft.iterdir():
        sync_file(path, fsync)
    sync_folder(draft, fsync)
    if target.exists():
        shutil.rmtree(target)
    draft.rename(target)
    sync_folder(target.parent, fsync)


def sync_file(path: Path, fsync: Fsync = os.fsync) -> None:
    """Raises OSError: content that did not reach the disk is always a failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path, fsync: Fsync = os.fsync) -> None:
    """The names in a folder. Raises OSError, but not where the file system has no such call."""
    try:
        sync_file(path, fsync)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def discard(*drafts: Path) -> None:
    """Removes drafts that are still there. What cannot be removed stays as a ``*.tmp``: nobody reads it."""
    for draft in drafts:
        with contextlib.suppress(OSError):
            draft.unlink()
