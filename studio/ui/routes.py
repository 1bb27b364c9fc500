"""Routes of our own beside Gradio's: media, previews, the stream of a board, uploads, downloads, scripts and styles.

Comes in: a studio. Goes out: a router. Every file goes through the studio's check that this project shows it. Does not
know where files are, nor what anybody may do.
"""

import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, File, HTTPException, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Scope

from engine.contract.errors import EngineError
from studio.document.formats.ttt_prompts import to_text
from studio.errors import StudioError
from studio.services.identity import Identity
from studio.studio import Studio
from studio.ui.identity import identity_of
from studio.ui.stream import board_events

JSON = "application/json"
MAX_UPLOAD_BYTES = 256 * 1024 * 1024
_GUARDED = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""For what is named by its content's hash."""


class Scripts(StaticFiles):
    """Our scripts and styles; a browser asks each time whether they changed, so that no tab mixes two versions."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


Who = Annotated[Identity, Depends(identity_of)]
"""Who asks, in every route. A policy (``page.build_app``) decides; visitors do not get what a guard withholds."""


def routes(studio: Studio) -> APIRouter:
    """All routes of the page that are not Gradio's."""
    router = APIRouter(include_in_schema=False)
    _add_media(router, studio)
    _add_uploads(router, studio)

    @router.get("/board/{project_id}/events")
    async def events(identity: Who, project_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        stream: AsyncIterator[ServerSentEvent] = board_events(studio, project_id, identity)
        return EventSourceResponse(stream, ping=15, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    @router.get("/storyboard/{project_id}")
    def storyboard(identity: Who, project_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return _written(lambda: studio.projects.export(project_id), f"{_safe(project_id)}.yaml", "application/yaml")

    @router.get("/prompts/{project_id}")
    def prompts(identity: Who, project_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The storyboard as TTT-Video's own prompt file."""
        return _written(
            lambda: to_text([studio.projects.open(project_id).storyboard]), f"{_safe(project_id)}.json", JSON
        )

    return router


def _written(write: Callable[[], str], name: str, content_type: str) -> Response:
    """A text to be kept as a file."""
    try:
        text = write()
    except StudioError as error:
        raise HTTPException(404, str(error)) from error
    headers = {**_GUARDED, "Content-Disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(text, media_type=content_type, headers=headers)


def _add_media(router: APIRouter, studio: Studio) -> None:
    @router.get("/media/{project_id}/{sha256}")
    def media(identity: Who, project_id: str, sha256: str, download: str = "") -> Response:  # pyright: ignore[reportUnusedFunction]
        """A file of the project, with ranges, so that a player may seek."""
        try:
            file = studio.projects.media_file(project_id, sha256, identity)
        except StudioError as error:
            raise HTTPException(404, str(error)) from error
        if file is None:
            raise HTTPException(404, "This project shows no such file.")
        return FileResponse(
            file.path,
            media_type=file.content_type,
            filename=_safe(download) if download else None,
            headers={**_GUARDED, **_FOREVER},
        )

    @router.get("/preview/{project_id}/{job_id}")
    def preview(identity: Who, project_id: str, job_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The newest live preview; the query ``v`` only distinguishes pictures."""
        try:
            picture = studio.rendering.preview(project_id, job_id, identity)
        except (StudioError, EngineError) as error:
            raise HTTPException(404, str(error)) from error
        if picture is None:
            raise HTTPException(404, "There is no preview of this job yet.")
        return Response(picture, media_type="image/webp", headers={**_GUARDED, "Cache-Control": "private, max-age=60"})


def _add_uploads(router: APIRouter, studio: Studio) -> None:
    @router.post("/media/{project_id}")
    async def add_media(identity: Who, project_id: str, file: Annotated[UploadFile, File()]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """A picture or clip to start a scene from. Answers with what it is, or with the problem as text."""
        name = Path(file.filename or "file").name
        with tempfile.TemporaryDirectory(prefix="storyboard-") as folder:
            path = await _received(file, Path(folder))
            try:
                info = await to_thread.run_sync(studio.projects.add_media, project_id, path, name)
            except (StudioError, EngineError) as error:
                return _refused(422, str(error))
        return JSONResponse({"ok": True, "media": info.model_dump(mode="json")})

    @router.post("/projects/import")
    async def import_file(identity: Who, file: Annotated[UploadFile, File()]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The storyboards of a file as new projects, one each."""
        with tempfile.TemporaryDirectory(prefix="storyboard-") as folder:
            path = await _received(file, Path(folder))
            try:
                made = await to_thread.run_sync(studio.projects.import_files, path)
            except (StudioError, EngineError) as error:
                return _refused(422, str(error).replace(str(path), Path(file.filename or "file").name))
        return JSONResponse({"ok": True, "projects": [project.id for project in made]})


async def _received(file: UploadFile, folder: Path) -> Path:
    """The upload as a file whose name is its own made harmless, with its suffix."""
    suffix = "".join(letter for letter in Path(file.filename or "").suffix.lower() if letter.isalnum() or letter == ".")
    path = folder / f"{_safe(Path(file.filename or '').stem)[:50]}{suffix[:12]}"
    with path.open("wb") as target:
        while part := await file.read(1024 * 1024):
            target.write(part)
    return path


def _refused(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"ok": False, "problem": problem}, status_code=status)


def _safe(name: str) -> str:
    letters = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
    return letters.strip(". ")[:80] or "storyboard"
