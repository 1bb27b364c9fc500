"""Jobs and takes: a complete recipe to execute, and what came of it.

Comes in: numbers and texts that the plan has decided. Goes out: a ``Job`` whose ``recipe`` is a hash over everything
that decides its pixels, and the ``Take`` of a finished one. Does not know storyboards, queues or tensors.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.contract.card_values import GuidanceSchedule, Precision
from engine.contract.samplers import SamplerName, ScheduleName, num_evaluations
from engine.contract.values import Identifier, Sha256, SizePx, Value

PIPELINE_VERSION = 2
"""Part of every recipe. Raised with every change of the engine's mathematics that changes pixels, and with every new
field of a recipe. A job of another version is a record: it is read as it was written, and not rendered."""


class Segment(Value):
    """One prompt unit in time: for a chunked model one sampler call of ``num_frames`` frames (overlap included), for a
    joint one a stretch of the one call."""

    scene_id: Identifier
    prompt: str
    negative_prompt: str
    num_frames: int = Field(gt=0)
    num_overlap_frames: int = Field(ge=0)
    starts_scene: bool


class SamplerSettings(Value):
    name: SamplerName
    num_steps: int = Field(ge=1, le=1000)
    schedule: ScheduleName = "karras"
    sigma_max: float = Field(gt=0)
    sigma_min: float = Field(gt=0)
    rho: float = Field(gt=0)

    @property
    def num_evaluations(self) -> int:
        """Denoiser evaluations of one sampler call."""
        return num_evaluations(self.name, self.schedule, self.num_steps)


class FromMedia(Value):
    """Conditioning frames from a stored picture or clip: its last ``num_frames`` frames, or its first."""

    kind: Literal["image", "clip"]
    media: Sha256
    num_frames: int = Field(gt=0)
    taken_from: Literal["end", "start"] = "end"


class FromTake(Value):
    """Conditioning frames handed over losslessly from the end of another take, named by its recipe."""

    kind: Literal["take"] = "take"
    recipe: Sha256
    num_frames: int = Field(gt=0)


class FromModel(Value):
    """A first frame made by a picture model: from text, or from the first frame of a stored picture or clip.

    ``source`` None: from noise alone. ``strength``: how far the source is re-imagined, 0 (kept) to 1.
    """

    kind: Literal["model"] = "model"
    model: Identifier
    weights: Sha256
    prompt: str
    negative_prompt: str
    size_px: SizePx
    seed: int = Field(ge=0, lt=2**32)
    sampler: SamplerSettings
    guidance_scale: float
    precision: Precision
    source: Sha256 | None = None
    strength: float = Field(default=1.0, ge=0, le=1)
    num_frames: Literal[1] = 1

    @property
    def recipe(self) -> Sha256:
        """Names the picture: the same text, seed and settings give the same one, and it is made once."""
        return _hash_of(self.model_dump(mode="json"))


JobConditioning = Annotated[FromMedia | FromTake | FromModel, Field(discriminator="kind")]


class Reimagine(Value):
    """SDEdit (Meng et al. 2021, arXiv 2108.01073): the noise of each chunk begins from a clip, part way down.

    ``strength``: 0 keeps the clip as the autoencoder gives it back, 1 keeps next to nothing. A clip that is shorter
    than the film goes on with its last frame.
    """

    media: Sha256
    strength: float = Field(ge=0, le=1)


Offload = Literal["none", "components"]
"""Where a model's components wait: on the device; or off it but while they work."""


GuidanceBranches = Literal["batched", "sequential"]
"""Whether both guidance branches run in one batch."""


class Speed(Value):
    """How the ranks work. ``precision`` decides pixels; the others must not, and are left out of the recipe."""

    precision: Precision
    offload: Offload = "none"
    guidance: GuidanceBranches = "batched"
    preview_every: int = Field(default=2, ge=1, le=5)
    """A preview at least at every such step."""


@dataclass(frozen=True, slots=True)
class Span:
    """One scene's part of a job: frames ``start`` up to ``end`` of what is rendered, and the recipe of its take.

    The take of a job with one scene has the job's own recipe; of several each has one made of that and its place.
    """

    scene_id: str
    recipe: Sha256
    start: int
    end: int


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
    guidance_schedule: GuidanceSchedule = "constant"
    conditioning: JobConditioning | None
    reimagine: Reimagine | None = None
    joint: bool = False
    """Whether all segments are denoised by one sampler call."""
    speed: Speed
    pipeline: int = PIPELINE_VERSION

    @model_validator(mode="after")
    def _recipe_is_its_hash(self) -> "Job":
        if self.pipeline == PIPELINE_VERSION and self.recipe != job_recipe(self):
            raise ValueError("recipe: is not the hash of this job's settings; make jobs with make_job()")
        if sum(segment.starts_scene for segment in self.segments) != len(self.scene_ids):
            raise ValueError("segments: as many must start a scene as there are scene_ids")
        return self

    @property
    def num_evaluations(self) -> int:
        """Denoiser evaluations of the whole job, those of a picture model not counted."""
        return self.sampler.num_evaluations * (1 if self.joint else len(self.segments))

    @property
    def spans(self) -> tuple["Span", ...]:
        """Where each scene's frames lie among the job's, in order; the last ends with the job."""
        edges: list[int] = []
        position = 0
        for segment in self.segments:
            if segment.starts_scene:
                edges.append(position)
            position += segment.num_frames - segment.num_overlap_frames
        ends = [*edges[1:], self.num_frames]
        recipes = [self.recipe] if len(edges) == 1 else [_hash_of([self.recipe, index]) for index in range(len(edges))]
        return tuple(map(Span, self.scene_ids, recipes, edges, ends))


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
    return _hash_of(job.model_dump(mode="json", exclude=_OUTSIDE_RECIPE))  # pyright: ignore[reportArgumentType]


def _hash_of(value: object) -> Sha256:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


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
    picture: Sha256 | None = None
    """Of the PNG of the first frame, where a picture model made one."""
    first_frame: int = Field(ge=0)
    """Of this take among the frames of its job."""
    num_frames: int = Field(gt=0)
    fps: int = Field(gt=0)
    size_px: SizePx
    seed: int
    render_s: float = Field(ge=0)
    versions: dict[str, str]
    timings_s: dict[str, float]
    """Seconds by stage: encode, denoise, decode, write."""
