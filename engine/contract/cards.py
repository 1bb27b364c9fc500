"""Model cards: what a model is, which frames and sizes it can make, and how it is sampled.

Comes in: the values of a card's document. Goes out: ``ModelCard``. Does not know files, torch, storyboards or processes
(``engine.storage.card_files`` reads cards and finds the files that they name).
"""

from typing import Literal

from pydantic import Field, model_validator

from engine.contract.samplers import SamplerName, ScheduleName, misfit
from engine.contract.values import Identifier, SizePx, Value

Capability = Literal["text", "image", "clip", "continue", "sdedit", "negative_prompt"]
"""sdedit: a clip can be re-imagined. negative_prompt: what is not to be seen is read too."""
Precision = Literal["float32", "bfloat16"]
GuidanceSchedule = Literal["constant", "ramp", "reference_wave"]
"""How guidance follows the steps: as it is; from 1 up to the scale; or as TTT-Video's own script computes it."""


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
    """``tokenizer`` None: its files lie beside the text encoder's."""

    network: Part
    autoencoder: Part
    text_encoder: Part
    tokenizer: Part | None = None

    def all(self) -> dict[str, Part]:
        """The parts that there are, by name."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in named.items() if part is not None}


class NetworkSizes(Value):
    """Sizes that decide cost and parallelism; the weights' own shapes are what is built."""

    width: int = Field(gt=0)
    num_blocks: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    patch_spatial: int = Field(gt=0)
    num_parameters: int = Field(gt=0)


class AutoencoderSizes(Value):
    """``scale``: what normalised latents are multiplied by before the network sees them."""

    kind: Literal["wan", "cv8x8x8", "cv4x8x8", "cogvideox", "image_jit"] = "wan"
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
    """What may be used instead; any other choice is replaced by ``name``."""
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


class CosmosSettings(Value):
    """What the weights of a Cosmos network do not say."""

    generation: Literal["predict1", "predict2"]
    rope_ratio_t: float = 1.0
    rope_ratio_h: float = 1.0
    rope_ratio_w: float = 1.0
    rope_precision: Literal["float32", "reference_bf16"] = "float32"
    """reference_bf16: the angles as NVIDIA's script rounds them, for bit parity."""
    neighborhood: Literal["", "2b", "14b"] = ""
    """Whose pattern of sparse self-attention the weights were tuned for; "": dense."""
    ema: bool = False
    """The averaged copy of the weights (``net_ema.``, ``{"ema": ...}``), not the last one."""


class TttSettings(Value):
    """What the weights of a TTT-Video network do not say."""

    ssm_layer: Literal["ttt_mlp", "ttt_linear", "none"]
    """none: a CogVideoX network, which has no such layers and is TTT-Video with gates of zero."""
    mini_batch_size: int = Field(gt=0)
    base_lr: float = Field(gt=0)
    segment_latent_frames: int = Field(default=12, gt=0)
    compile_scan: bool = False
    """Fuses the walk along the film with torch.compile: for GPUs, where its many small steps wait for each other."""


class DfmSettings(Value):
    """Norm and limits of the position table: latent frames, and patches along one side."""

    norm_eps: float = Field(default=1e-5, gt=0)
    max_frames: int = Field(default=34, gt=0)
    max_patches: int = Field(default=40, gt=0)


class LoraUse(Value):
    """``path``: relative to the models' root."""

    path: str
    strength: float = 1.0


class Measured(Value):
    """A figure that the model's makers published: for one film at ``what``."""

    device: str
    what: str
    seconds: float | None = None
    memory_gb: float | None = None


class ModelCard(Value):
    """One model. Sizes are (width, height) by aspect ratio. A card may say ``base: NAME`` and only what differs."""

    name: Identifier
    title: str
    summary: str
    family: Literal["cosmos", "ttt", "dfm"]
    makes: Literal["video", "picture"] = "video"
    """picture: used to make first frames; its films have one frame."""
    licence: str
    origin: str
    parts: Parts
    loras: tuple[LoraUse, ...] = ()
    network: NetworkSizes
    autoencoder: AutoencoderSizes
    text: TextSizes
    parametrisation: Literal["rectified_flow", "edm", "v_zero_snr"] = "rectified_flow"
    sigma_data: float = Field(default=1.0, gt=0)
    cosmos: CosmosSettings | None = None
    ttt: TttSettings | None = None
    dfm: DfmSettings | None = None
    joint: Joint | None = None
    first_frame: Identifier | None = None
    """The picture model that makes the first frame of a scene that has none; None: from text alone."""
    sizes_px: dict[str, SizePx]
    max_size_px: SizePx | None = None
    """(width, height) where a network's learned table of positions ends; None: it has none, or its family says."""
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
    """Used where neither the scene nor the storyboard has a negative prompt."""
    precision: Precision
    capabilities: tuple[Capability, ...]
    vocabulary: tuple[str, ...] = ()
    """Words the model was shown in training; empty: any."""
    vocabulary_hint: str = ""
    measured: tuple[Measured, ...] = ()
    preview: LatentPreview | None = None
    """None: shown by the latent's own main directions."""

    @property
    def grid_px(self) -> int:
        """Sides of a picture are multiples of this."""
        return self.autoencoder.spatial_factor * self.network.patch_spatial

    def text_length(self, num_segments: int, size_px: SizePx) -> int:
        """Tokens that a prompt is padded to. Where no weights were trained for a number of segments: the most with
        which a joint model's whole sequence is made of full mini-batches."""
        longest = self.text.by_num_segments.get(num_segments, self.text.max_tokens)
        if self.ttt is None or num_segments in self.text.by_num_segments:
            return longest
        frame = (size_px[0] // self.grid_px) * (size_px[1] // self.grid_px)
        video = (self.ttt.segment_latent_frames * num_segments + 1) * frame
        fitting = (n for n in range(longest, 0, -1) if (n * num_segments + video) % self.ttt.mini_batch_size == 0)
        return next(fitting, longest)


class ModelStatus(Value):
    """A card with what one machine knows of it. ``fingerprint`` is "" where the weights are not there.

    ``missing``: names of the parts of which no file is there.
    """

    card: ModelCard
    fingerprint: str
    available: bool
    reason: str = ""
    missing: tuple[str, ...] = ()
