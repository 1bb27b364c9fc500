"""Input files of Cosmos-Predict2.5 and Cosmos 3: samples by name, each with settings of its own.

Comes in: a group, a list of groups or groups on lines, and the folder that their files are beside. Goes out: a
``Batch``. These models are not here: Cosmos-Predict2 makes what a sample asks for, and keys that mean nothing to it are
named in the entry's notes. Does not know models' abilities or rendering.

Predict2.5: ``{inference_type, name, prompt | prompt_path, input_path, negative_prompt, seed, guidance, num_steps,
num_output_frames}``, or ``{inference_type, samples: {name: {...}}}``. Cosmos 3: ``{model_mode, name, prompt,
vision_path, negative_prompt, num_frames ...}``, where a prompt may be a group.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from studio.document.formats.cosmos_batch import BadEntry, Batch, Entry, EntrySettings
from studio.document.formats.text_file import read_text
from studio.document.storyboard import MAX_SCENES
from studio.document.validation import show
from studio.errors import StoryboardError

MARKS = {"inference_type", "samples", "model_mode", "prompt_path", "input_path", "vision_path"}
"""A group with one of these keys is a sample."""
KINDS = ("text2world", "image2world", "video2world", "text2video", "image2video", "video2video")
INPUTS = ("input_path", "vision_path")
INPUT_FRAMES = {"image2world": 1, "image2video": 1, "video2world": 5, "video2video": 5}
"""Predict2.5 takes two latent frames of a clip, which are 5 frames."""
USED = {
    *("inference_type", "model_mode", "name", "prompt", "prompt_path", "negative_prompt", "seed", "num_steps"),
    *("guidance", "num_output_frames", "num_frames", *INPUTS),
}


def is_samples(value: object) -> bool:
    """Whether a parsed file, or line, holds samples."""
    if isinstance(value, list):
        values = cast(list[object], value)
        return bool(values) and all(map(is_samples, values))
    return isinstance(value, dict) and bool(MARKS & set(cast(dict[str, object], value)))


def read_samples(value: object, folder: Path) -> Batch:
    """Raises StoryboardError where there are none, or too many."""
    samples = list(_samples(value))
    if not samples:
        raise StoryboardError.at("", "holds no samples; write at least one with a prompt")
    if len(samples) > MAX_SCENES:
        raise StoryboardError.at("", f"holds {len(samples)} samples; at most {MAX_SCENES} in one file, so split it")
    entries: list[Entry] = []
    bad: list[BadEntry] = []
    for number, sample in enumerate(samples, start=1):
        try:
            entries.append(_entry(number, sample, folder))
        except ValueError as error:
            bad.append(BadEntry(number, str(error)))
        except StoryboardError as error:
            bad.append(BadEntry(number, f"prompt_path: {error}"))
    return Batch("predict2", "video", tuple(entries), tuple(bad))


def _samples(value: object) -> Iterator[dict[str, object]]:
    """Each sample with what its file says of all."""
    if isinstance(value, list):
        for each in cast(list[object], value):
            yield from _samples(each)
        return
    group = dict(cast(dict[str, object], value))
    named = group.pop("samples", None)
    if not isinstance(named, dict):
        yield group
        return
    for name, sample in cast(dict[str, object], named).items():
        yield {**group, "name": name, **(cast(dict[str, object], sample) if isinstance(sample, dict) else {})}


def _entry(number: int, sample: dict[str, object], folder: Path) -> Entry:
    """Raises ValueError in words, StoryboardError for a prompt file that cannot be read."""
    kind = str(sample.get("inference_type", sample.get("model_mode", "")))
    if kind and kind not in KINDS:
        raise ValueError(f"{kind}: nothing here makes that; known are {', '.join(KINDS)}")
    media = "" if kind.startswith("text2") else next((_text(sample, key) for key in INPUTS if sample.get(key)), "")
    prompt = _prompt(sample, folder)
    if not prompt.strip():
        raise ValueError("prompt: there is none; write what is to be seen, or name its file as prompt_path")
    unused = sorted(sample.keys() - USED)
    notes = (f"not used, since Cosmos-Predict2 makes it: {', '.join(unused)}",) if unused else ()
    return Entry(number, prompt, media, _output(sample, number), _settings(sample, kind), notes)


def _prompt(sample: dict[str, object], folder: Path) -> str:
    """A group is written as JSON of plain ASCII, as Cosmos 3 reads it."""
    if isinstance(sample.get("prompt"), dict):
        return json.dumps(sample["prompt"])
    if sample.get("prompt") is not None:
        return _text(sample, "prompt")
    return read_text(folder / _text(sample, "prompt_path")).text.strip() if sample.get("prompt_path") else ""


def _output(sample: dict[str, object], number: int) -> str:
    return f"{_text(sample, 'name') if sample.get('name') else f'output_{number - 1}'}.mp4"


def _settings(sample: dict[str, object], kind: str) -> EntrySettings:
    guidance = _number(sample, "guidance")
    values: dict[str, object] = {
        "negative_prompt": _text(sample, "negative_prompt") if sample.get("negative_prompt") is not None else None,
        "seed": _whole(sample, "seed"),
        "num_steps": _whole(sample, "num_steps"),
        "guidance_scale": None if guidance is None else 1 + guidance,
        "num_frames": _whole(sample, "num_output_frames") or _whole(sample, "num_frames"),
        "num_input_frames": INPUT_FRAMES.get(kind),
    }
    return EntrySettings(**{field.name: values[field.name] for field in fields(EntrySettings)})  # pyright: ignore[reportArgumentType]


def _text(sample: dict[str, object], key: str) -> str:
    value: Any = sample[key]
    if isinstance(value, dict) and key == "negative_prompt":
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueError(f"{key}: must be text in quotes, not {show(cast(object, value))}")
    return value


def _number(sample: dict[str, object], key: str) -> float | None:
    value = sample.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key}: must be a number, not {show(value)}")
    return float(value)


def _whole(sample: dict[str, object], key: str) -> int | None:
    value = _number(sample, key)
    if value is not None and value != int(value):
        raise ValueError(f"{key}: must be a whole number, not {value:g}")
    return None if value is None else int(value)
