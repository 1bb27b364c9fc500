"""The engine's HTTP interface: its OpenAPI description (``/openapi.json``) is the contract with everyone outside.

Comes in: requests with the workspace's bearer token. Goes out: values of the contract, media, server-sent events, and
errors as ``{"code", "message"}``. Does not know how jobs are rendered.
"""

import asyncio
import errno
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Protocol

import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.contract.assistant_cards import AssistantStatus
from engine.contract.assistants import AssistantJob
from engine.contract.cards import ModelStatus
from engine.contract.errors import Conflict, EngineError, Rejected
from engine.contract.jobs import Job
from engine.contract.media import MediaInfo
from engine.contract.status import AssistantJobStatus, EngineStatus, JobStatus
from engine.contract.values import Identifier, Sha256, Value
from engine.service.change_signal import ChangeSignal
from engine.service.models import Models
from engine.service.settings import Settings
from engine.service.store import Store
from engine.storage.media import MediaStore, probe
from engine.storage.workspace import Workspace

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


def make_api(settings: Settings, store: Store, changes: ChangeSignal, models: Models, group: GroupView) -> FastAPI:
    """The application. Every route but ``/healthz`` and ``/openapi.json`` asks for the token."""
    api = FastAPI(title="Storyboard engine", version=VERSION, docs_url=None, redoc_url=None)
    _answer_errors(api)
    api.add_middleware(LimitBodies)
    guarded = [Depends(_token_check(settings.workspace.token()))]
    for routes in (
        _engine_routes(store, models, group),
        _job_routes(store, settings.workspace),
        _assistant_routes(store),
        _event_routes(store, changes, settings.keep_alive_s),
        _media_routes(MediaStore(settings.workspace.media), settings.max_media_bytes),
    ):
        api.include_router(routes, dependencies=guarded)

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return api


def _token_check(token: str) -> Callable[[str], Awaitable[None]]:
    async def authorised(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "this engine needs its workspace's token: the file 'token' in the workspace.")

    return authorised


def _engine_routes(store: Store, models: Models, group: GroupView) -> APIRouter:
    routes = APIRouter()

    @routes.get("/status")
    def status() -> EngineStatus:
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

    @routes.get("/models")
    def list_models() -> list[ModelStatus]:
        return models.all()

    @routes.get("/assistants")
    def list_assistants() -> list[AssistantStatus]:
        return models.assistants()

    @routes.post("/pause")
    def pause() -> EngineStatus:
        store.set_paused(True)
        return status()

    @routes.post("/resume")
    def resume() -> EngineStatus:
        store.set_paused(False)
        return status()

    return routes


def _job_routes(store: Store, workspace: Workspace) -> APIRouter:
    routes = APIRouter(prefix="/jobs")

    @routes.post("", status_code=201, responses={200: {"model": JobStatus}})
    def submit(job: Job, response: Response) -> JobStatus:
        """201: queued. 200: the same job was here before. 409: this id belongs to another body."""
        answer, is_new = store.submit(job)
        response.status_code = 201 if is_new else 200
        return answer

    @routes.get("")
    def list_jobs() -> list[JobStatus]:
        return store.jobs()

    @routes.get("/{job_id}")
    def one_job(job_id: Identifier) -> JobStatus:
        return store.job(job_id)

    @routes.delete("/{job_id}")
    def cancel(job_id: Identifier) -> JobStatus:
        return store.cancel(job_id)

    @routes.post("/{job_id}/move")
    def move(job_id: Identifier, to: Move) -> JobStatus:
        return store.move(job_id, to.position)

    @routes.get("/{job_id}/preview")
    def preview(job_id: Identifier) -> Response:
        path = workspace.root / "jobs" / job_id / "preview.webp"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise HTTPException(404, f"job {job_id}: has no preview yet.") from None
        return Response(content, media_type="image/webp", headers={"Cache-Control": "no-store"})

    return routes


def _assistant_routes(store: Store) -> APIRouter:
    routes = APIRouter(prefix="/assistants/jobs")

    @routes.post("", status_code=201, responses={200: {"model": AssistantJobStatus}})
    def ask(job: AssistantJob, response: Response) -> AssistantJobStatus:
        """As ``POST /jobs``; the terminal event of an assistant that has answered is ``answered``."""
        answer, is_new = store.ask(job)
        response.status_code = 201 if is_new else 200
        return answer

    @routes.get("/{job_id}")
    def one_job(job_id: Identifier) -> AssistantJobStatus:
        return store.assistant_job(job_id)

    @routes.delete("/{job_id}")
    def cancel(job_id: Identifier) -> AssistantJobStatus:
        return store.cancel_assistant_job(job_id)

    return routes


def _event_routes(store: Store, changes: ChangeSignal, keep_alive_s: float) -> APIRouter:
    routes = APIRouter()

    @routes.get("/events", response_class=StreamingResponse)
    async def events(
        after: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[int | None, Header(ge=0)] = None,
    ) -> StreamingResponse:
        """Server-sent events with ``seq`` as id, from the one after ``Last-Event-ID`` (or ``after``) on, for ever."""
        start = after if last_event_id is None else last_event_id
        newest = await asyncio.to_thread(store.last_seq)
        if start > newest:
            reason = f"events: {start} has not happened yet (the newest is {newest}). Ask from 0; its history is new."
            raise Rejected("cursor", reason)
        stream = follow_events(store, changes, start, keep_alive_s)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return routes


def _media_routes(media: MediaStore, max_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/media")

    @routes.head("/{sha256}", response_class=FileResponse)
    @routes.get("/{sha256}", response_class=FileResponse)
    def get_media(sha256: Sha256) -> FileResponse:
        """A stored file; ``Range`` is supported (206, or 416 beyond the end)."""
        path = media.path(sha256)
        if not path.is_file():
            raise Rejected("unknown_media", f"media {sha256}: not at this engine. Send it first (PUT).")
        headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
        with path.open("rb") as file:
            return FileResponse(path, media_type=content_type(file.read(16)), headers=headers)

    @routes.put("/{sha256}", status_code=201)
    async def put_media(sha256: Annotated[Sha256, InPath()], request: Request) -> MediaInfo:
        """Stores a picture or clip under its SHA-256; what has another hash, or is neither, is refused and not kept."""
        return await _receive(media, sha256, request, max_bytes)

    return routes


async def follow_events(store: Store, changes: ChangeSignal, after: int, keep_alive_s: float) -> AsyncIterator[str]:
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
    """One form for every error: a stable code, and a text that may be shown."""

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

    @api.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:  # the server logs it, with its traceback
        text = f"the engine failed at this ({type(error).__name__}). See logs/service.log there."
        return _problem(500, "engine", text)


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
