"""Finished takes on disk, as the queue sees them: is it there already, and is what a job starts from there?

Comes in: a workspace and jobs. Goes out: takes, or reasons as text. Does not know how takes are made, nor the queue.
"""

import hashlib
import time

from engine.contract.assistants import AssistantJob
from engine.contract.jobs import FromMedia, FromModel, FromTake, Job, Span, Take
from engine.storage.media import MediaStore, file_sha256
from engine.storage.workspace import Workspace


class Takes:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._media = MediaStore(workspace.media)

    def finished(self, job: Job) -> tuple[Take, ...] | None:
        """The takes of this recipe if all exist, under the job's own scenes; None where it must be rendered.

        A damaged folder is moved aside, never deleted, so that it does not block the new take.
        """
        found = [self._finished(span, job) for span in job.spans]
        takes = tuple(take for take in found if take is not None)
        return takes if len(takes) == len(found) else None

    def _finished(self, span: Span, job: Job) -> Take | None:
        folder = self._workspace.take_folder(span.recipe)
        if not folder.is_dir():
            return None
        take = self._read(span.recipe)
        if take is None or self._fault(span, take) is not None:
            folder.rename(folder.with_name(f"{span.recipe}.damaged-{time.time_ns()}"))
            return None
        return _for_job(take, job, span.scene_id)

    def fault(self, job: Job, takes: tuple[Take, ...]) -> str | None:
        """What is wrong with takes that are reported as finished; None: nothing, and their media can be fetched."""
        if len(takes) != len(job.spans):
            return f"{len(takes)} takes were announced for {len(job.spans)} scenes."
        found = (self._fault(span, take) for span, take in zip(job.spans, takes, strict=True))
        return next((fault for fault in found if fault is not None), None)

    def _fault(self, span: Span, take: Take) -> str | None:
        path = self._workspace.take_folder(span.recipe) / "take.mp4"
        if take.recipe != span.recipe:
            return f"a take of recipe {take.recipe} was announced for {span.recipe}."
        if not path.is_file() or file_sha256(path) != take.media:
            return f"{path}: the take was announced, and its file is missing or another."
        if not self._media.has(take.media):
            self._media.adopt(path)
        return None

    def missing(self, job: Job, to_come: frozenset[str]) -> str | None:
        """Which conditioning is not there; "" where it is yet to be rendered by a job of recipes ``to_come``."""
        for kind, media in _media_of(job):
            if not self._media.has(media):
                return f"its conditioning {kind} ({media[:12]}) is not at the engine. Send the file, then the job."
        start = job.conditioning
        if isinstance(start, FromTake) and not self._has_tail(start.recipe):
            if start.recipe in to_come:
                return ""
            return (
                f"it continues a take (recipe {start.recipe[:12]}) that is not rendered at this engine. "
                "Render the scene before it first."
            )
        return None

    def missing_media(self, job: AssistantJob) -> str:
        """Why the request of an assistant's job cannot be read; "" where it can."""
        if job.media is None or self._media.has(job.media):
            return ""
        return f"its picture or clip ({job.media[:12]}) is not at the engine. Send the file, then the job."

    def _has_tail(self, recipe: str) -> bool:
        return (self._workspace.take_folder(recipe) / "tail.safetensors").is_file()

    def _read(self, recipe: str) -> Take | None:
        try:
            return Take.model_validate_json((self._workspace.take_folder(recipe) / "take.json").read_bytes())
        except (OSError, ValueError):
            return None


def _media_of(job: Job) -> list[tuple[str, str]]:
    """(what it is, hash) of every stored file that a job needs."""
    found: list[tuple[str, str]] = []
    if isinstance(job.conditioning, FromMedia):
        found.append((job.conditioning.kind, job.conditioning.media))
    if isinstance(job.conditioning, FromModel) and job.conditioning.source:
        found.append(("picture", job.conditioning.source))
    return [*found, ("clip", job.reimagine.media)] if job.reimagine else found


def _for_job(take: Take, job: Job, scene_id: str) -> Take:
    """The same file as a take of this job's scene: another scene or project has a take of its own, with its own id."""
    if (take.job.project_id, take.scene_id) == (job.project_id, scene_id):
        return take
    of = hashlib.sha256(f"{job.project_id}\0{scene_id}".encode()).hexdigest()
    return take.model_copy(update={"id": f"{take.recipe}-{of[:8]}", "job": job, "scene_id": scene_id})
