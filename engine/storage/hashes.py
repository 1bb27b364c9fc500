"""SHA-256 of big files, computed once: remembered while a file's size and time of change stay.

Comes in: paths. Goes out: hashes. Does not know what the files mean. Thread-safe; several processes may share a memory.
"""

import contextlib
import hashlib
import threading
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from engine.contract.values import Sha256
from engine.storage import atomic

_KNOWN = TypeAdapter(dict[str, tuple[int, int, str]])


class FileHashes:
    """``memory``: a file in which hashes outlive the process; None: they do not."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._known: dict[str, tuple[int, int, str]] = self._read_memory()
        self._lock = threading.Lock()

    def __call__(self, path: Path) -> Sha256:
        """Raises OSError."""
        key, stat = str(path.resolve()), path.stat()
        with self._lock:
            size, changed_ns, value = self._known.get(key, (-1, 0, ""))
            if (size, changed_ns) != (stat.st_size, stat.st_mtime_ns):
                with path.open("rb") as file:
                    value = hashlib.file_digest(file, "sha256").hexdigest()
                self._known = {**self._read_memory(), **self._known, key: (stat.st_size, stat.st_mtime_ns, value)}
                self._write_memory()
        return value

    def is_known(self, path: Path) -> bool:
        """Whether the hash of a file is remembered, so that it is answered without reading the file. Raises OSError."""
        key, stat = str(path.resolve()), path.stat()
        with self._lock:
            return self._known.get(key, (-1, 0, ""))[:2] == (stat.st_size, stat.st_mtime_ns)

    def _read_memory(self) -> dict[str, tuple[int, int, str]]:
        try:
            return _KNOWN.validate_json(self._memory.read_bytes()) if self._memory else {}
        except (OSError, ValidationError):
            return {}

    def _write_memory(self) -> None:
        if self._memory is None:
            return
        with contextlib.suppress(OSError):  # what cannot be remembered is computed again
            atomic.write_bytes(self._memory, _KNOWN.dump_json(self._known))
