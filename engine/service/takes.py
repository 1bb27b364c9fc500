"""Finished takes on disk, as the queue sees them: is it there already, and is what a job starts from there?

Comes in: a workspace and jobs. Goes out: takes, or reasons in words. Does not know how takes are made, nor the queue.
"""

import hashlib
import json
import time

from pydantic import ValidationError

from engine.contract.jobs import FromMedia, FromTake, Job, Take
from engine.contract.media import MediaStore, file_sha256
from engine.contract.workspace import Workspace


class Takes:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._media = MediaStore(workspace.media)

    def standing(self, job: Job) -> tuple[Take, ...] | None:
        """The takes of this recipe if they stand, under the job's own scenes; None where it must be rendered.

        What stands there and is damaged is moved aside, never deleted, so that it does not stand in the way.
        """
        folder = self._workspace.take_folder(job.recipe)
        if not folder.is_dir():
            return None
        takes = self._read(job)
        if takes is None or self.fault(job, takes) is not None:
            folder.rename(folder.with_name(f"{job.recipe}.damaged-{time.time_ns()}"))
            return None
        return tuple(_for_job(take, job, scene_id) for take, scene_id in zip(takes, job.scene_ids, strict=True))

    def fault(self, job: Job, takes: tuple[Take, ...]) -> str | None:
        """What is wrong with takes that are said to be finished; None: nothing, and their media can be fetched."""
        if len(takes) != len(job.scene_ids):
            return f"{len(takes)} takes were announced for {len(job.scene_ids)} scenes."
        for take in takes:
            path = self._workspace.take_folder(job.recipe) / "take.mp4"
            if take.recipe != job.recipe:
                return f"a take of recipe {take.recipe} was announced for {job.recipe}."
            if not path.is_file() or file_sha256(path) != take.media:
                return f"{path}: the take was announced, and its file is missing or another."
            if not self._media.has(take.media):
                self._media.adopt(path)
        return None

    def missing(self, job: Job, to_come: frozenset[str]) -> str | None:
        """Which conditioning is not there; "" where it is yet to be rendered by a job of recipes ``to_come``."""
        start = job.conditioning
        if isinstance(start, FromMedia) and not self._media.has(start.media):
            return (
                f"its conditioning {start.kind} ({start.media[:12]}) is not at the engine. Send the file, then the job."
            )
        if isinstance(start, FromTake) and not self._has_tail(start.recipe):
            if start.recipe in to_come:
                return ""
            return (
                f"it continues a take (recipe {start.recipe[:12]}) that is not rendered at this engine. "
                "Render the scene before it first."
            )
        return None

    def _has_tail(self, recipe: str) -> bool:
        return (self._workspace.take_folder(recipe) / "tail.safetensors").is_file()

    def _read(self, job: Job) -> tuple[Take, ...] | None:
        try:
            found: object = json.loads((self._workspace.take_folder(job.recipe) / "take.json").read_bytes())
            listed = found if isinstance(found, list) else [found]  # pyright: ignore[reportUnknownVariableType]
            return tuple(Take.model_validate_json(json.dumps(each)) for each in listed)  # pyright: ignore[reportUnknownVariableType]
        except (OSError, ValueError, ValidationError):
            return None


def _for_job(take: Take, job: Job, scene_id: str) -> Take:
    """The same file as a take of this job's scene: another scene or project has a take of its own, with its own id."""
    if (take.job.project_id, take.scene_id) == (job.project_id, scene_id):
        return take
    of = hashlib.sha256(f"{job.project_id}\0{scene_id}".encode()).hexdigest()
    return take.model_copy(update={"id": f"{job.recipe}-{of[:8]}", "job": job, "scene_id": scene_id})
