"""The values that a model card is made of, for every family of models.

Comes in: a card's document. Goes out: its values. Does not know the families' own settings and traits
(``engine.contract.families``), files, torch or storyboards.
"""

from typing import Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from engine.contract.samplers import SamplerName, ScheduleName, misfit
from engine.contract.values import Identifier, SizePx, Value

Capability = Literal["text", "image", "clip", "continue", "sdedit", "negative_prompt"]
"""sdedit: a clip can be re-imagined. negative_prompt: a text of what must not be seen is read too."""
Precision = Literal["float32", "bfloat16", "float16"]
GuidanceSchedule = Literal["constant", "ramp", "reference_wave"]
"""How the guidance scale follows the steps: constant; from 1 up to the scale; or as TTT-Video's script computes it."""


class Part(Value):
    """Files of one component. ``folder`` is relative to the models' root, ``paths`` to the folder.

    The first of ``paths`` that exists is read; a path is a file or a folder.
    """

    folder: str
    paths: tuple[str, ...] = Field(min_length=1)
    repository: str = ""
    """Where it is published, as ``owner/name``; "": nowhere."""
    revision: str = ""
    fetch: tuple[str, ...] = ()
    """Patterns of the files to download; empty: the first of ``paths``."""
    num_bytes: int = Field(default=0, ge=0)
    """Of the download, 0 where it is not known."""
    licence: str = ""
    gated: bool = False


class Parts(Value):
    """``tokenizer`` None: its files are in the text encoder's folder."""

    network: Part
    autoencoder: Part
    text_encoder: Part
    tokenizer: Part | None = None

    def all(self) -> dict[str, Part]:
        """The card's parts by name."""
        by_name = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in by_name.items() if part is not None}


class NetworkSizes(Value):
    """Sizes that decide cost and parallelism; the weights' own shapes are what is built."""

    width: int = Field(gt=0)
    num_blocks: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    patch_spatial: int = Field(gt=0)
    num_parameters: int = Field(gt=0)


class AutoencoderSizes(Value):
    """``scale``: what normalised latents are multiplied by before the network sees them."""

    kind: Identifier = "wan"
    """Which of its family's autoencoders (``FamilyTraits.autoencoder_kinds``)."""
    spatial_factor: int = Field(gt=0)
    temporal_factor: int = Field(gt=0)
    latent_channels: int = Field(gt=0)
    scale: float = Field(default=1.0, gt=0)
    precision: Precision = "float32"


class TextSizes(Value):
    max_tokens: int = Field(gt=0)
    by_num_segments: dict[int, int] = {}
    """Where the padded length follows the number of segments denoised jointly."""
    precision: Precision = "float32"
    num_parameters: int = Field(default=0, ge=0)
    """Of the encoder; 0: too few to count."""


class SamplerDefaults(Value):
    """Noise levels of the schedule; Karras et al. 2022 (arXiv 2206.00364), equation 5, with exponent ``rho``."""

    name: SamplerName
    allowed: tuple[SamplerName, ...] = ("euler", "heun", "res_2ab")
    """Samplers that fit the model; any other is replaced by ``name``."""
    schedule: ScheduleName = "karras"
    sigma_max: float = Field(default=80.0, gt=0)
    sigma_min: float = Field(default=0.002, gt=0)
    rho: float = Field(default=7.0, gt=0)

    @model_validator(mode="after")
    def _samplers_fit_the_schedule(self) -> "SamplerDefaults":
        for name in (self.name, *self.allowed):
            if reason := misfit(name, self.schedule):
                raise ValueError(f"{reason}, and the schedule is {self.schedule}")
        return self


class LatentPreview(Value):
    """A linear map from one normalised latent pixel to RGB in [0, 1], fitted for the model's autoencoder."""

    weight: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    bias: tuple[float, float, float]


class Joint(Value):
    """A model that denoises all scenes of a storyboard together, in segments of one length."""

    segment_num_frames: int = Field(gt=0)
    """Frames that a segment adds; the very first one has one frame more."""
    trained_num_segments: tuple[int, ...]
    max_num_segments: int = Field(gt=0)


class FamilySettings(Value):
    """What the weights of a family's networks do not say: the group of a card that has the family's name."""


Settings = TypeVar("Settings", bound=FamilySettings)


class LoraUse(Value):
    """``path``: relative to the models' root."""

    path: str
    strength: float = 1.0


class Measured(Value):
    """A figure that the model's makers published, for one film; ``what``: its size and length."""

    device: str
    what: str
    seconds: float | None = None
    memory_gb: float | None = None


class BaseCard(Value):
    """A card without the check of its family. Sizes are (width, height) by aspect ratio.

    The group of settings that has the family's name is an extra field: ``settings_as`` reads it.
    """

    model_config = ConfigDict(extra="allow")

    name: Identifier
    title: str
    summary: str
    family: str
    """A key of ``engine.contract.families.FAMILIES``."""
    makes: Literal["video", "picture"] = "video"
    """picture: used to make first frames; its films have one frame."""
    licence: str
    asks_for_guard: bool = False
    """Whether its licence wants a guard kept, or a similar substitute in its place."""
    origin: str
    parts: Parts
    loras: tuple[LoraUse, ...] = ()
    network: NetworkSizes
    autoencoder: AutoencoderSizes
    text: TextSizes
    parametrisation: Literal["rectified_flow", "edm", "v_zero_snr"] = "rectified_flow"
    sigma_data: float = Field(default=1.0, gt=0)
    joint: Joint | None = None
    first_frame: Identifier | None = None
    """The picture model that makes a scene's first frame where the author gives none; None: from text alone."""
    sizes_px: dict[str, SizePx]
    max_size_px: SizePx | None = None
    """(width, height) where the network's table of positions ends; None: the family's own limit, if any."""
    default_aspect: str
    fps: int = Field(gt=0)
    chunk_num_frames: int = Field(gt=0)
    """Frames of one sampler call, the length the weights were trained at."""
    conditioning_num_frames: tuple[int, ...] = ()
    """Numbers of pixel frames that the model can be conditioned on, ascending; all on the frame grid."""
    continue_num_frames: int = Field(default=1, gt=0)
    """Frames handed over where a scene or chunk continues the one before."""
    max_duration_s: float = Field(gt=0)
    sampler: SamplerDefaults
    num_steps: int = Field(default=35, ge=1, le=1000)
    guidance_scale: float
    guidance_schedule: GuidanceSchedule = "constant"
    negative_prompt: str = ""
    """Used where neither the scene nor the storyboard has one."""
    precision: Precision
    capabilities: tuple[Capability, ...]
    vocabulary: tuple[str, ...] = ()
    """Words of the training captions; empty: any."""
    vocabulary_hint: str = ""
    built_in: str = ""
    """Folder of what the built-in assistants know of the model: how things are said in its words, how they look."""
    measured: tuple[Measured, ...] = ()
    preview: LatentPreview | None = None
    """None: previews show the latent's first principal components."""

    @property
    def grid_px(self) -> int:
        """Sides of a picture are multiples of this."""
        return self.autoencoder.spatial_factor * self.network.patch_spatial

    def settings_as(self, kind: type[Settings]) -> Settings | None:
        """The family's group of settings, if it is there and of this kind."""
        group: object = (self.model_extra or {}).get(self.family)
        return group if isinstance(group, kind) else None
