"""Jobs and takes: a complete recipe to execute, and what came of it.

Comes in: numbers and words that the plan has decided. Goes out: a ``Job`` whose ``recipe`` is a hash over everything
that decides its pixels, and the ``Take`` of a finished one. Does not know storyboards, queues or tensors.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.contract.cards import Precision, SamplerName
from engine.contract.values import Identifier, Sha256, SizePx, Value

PIPELINE_VERSION = 1
"""Raised with every change of the engine's mathematics that changes pixels; part of every recipe."""


class Segment(Value):
    """One prompt unit in time. For a chunked model, one sampler call of ``num_frames`` frames (overlap included)."""

    scene_id: Identifier
    prompt: str
    negative_prompt: str
    num_frames: int = Field(gt=0)
    num_overlap_frames: int = Field(ge=0)
    starts_scene: bool


class FromMedia(Value):
    """Conditioning frames from a stored picture or clip (its last ``num_frames`` frames)."""

    kind: Literal["image", "clip"]
    media: Sha256
    num_frames: int = Field(gt=0)


class FromTake(Value):
    """Conditioning frames handed over losslessly from the end of another take, named by its recipe."""

    kind: Literal["take"] = "take"
    recipe: Sha256
    num_frames: int = Field(gt=0)


JobConditioning = Annotated[FromMedia | FromTake, Field(discriminator="kind")]


class SamplerSettings(Value):
    name: SamplerName
    num_steps: int = Field(ge=1, le=1000)
    sigma_max: float = Field(gt=0)
    sigma_min: float = Field(gt=0)
    rho: float = Field(gt=0)


class Speed(Value):
    """How the ranks work. ``precision`` decides pixels; the others must not, and are left out of the recipe."""

    precision: Precision
    offload: Literal["none", "components"] = "none"
    """components: text encoder, network and autoencoder are on the device only while they work."""
    guidance: Literal["batched", "sequential"] = "batched"
    """Whether both guidance branches run in one batch."""
    preview_every: int = Field(default=2, ge=1, le=5)
    """A preview at least at every such step."""


class Job(Value):
    """One complete recipe. Everything is decided; nothing is looked up later."""

    id: Identifier
    recipe: Sha256
    project_id: Identifier
    scene_ids: tuple[Identifier, ...] = Field(min_length=1)
    model: Identifier
    weights: Sha256
    """Fingerprint of the model's files; an engine that holds other weights refuses the job."""
    segments: tuple[Segment, ...] = Field(min_length=1)
    size_px: SizePx
    fps: int = Field(gt=0)
    num_frames: int = Field(gt=0)
    """Frames of the finished take: what the segments give is cut to this."""
    seed: int = Field(ge=0, lt=2**32)
    sampler: SamplerSettings
    guidance_scale: float
    conditioning: JobConditioning | None
    speed: Speed
    pipeline: int = PIPELINE_VERSION

    @model_validator(mode="after")
    def _recipe_is_its_hash(self) -> "Job":
        if self.recipe != job_recipe(self):
            raise ValueError("recipe: is not the hash of this job's settings; make jobs with make_job()")
        return self


_OUTSIDE_RECIPE: dict[str, object] = {
    "id": True,
    "recipe": True,
    "project_id": True,
    "scene_ids": True,
    "segments": {"__all__": {"scene_id"}},
    "speed": {"offload", "guidance", "preview_every"},
}


def job_recipe(job: Job) -> Sha256:
    """SHA-256 over all that decides the pixels: everything but names, and speed settings that change no pixel."""
    deciding = job.model_dump(mode="json", exclude=_OUTSIDE_RECIPE)  # pyright: ignore[reportArgumentType]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def make_job(**settings: object) -> Job:
    """A job from all its settings but ``recipe`` and (optionally) ``id``: the recipe is computed, the id follows it."""
    draft = Job.model_construct(**{**settings, "recipe": "0" * 64, "id": "draft"})  # pyright: ignore[reportArgumentType]
    recipe = job_recipe(draft)
    return Job.model_validate({**settings, "recipe": recipe, "id": settings.get("id", recipe[:16])})


class Take(Value):
    """One finished attempt at a scene: a media file, with the job it came from. Kept, never overwritten."""

    id: Identifier
    recipe: Sha256
    scene_id: Identifier
    job: Job
    media: Sha256
    """Of the mp4 file."""
    first_frame: int = Field(ge=0)
    num_frames: int = Field(gt=0)
    fps: int = Field(gt=0)
    size_px: SizePx
    seed: int
    render_s: float = Field(ge=0)
    versions: dict[str, str]
    timings_s: dict[str, float]
    """Seconds by stage: encode, denoise, decode, write."""
