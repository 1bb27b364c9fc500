"""TTT-Video's configuration files (TOML): what of one means something here, and what does not.

Comes in: a file as the authors' ``--job.config_file`` names it. Goes out: a ``TttConfig``. Values that still say TODO
are taken as missing. Does not know flags or models' abilities.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from studio.document.formats.text_file import read_text
from studio.document.validation import show
from studio.errors import Problem, StoryboardError

MODELS = {"ttt_mlp": "ttt-video-mlp-5b", "ttt_linear": "ttt-video-linear-5b"}
DERIVED = "follows from the film's length and the model"
UNUSED: dict[str, str] = {
    "eval.sampling_num_frames": DERIVED,
    "eval.txt_maxlen": DERIVED,
    "eval.latent_channels": DERIVED,
    "eval.scale_factor": DERIVED,
    "eval.vae_scale_factor": DERIVED,
    "model.video_length": DERIVED,
    "model.mini_batch_size": "is the one that the weights were trained with",
    "guider.exp": "is the shape of the ramp, which is the model's",
    "guider.num_steps": "the authors' code does not read it",
}
"""Keys that mean nothing here, with the reason; other unknown ones are of training."""


@dataclass(frozen=True, slots=True)
class TttConfig:
    """None: the file does not say. Paths are as written: relative to where the command is called."""

    model: str | None = None
    input_file: Path | None = None
    output_dir: Path | None = None
    network: Path | None = None
    text_encoder: Path | None = None
    autoencoder: Path | None = None
    size_px: tuple[int, int] | None = None
    fps: int | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    precision: str | None = None
    num_ranks: int | None = None
    seed: int | None = None
    unused: tuple[str, ...] = ()
    """``eval.txt_maxlen: follows from ...``"""


def read_config(path: Path) -> TttConfig:
    """Raises StoryboardError that names file and key."""
    text = re.sub(r"^\s*[\w.]+\s*=\s*TODO\s*$", "", read_text(path).text, flags=re.MULTILINE)
    try:
        document = tomllib.loads(text)
        return _config(document)
    except tomllib.TOMLDecodeError as error:
        raise StoryboardError((Problem("", f"not readable as TOML: {error}"),), str(path)) from error
    except StoryboardError as error:
        raise StoryboardError(error.problems, str(path)) from error


def _config(document: dict[str, Any]) -> TttConfig:
    def get(key: str, kind: Callable[[Any], Any]) -> Any:
        section, _, name = key.partition(".")
        group = document.get(section)
        value: Any = cast(dict[str, Any], group).get(name) if isinstance(group, dict) else None
        return None if value is None else _converted(key, value, kind)

    layer = get("model.ssm_layer", str)
    if layer is not None and layer not in MODELS:
        raise StoryboardError.at("model.ssm_layer", f"{show(layer)} has no model here; known are {', '.join(MODELS)}")
    width, height = get("eval.image_width", int), get("eval.image_height", int)
    if (width is None) != (height is None):
        raise StoryboardError.at("eval", "has image_width or image_height alone; write both or none")
    split = [get(f"parallelism.{name}", int) for name in ("dp_replicate", "dp_sharding", "tp_sharding")]
    return TttConfig(
        model=MODELS.get(layer or ""),
        input_file=get("eval.input_file", Path),
        output_dir=get("eval.output_dir", Path),
        network=get("checkpoint.init_state_dir", Path),
        text_encoder=get("eval.t5_model_dir", Path),
        autoencoder=get("eval.vae_checkpoint_path", Path),
        size_px=None if width is None else (width, height),
        fps=get("eval.sampling_fps", int),
        num_steps=get("eval.num_denoising_steps", int),
        guidance_scale=get("guider.scale", float),
        precision=get("eval.dtype", str),
        num_ranks=None if split == [None] * 3 else (split[0] or 1) * (split[1] or 1) * (split[2] or 1),
        seed=get("job.seed", int),
        unused=tuple(f"{key}: {reason}" for key, reason in UNUSED.items() if get(key, lambda value: value) is not None),
    )


def _converted(key: str, value: Any, kind: Callable[[Any], Any]) -> Any:
    try:
        if isinstance(value, bool) or isinstance(value, dict | list):
            raise ValueError
        return kind(value)
    except (TypeError, ValueError) as error:
        raise StoryboardError.at(
            key, f"must be a value such as the authors' own, not {show(cast(object, value))}"
        ) from error
