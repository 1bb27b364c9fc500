"""NVIDIA's batch files for Cosmos: Predict2's JSON arrays and Predict1's JSON lines.

Comes in: the text of a file. Goes out: its entries, and beside them what is wrong with others; or a ``Storyboard`` with
a scene for each entry, joined by cuts. An entry says what is to be seen, what it starts from and how its file is to be
called; everything else (seed, guidance, aspect) is not in these files. Does not know models, files or rendering.

Predict2: ``{prompt, output_image}``, ``{prompt, output_video}``, ``{input_video, prompt, output_video}``.
Predict1: ``{prompt}``, ``{visual_input, prompt}``, ``{visual_input}`` (a refiner writes the prompt). Names that are not
given are those of NVIDIA's scripts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from studio.document.formats.plain_yaml import YamlError, parse_json
from studio.document.storyboard import MAX_SCENES, Scene, Storyboard, read_document
from studio.document.validation import show, suggestion
from studio.errors import Problem, StoryboardError, printable

Generation = Literal["predict2", "predict1"]
Makes = Literal["video", "picture"]

FIELDS: dict[Generation, tuple[str, ...]] = {
    "predict2": ("prompt", "input_video", "output_video", "output_image"),
    "predict1": ("prompt", "visual_input"),
}
MODELS: dict[tuple[Generation, str], str] = {
    ("predict2", "picture"): "cosmos-predict2-2b-text2image",
    ("predict2", "text"): "cosmos-predict2-2b-video2world-720p-16fps",
    ("predict2", "frames"): "cosmos-predict2-2b-video2world-720p-16fps",
    ("predict1", "text"): "cosmos-predict1-7b-text2world",
    ("predict1", "frames"): "cosmos-predict1-7b-video2world",
}
"""What NVIDIA's scripts use for such a file by default."""
DURATION_S: dict[Generation, float] = {"predict2": 93 / 16, "predict1": 121 / 24}
"""Of one chunk: 93 frames at 16 a second, 121 at 24."""
PICTURE_DURATION_S = 1 / 16
ASPECT = "16:9"


@dataclass(frozen=True, slots=True)
class EntrySettings:
    """What an entry says of how it is made; None: what the command or the model says. ``guidance_scale`` is in the
    usual convention."""

    negative_prompt: str | None = None
    seed: int | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    num_frames: int | None = None
    num_input_frames: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """``prompt`` "": a refiner writes it from the ``media``, the picture or clip that it starts from ("": none).
    ``output``: what its file is called. ``notes``: what of it is not used."""

    number: int
    prompt: str
    media: str
    output: str
    settings: EntrySettings = EntrySettings()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadEntry:
    """``number`` counts from 1; ``reason`` says what is wrong and what to do."""

    number: int
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", printable(self.reason))


@dataclass(frozen=True, slots=True)
class Batch:
    """``bad`` holds the entries that cannot be made, in words; the others are right."""

    generation: Generation
    makes: Makes
    entries: tuple[Entry, ...]
    bad: tuple[BadEntry, ...]

    @property
    def model(self) -> str:
        """The card that corresponds to NVIDIA's script for such a file."""
        if self.makes == "picture":
            return MODELS[self.generation, "picture"]
        return MODELS[self.generation, "frames" if any(entry.media for entry in self.entries) else "text"]


def read_array(values: list[object]) -> Batch:
    """Predict2's array. Raises StoryboardError where there is no entry at all, or too many."""
    return _batch("predict2", [(number, value) for number, value in enumerate(values, start=1)], ())


def read_lines(text: str) -> Batch:
    """Predict1's JSON lines; a line that cannot be read is a bad entry."""
    values: list[tuple[int, object]] = []
    bad: list[BadEntry] = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        try:
            values.append((number, parse_json(line, number) if line.strip() else _blank()))
        except YamlError as error:
            bad.append(BadEntry(number, str(error)))
    return _batch("predict1", values, bad)


def _blank() -> object:
    raise YamlError("is a blank line; take it out")


def _batch(generation: Generation, values: list[tuple[int, object]], bad: Iterable[BadEntry]) -> Batch:
    refused = list(bad)
    if not values and not refused:
        raise StoryboardError.at("", "holds no entries; write at least one with a prompt")
    if len(values) > MAX_SCENES:
        raise StoryboardError.at("", f"holds {len(values)} entries; at most {MAX_SCENES} in one file, so split it")
    makes = _makes(value for _, value in values)
    entries: list[Entry] = []
    for number, value in values:
        try:
            entries.append(_entry(generation, makes, number, value))
        except ValueError as error:
            refused.append(BadEntry(number, str(error)))
    return Batch(generation, makes, tuple(entries), tuple(sorted(refused, key=lambda entry: entry.number)))


def _makes(values: Iterable[object]) -> Makes:
    """What the first entry that names a file asks for; a file is for one of NVIDIA's scripts, and so for one kind."""
    for value in values:
        if isinstance(value, dict) and ("output_image" in value or "output_video" in value):
            return "picture" if "output_image" in value else "video"
    return "video"


def _entry(generation: Generation, makes: Makes, number: int, value: object) -> Entry:
    """Raises ValueError in words."""
    if not isinstance(value, dict):
        raise ValueError(f'must be a group such as {{"prompt": "..."}}, not {show(value)}')
    fields = cast(dict[str, object], value)
    for name in fields:
        if name not in FIELDS[generation]:
            raise ValueError(f"{name}: unknown field{suggestion(name, FIELDS[generation])}")
    texts = {name: _text(name, value) for name, value in fields.items()}
    if not texts.get("prompt", "").strip() and not texts.get("visual_input"):
        raise ValueError("prompt: there is none; write what is to be seen")
    other = "output_video" if makes == "picture" else "output_image"
    if other in texts:
        raise ValueError(
            f"{other}: this file's first entry asks for a {makes}; put the others into a file of their own"
        )
    if makes == "picture" and "input_video" in texts:
        raise ValueError("input_video: a picture is made from its prompt alone; take it out, or ask for output_video")
    media = texts.get("input_video", "") or texts.get("visual_input", "")
    name = texts.get("output_image" if makes == "picture" else "output_video", "")
    return Entry(number, texts.get("prompt", ""), media, name or _default_name(generation, makes, number))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: must be text in quotes, not {show(value)}")
    if not value.strip() and name != "prompt":
        raise ValueError(f"{name}: is empty; name a file, or leave it out")
    return value


def _default_name(generation: Generation, makes: Makes, number: int) -> str:
    """NVIDIA's scripts count from 0."""
    if generation == "predict1":
        return f"{number - 1}.mp4"
    return f"output_{number - 1}.{'jpg' if makes == 'picture' else 'mp4'}"


def scene_of(entry: Entry, duration_s: float, num_input_frames: int = 1) -> Scene:
    """The entry as a scene; the name of its file is put into the notes. Raises StoryboardError."""
    own = entry.settings
    overrides = {"num_steps": own.num_steps, "guidance_scale": own.guidance_scale}
    document: dict[str, object] = {"id": f"scene-{entry.number}", "prompt": entry.prompt, "duration_s": duration_s}
    document |= {"notes": f"file: {entry.output}", "seed": own.seed, "negative_prompt": own.negative_prompt}
    document["overrides"] = {name: value for name, value in overrides.items() if value is not None}
    if entry.media:
        document["conditioning"] = {"media": entry.media, "num_frames": own.num_input_frames or num_input_frames}
    return read_document({"scenes": [document]}).scenes[0]


def storyboard_of(batch: Batch) -> Storyboard:
    """The whole file as one storyboard. Raises StoryboardError with every bad entry."""
    problems = [Problem(f"entry {entry.number}", entry.reason) for entry in batch.bad]
    duration_s = PICTURE_DURATION_S if batch.makes == "picture" else DURATION_S[batch.generation]
    scenes: list[Scene] = []
    for entry in batch.entries:
        try:
            scenes.append(scene_of(entry, duration_s))
        except StoryboardError as error:
            problems += [Problem(f"entry {entry.number}", _message_of(problem)) for problem in error.problems]
    if problems:
        raise StoryboardError(problems)
    what = ("picture" if batch.makes == "picture" else "clip") + "s" * (len(scenes) != 1)
    return Storyboard(title=f"Batch of {len(scenes)} {what}", aspect=ASPECT, model=batch.model, scenes=tuple(scenes))


def _message_of(problem: Problem) -> str:
    return f"{problem.field.rpartition('.')[2]}: {problem.message}"
