"""Which TCP addresses a process listens on, from ``/proc`` (Linux)."""

import ipaddress
import os
from pathlib import Path

LISTEN = "0A"


def listeners(pids: list[int]) -> dict[tuple[str, int], int]:
    """(address, port) -> process id, of all sockets on which these processes listen."""
    owners = {inode: pid for pid in pids for inode in _sockets(pid)}
    found: dict[tuple[str, int], int] = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            local, state, inode = (line.split()[column] for column in (1, 3, 9))
            if state == LISTEN and inode in owners:
                found[_address(local)] = owners[inode]
    return found


def _sockets(pid: int) -> list[str]:
    links: list[str] = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    except OSError:  # it ended meanwhile
        pass
    return [link[len("socket:[") : -1] for link in links if link.startswith("socket:[")]


def _address(field: str) -> tuple[str, int]:
    """``0100007F:A3CB`` -> ("127.0.0.1", 41931); words of four bytes are in the machine's order."""
    host, port = field.split(":")
    words = [bytes.fromhex(host[start : start + 8])[::-1] for start in range(0, len(host), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)
