"""A small hub on this machine: a real HTTP server that answers what huggingface_hub asks, and can misbehave.

Comes in: repositories as files by name. Goes out: an address, and what was asked of it. Does not know model cards.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEWEST = "f" * 40
"""A later commit than the one that cards pin; "main" is pinned here."""
LARGE_BYTES = 1000
"""From here on a file is named by its SHA-256, as the hub's large files are."""


@dataclass(slots=True)
class Asked:
    method: str
    path: str
    range: str
    authorization: str
    host: str


@dataclass(slots=True)
class FakeHub:
    """``gated``: repositories that want ``token``. ``cut_after``: bytes of a GET after which the line is cut, once.

    ``down_after_cut``: it then answers 503. ``wrong_bytes``: sent instead of a file's. ``elsewhere``: large files are
    sent from another host, as the hub's storage does.
    """

    repositories: dict[str, dict[str, bytes]]
    gated: set[str] = field(default_factory=set[str])
    token: str = "hf_right"
    cut_after: int = 0
    down_after_cut: bool = False
    down: bool = False
    wrong_bytes: bytes = b""
    elsewhere: bool = False
    commits: tuple[str, ...] = (COMMIT,)
    """Older than the newest."""
    asked: list[Asked] = field(default_factory=list[Asked])
    url: str = ""
    port: int = 0

    def got(self, name: str) -> list[Asked]:
        """GETs of a file's content."""
        return [each for each in self.asked if each.method == "GET" and each.path.endswith(f"/{name}")]


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    hub.url = f"http://127.0.0.1:{hub.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        words = {name: self.headers.get(name, "") for name in ("Range", "Authorization", "Host")}
        self.state.asked.append(Asked(self.command, path, words["Range"], words["Authorization"], words["Host"]))
        parts = path.strip("/").split("/")
        if self.state.down:
            self._say(503)
        elif parts[:2] == ["api", "models"]:
            self._tell("/".join(parts[2:4]), parts[4:])
        elif parts[0] == "storage":
            self._send_file("/".join(parts[1:3]), "/".join(parts[3:]))
        else:
            self._resolve("/".join(parts[:2]), parts[3] if len(parts) > 3 else "", "/".join(parts[4:]))

    def _tell(self, repository: str, rest: list[str]) -> None:
        files = self.state.repositories.get(repository)
        if files is None:
            self._say(401, {"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["commits"]:
            one = {"authors": [], "date": "2025-06-01T00:00:00.000Z", "title": "", "message": ""}
            commits = [{"id": commit, **one} for commit in (NEWEST, *self.state.commits)]
            self._say(200, body=json.dumps(commits).encode())
        elif rest[:1] == ["revision"] and rest[1] not in (*self.state.commits, NEWEST, "main"):
            self._say(404, {"X-Error-Code": "RevisionNotFound"})
        else:
            newest = COMMIT if rest else NEWEST
            siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
            self._say(200, body=json.dumps({"id": repository, "sha": newest, "siblings": siblings}).encode())

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        authorization = self.headers.get("Authorization", "")
        if repository in self.state.gated and authorization != f"Bearer {self.state.token}":
            self._say(403 if authorization else 401, {"X-Error-Code": "GatedRepo"})
        elif revision not in (*self.state.commits, NEWEST, "main"):
            self._say(404, {"X-Error-Code": "RevisionNotFound"})
        elif name not in self.state.repositories.get(repository, {}):
            self._say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        elif self.state.elsewhere and len(self.state.repositories[repository][name]) >= LARGE_BYTES:
            content = self.state.repositories[repository][name]
            place = f"http://localhost:{self.state.port}/storage/{repository}/{name}"
            about = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{_etag(content)}"',
                "X-Linked-Size": str(len(content)),
            }
            self._say(302, {"Location": place, **about})
        else:
            self._send_file(repository, name)

    def _send_file(self, repository: str, name: str) -> None:
        content = self.state.repositories[repository][name]
        about = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        sent = self.state.wrong_bytes or content
        asked = self.headers.get("Range", "")
        first = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if asked:
            about["Content-Range"] = f"bytes {first}-{len(sent) - 1}/{len(sent)}"
        self._say(206 if asked else 200, about, sent[first:])

    def _say(self, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.state.cut_after
        if cut and len(body) > cut:
            self.state.cut_after = 0
            self.state.down = self.state.down_after_cut
            self.wfile.write(body[:cut])
            self.close_connection = True
            return
        self.wfile.write(body)


def _etag(content: bytes) -> str:
    if len(content) >= LARGE_BYTES:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
