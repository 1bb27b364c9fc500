"""The engine's HTTP interface: its OpenAPI description (``/openapi.json``) is the contract with everyone outside.

Comes in: requests with the workspace's bearer token. Goes out: values of the contract, media, server-sent events, and
errors as ``{"code", "message"}``. Does not know how jobs are rendered.
"""

import asyncio
import errno
import hmac
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Protocol

import anyio.from_thread
import anyio.to_thread
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.contract.cards import ModelStatus
from engine.contract.errors import Conflict, EngineError, Rejected
from engine.contract.jobs import Job
from engine.contract.media import MediaInfo, MediaStore, probe
from engine.contract.status import EngineStatus, JobStatus
from engine.contract.values import Identifier, Sha256, Value
from engine.service.changes import Changes
from engine.service.models import Models
from engine.service.settings import Settings
from engine.service.store import Store

VERSION = "0.1.0"
MAX_BODY_BYTES = 4 * 2**20
"""Of all requests but uploads of media."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger("engine.api")
_STATUS_OF = {"unknown_job": 404, "unknown_media": 404, "cursor": 409, "too_large": 413}


class Move(Value):
    """The place in the queue that a waiting job shall have; 0 is the next to run."""

    position: int = Field(ge=0)


class GroupView(Protocol):
    """What the interface shows of the group; the dispatcher is one."""

    device: str
    num_ranks: int

    @property
    def group_state(self) -> str: ...


def make_api(settings: Settings, store: Store, changes: Changes, models: Models, group: GroupView) -> FastAPI:
    """The application. Every route but ``/healthz`` and ``/openapi.json`` asks for the token."""
    api = FastAPI(title="Storyboard engine", version=VERSION, docs_url=None, redoc_url=None)
    media = MediaStore(settings.workspace.media)
    _answer_errors(api)
    api.add_middleware(LimitBodies)
    token = settings.workspace.token()

    def authorised(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "this engine needs its workspace's token: the file 'token' in the workspace.")

    guarded = [Depends(authorised)]

    def engine_status() -> EngineStatus:
        return EngineStatus(
            version=VERSION,
            group=group.group_state,
            device=group.device,
            num_ranks=group.num_ranks,
            paused=store.paused(),
            running_job_id=store.running_job_id(),
            num_waiting=store.num_waiting(),
            last_seq=store.last_seq(),
        )

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/status", dependencies=guarded)
    def status() -> EngineStatus:
        return engine_status()

    @api.get("/models", dependencies=guarded)
    def list_models() -> list[ModelStatus]:
        return models.all()

    @api.post("/jobs", dependencies=guarded, status_code=201, responses={200: {"model": JobStatus}})
    def submit(job: Job, response: Response) -> JobStatus:
        """201: queued. 200: the same job was here before. 409: this id belongs to another body."""
        answer, is_new = store.submit(job)
        response.status_code = 201 if is_new else 200
        return answer

    @api.get("/jobs", dependencies=guarded)
    def list_jobs() -> list[JobStatus]:
        return store.jobs()

    @api.get("/jobs/{job_id}", dependencies=guarded)
    def one_job(job_id: Identifier) -> JobStatus:
        return store.job(job_id)

    @api.delete("/jobs/{job_id}", dependencies=guarded)
    def cancel(job_id: Identifier) -> JobStatus:
        return store.cancel(job_id)

    @api.post("/jobs/{job_id}/move", dependencies=guarded)
    def move(job_id: Identifier, to: Move) -> JobStatus:
        return store.move(job_id, to.position)

    @api.get("/jobs/{job_id}/preview", dependencies=guarded)
    def preview(job_id: Identifier) -> Response:
        path = settings.workspace.root / "jobs" / job_id / "preview.webp"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise HTTPException(404, f"job {job_id}: has no preview yet.") from None
        return Response(content, media_type="image/webp", headers={"Cache-Control": "no-store"})

    @api.post("/pause", dependencies=guarded)
    def pause() -> EngineStatus:
        store.set_paused(True)
        return engine_status()

    @api.post("/resume", dependencies=guarded)
    def resume() -> EngineStatus:
        store.set_paused(False)
        return engine_status()

    @api.get("/events", dependencies=guarded, response_class=StreamingResponse)
    async def events(
        after: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[int | None, Header(ge=0)] = None,
    ) -> StreamingResponse:
        """Server-sent events with ``seq`` as id, from the one after ``Last-Event-ID`` (or ``after``) on, for ever."""
        start = after if last_event_id is None else last_event_id
        newest = await asyncio.to_thread(store.last_seq)
        if start > newest:
            words = (
                f"events: {start} has not happened yet (the newest is {newest}). Ask from 0; the history began anew."
            )
            raise Rejected("cursor", words)
        stream = follow_events(store, changes, start, settings.keep_alive_s)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @api.api_route("/media/{sha256}", methods=["GET", "HEAD"], dependencies=guarded, response_class=FileResponse)
    def get_media(sha256: Sha256) -> FileResponse:
        """A stored file; ``Range`` is obeyed (206, or 416 beyond the end)."""
        path = media.path(sha256)
        if not path.is_file():
            raise Rejected("unknown_media", f"media {sha256}: not at this engine. Send it first (PUT).")
        headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
        with path.open("rb") as file:
            return FileResponse(path, media_type=content_type(file.read(16)), headers=headers)

    @api.put("/media/{sha256}", dependencies=guarded, status_code=201)
    async def put_media(sha256: Annotated[Sha256, InPath()], request: Request) -> MediaInfo:
        """Stores a picture or clip under its SHA-256; what has another hash, or is neither, is refused and not kept."""
        return await _receive(media, sha256, request, settings.max_media_bytes)

    return api


async def follow_events(store: Store, changes: Changes, after: int, keep_alive_s: float) -> AsyncIterator[str]:
    """Server-sent events for one reader, at that reader's pace: its place is a number, and the store is the buffer."""
    with changes.subscribe() as woken:
        yield ": here\n\n"
        while not changes.closed:
            woken.clear()
            page = await asyncio.to_thread(store.events_after, after)
            for seq, body in page:
                yield f"id: {seq}\ndata: {body}\n\n"
                after = seq
            if page:
                continue
            try:
                await asyncio.wait_for(woken.wait(), keep_alive_s)
            except TimeoutError:
                yield ": still here\n\n"


def content_type(head: bytes) -> str:
    """Of a stored picture or clip, by its first 16 bytes."""
    known = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"BM": "image/bmp"}
    known[b"\x1a\x45\xdf\xa3"] = "video/webm"
    for magic, name in known.items():
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "video/mp4"
    return "image/webp" if head[8:12] == b"WEBP" else "application/octet-stream"


async def _receive(media: MediaStore, sha256: str, request: Request, limit: int) -> MediaInfo:
    known = await asyncio.to_thread(media.has, sha256)
    chunks = aiter(request.stream())

    def pull() -> "list[bytes]":
        """The rest of the body, chunk by chunk, from the thread that writes it to disk."""
        return anyio.from_thread.run(_next_chunk, chunks)

    def received():
        num_bytes = 0
        while found := pull():
            num_bytes += len(found[0])
            if num_bytes > limit:
                raise Rejected(
                    "too_large", f"media {sha256}: is larger than {limit} bytes, the most this engine takes."
                )
            yield found[0]

    def store_it() -> MediaInfo:
        media.put_stream(received(), expected_sha=sha256)
        try:
            return probe(media.path(sha256))
        except Rejected:
            if not known:
                media.path(sha256).unlink(missing_ok=True)
            raise

    return await anyio.to_thread.run_sync(store_it)


async def _next_chunk(chunks: AsyncIterator[bytes]) -> list[bytes]:
    """The next chunk that is not empty, or [] at the end."""
    async for chunk in chunks:
        if chunk:
            return [chunk]
    return []


def _problem(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status_code=status)


def _answer_errors(api: FastAPI) -> None:
    """One form for every error: a stable code, and words that may be shown."""

    @api.exception_handler(EngineError)
    async def engine_error(_: Request, error: EngineError) -> JSONResponse:
        if isinstance(error, Conflict):
            return _problem(409, "conflict", str(error))
        if isinstance(error, Rejected):
            return _problem(_STATUS_OF.get(error.code, 422), error.code, str(error))
        return _problem(500, "engine", str(error))

    @api.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        codes = {401: "token", 404: "not_found", 405: "method", 413: "too_large"}
        return _problem(error.status_code, codes.get(error.status_code, "http"), str(error.detail))

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = [f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in error.errors()]
        return _problem(422, "invalid", "; ".join(problems[:8]))

    @api.exception_handler(OSError)
    async def disk(_: Request, error: OSError) -> JSONResponse:
        if error.errno in DISK_FULL:
            return _problem(507, "disk_full", "the engine's disk is full. Free some space there, then try again.")
        _log.error("%s", error, exc_info=error)
        return _problem(500, "disk", f"the engine cannot use its workspace: {error}")

    @api.exception_handler(SQLAlchemyError)
    async def database(_: Request, error: SQLAlchemyError) -> JSONResponse:
        if "full" in str(error):
            return _problem(507, "disk_full", "the engine's disk is full. Free some space there, then try again.")
        _log.error("%s", error, exc_info=error)
        return _problem(503, "database", "the engine's database cannot be used now. See logs/service.log there.")


class LimitBodies:
    """Refuses bodies that are too large before they are read; media have a limit of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        await (problem or self._app)(scope, receive, send)

    def _problem(self, scope: Scope) -> Response | None:
        if scope["method"] == "PUT" and scope["path"].startswith("/media/"):
            return None
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers:
            return _problem(411, "length", "say the body's length (Content-Length).")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            return _problem(413, "too_large", f"the body is larger than {MAX_BODY_BYTES} bytes.")
        return None
