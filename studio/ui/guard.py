"""At the door: which requests are answered at all.

A page on another site must not be able to press our buttons through a visitor's browser, nor reach a studio on this
machine by giving its own name this machine's address. Comes in: every HTTP request. Goes out: the request, or a refusal
that says why. Does not know users: a studio on a network belongs behind a proxy that does.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "testserver"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """``loopback_only``: the studio listens on this machine alone, so that no other name may be used for it."""

    def __init__(self, app: ASGIApp, loopback_only: bool, max_body_bytes: int) -> None:
        self.app = app
        self.loopback_only = loopback_only
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.loopback_only and _name(host) not in LOOPBACK:
            return PlainTextResponse("This studio answers on this machine only.", status_code=421)
        if scope["method"] in _READING:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc not in (host, headers.get("x-forwarded-host")):
            return PlainTextResponse("Another site may not change anything here.", status_code=403)
        stated = headers.get("content-length", "")
        if not stated.isdigit() and "transfer-encoding" in headers:
            return PlainTextResponse("Say how long the file is (Content-Length).", status_code=411)
        if stated.isdigit() and int(stated) > self.max_body_bytes:
            limit = self.max_body_bytes // (1024 * 1024)
            text = f"The file is larger than {limit} MB; take a shorter or smaller one."
            return PlainTextResponse(text, status_code=413)
        return None


def _name(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""
