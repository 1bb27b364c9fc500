"""First frames: a picture model's own little job inside a job, and the pictures that are kept of it.

Comes in: a job that wants its first frame made. Goes out: the job of the picture model, and a PNG file. Does not
know samplers, ranks or video models.

Letters: H W pixels.
"""

import secrets
from pathlib import Path

import numpy as np
from PIL import Image

from engine.contract.errors import Rejected
from engine.contract.jobs import FromModel, Job, Reimagine, Segment, make_job
from engine.contract.values import Sha256
from engine.runtime.takes import told_as_disk_error
from engine.storage.media import Frames, MediaStore, read_frames
from engine.storage.workspace import Workspace


def picture_job(job: Job, wish: FromModel) -> Job:
    """What the picture model does, as a job of one frame with the outer job's id."""
    segment = Segment(
        scene_id=job.scene_ids[0],
        prompt=wish.prompt,
        negative_prompt=wish.negative_prompt,
        num_frames=1,
        num_overlap_frames=0,
        starts_scene=True,
    )
    return make_job(
        id=job.id,
        project_id=job.project_id,
        scene_ids=job.scene_ids[:1],
        model=wish.model,
        weights=wish.weights,
        segments=(segment,),
        size_px=wish.size_px,
        fps=job.fps,
        num_frames=1,
        seed=wish.seed,
        sampler=wish.sampler,
        guidance_scale=wish.guidance_scale,
        conditioning=None,
        reimagine=Reimagine(media=wish.source, strength=wish.strength) if wish.source else None,
        speed=job.speed.model_copy(update={"precision": wish.precision}),
    )


def is_whole(path: Path) -> bool:
    """Whether a kept picture is there and can be read; one that cannot is made again."""
    try:
        read_frames(path, 1)
    except (Rejected, OSError):
        return False
    return True


def stored(path: Path, workspace: Workspace) -> Sha256:
    """Puts a kept picture among the media, where it is shown from."""
    with told_as_disk_error(path):
        return MediaStore(workspace.media).adopt(path)


class PictureWriter:
    """Takes the one frame of a picture job, (1, H, W, 3) uint8; the file is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail: Frames = np.zeros((0, 1, 1, 3), np.uint8)

    def start(self) -> None:
        pass

    def write(self, frames: Frames) -> None:
        self.tail = frames[:1] if len(frames) else self.tail

    def finish(self) -> None:
        draft = self.path.with_name(f"{secrets.token_hex(8)}.tmp")
        with told_as_disk_error(self.path):
            try:
                Image.fromarray(np.asarray(self.tail[0])).save(draft, "PNG")
                draft.replace(self.path)
            finally:
                draft.unlink(missing_ok=True)

    def leave(self) -> None:
        pass
