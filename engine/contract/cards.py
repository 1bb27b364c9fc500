"""Model cards: what a model is, which frames and sizes it can make, and how it is sampled. Data, never code.

Comes in: ``presets/models/*.yaml``. Goes out: ``ModelCard``. Does not know torch, storyboards or processes.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from pydantic import Field, ValidationError

from engine.contract.errors import Rejected
from engine.contract.values import Identifier, Sha256, SizePx, Value

Capability = Literal["text", "image", "clip", "continue", "sdedit", "negative_prompt"]
Precision = Literal["float32", "bfloat16"]
SamplerName = Literal["euler", "heun", "res_2ab"]


class NetworkSizes(Value):
    """Sizes that decide cost and parallelism; the weights' own ``config.json`` is what is built."""

    width: int = Field(gt=0)
    num_blocks: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    patch_spatial: int = Field(gt=0)
    num_parameters: int = Field(gt=0)


class AutoencoderSizes(Value):
    spatial_factor: int = Field(gt=0)
    temporal_factor: int = Field(gt=0)
    latent_channels: int = Field(gt=0)


class TextSizes(Value):
    max_tokens: int = Field(gt=0)


class SamplerDefaults(Value):
    """Noise levels of the schedule; Karras et al. 2022 (arXiv 2206.00364), equation 5, with exponent ``rho``."""

    name: SamplerName
    sigma_max: float = Field(gt=0)
    sigma_min: float = Field(gt=0)
    rho: float = Field(gt=0)


class LatentPreview(Value):
    """A linear map from one normalised latent pixel to RGB in [0, 1], fitted for the model's autoencoder."""

    weight: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    bias: tuple[float, float, float]


class ModelCard(Value):
    """One model. ``folder`` is relative to the models' root; sizes are (width, height) by aspect ratio."""

    name: Identifier
    title: str
    summary: str
    family: Literal["cosmos"]
    licence: str
    origin: str
    folder: str
    network: NetworkSizes
    autoencoder: AutoencoderSizes
    text: TextSizes
    sizes_px: dict[str, SizePx]
    default_aspect: str
    fps: int = Field(gt=0)
    chunk_num_frames: int = Field(gt=0)
    """Frames of one sampler call, the length the weights were trained at."""
    conditioning_num_frames: tuple[int, ...]
    """Numbers of pixel frames that the model can be conditioned on, ascending; all on the frame grid."""
    continue_num_frames: int = Field(gt=0)
    """Frames handed over where a scene or chunk continues the one before."""
    max_duration_s: float = Field(gt=0)
    sampler: SamplerDefaults
    guidance_scale: float
    precision: Precision
    capabilities: tuple[Capability, ...]
    vocabulary: tuple[str, ...] = ()
    """Words the model was shown in training; empty: any."""
    vocabulary_hint: str = ""
    preview: LatentPreview


def read_cards(folder: Path) -> dict[str, ModelCard]:
    """All ``*.yaml`` of a folder, by name. Raises Rejected("model") for the first that is wrong."""
    return {path.stem: read_card(path) for path in sorted(folder.glob("*.yaml"))}


def read_card(path: Path) -> ModelCard:
    """One card; its name is the file's. Raises Rejected("model") naming file and key."""
    try:
        document: Any = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise Rejected("model", f"{path}: not readable as YAML: {error}") from error
    if not isinstance(document, dict):
        raise Rejected("model", f"{path}: not a model card: must be a group of `key: value`.")
    try:
        return ModelCard.model_validate_json(json.dumps({**cast(dict[str, Any], document), "name": path.stem}))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Rejected("model", f"{path}: {problems}") from error


class ModelStatus(Value):
    """A card with what one machine knows of it. ``fingerprint`` is "" where the weights are not there."""

    card: ModelCard
    fingerprint: str
    available: bool
    reason: str = ""


WEIGHT_SUFFIXES = (".safetensors", ".json", ".model", ".txt")


def fingerprint(folder: Path) -> Sha256:
    """A hash over the names and contents of all files that decide what a model draws.

    Raises FileNotFoundError where the folder or its weights are missing.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in WEIGHT_SUFFIXES)
    if not any(path.suffix == ".safetensors" for path in files):
        raise FileNotFoundError(f"{folder}: no weights here")
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
