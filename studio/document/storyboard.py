"""The document: what the author wants. Storyboard > Scene, with its schema version and upgrades.

Comes in: a document as read from a file (dicts, lists, scalars). Goes out: frozen values that are checked whole, or one
``StoryboardError`` with everything that is wrong. Does not know files, models' abilities, takes' contents or rendering:
a scene without a prompt is a document all the same (somebody is still writing it); the plan is what refuses it.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError, field_validator

from engine.contract.card_values import Precision
from engine.contract.jobs import GuidanceBranches, Offload
from engine.contract.samplers import SamplerName
from engine.contract.values import Identifier, Value
from studio.document.validation import problems_in, show, suggestion
from studio.errors import Problem, StoryboardError

SCHEMA = "storyboard/1"
MAX_DURATION_S = 600.0
MAX_SCENES = 1000
MAX_CHUNK_PROMPTS = 1000
MAX_SEED = 2**32 - 1

Transition = Literal["cut", "continue", "crossfade"]
Line = Annotated[str, Field(strict=True, max_length=300)]
Text = Annotated[str, Field(strict=True, max_length=8000)]
Seed = Annotated[int, Field(strict=True, ge=0, le=MAX_SEED)]
Seconds = Annotated[float, Field(strict=True, gt=0)]
Strength = Annotated[float, Field(strict=True, ge=0, le=1)]
Side = Annotated[int, Field(strict=True, ge=16, le=8192)]
"""Pixels."""


class Conditioning(Value):
    """What a scene starts from: a picture, the last ``num_frames`` frames of a clip, or a clip to re-imagine."""

    media: Annotated[str, Field(strict=True, min_length=1, max_length=4096)]
    """The path of a file beside the storyboard, or the SHA-256 of stored media."""
    num_frames: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1
    """Of a clip: how many of its last frames the scene goes on from; the model says which numbers it takes."""
    strength: Strength | None = None
    """None: the frames are kept as they are. A number: how far a clip is re-imagined, 0 (not) to 1 (next to nothing
    is kept); NVIDIA's default is 0.8."""
    first_frame_strength: Strength | None = None
    """Of a clip that is re-imagined: how far the picture model re-imagines its first frame; 0 keeps it, None: 0.4."""


class FirstFrame(Value):
    """The first frame that a picture model makes for a scene that is given none."""

    prompt: Text = ""
    """"": the scene's."""
    seed: Seed | None = None
    """None: the scene's. Another seed is another picture."""


class Overrides(Value):
    """Settings of one scene that differ from the preset's; None: the preset's."""

    sampler: SamplerName | None = None
    """The stepping algorithm; the model lists those that fit it."""
    num_steps: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    """Denoising steps."""
    guidance_scale: Annotated[float, Field(strict=True, ge=0, le=100)] | None = None
    """How strictly the prompt is followed, in the usual convention: 1 is none. NVIDIA's number is one less."""


class SpeedSettings(Value):
    """How the engine works where the preset says otherwise; None: the preset's. Only ``precision`` changes pixels."""

    precision: Precision | None = None
    """In which numbers the network computes."""
    offload: Offload | None = None
    """Where a model's components wait: on the device; or off it but while they work."""
    guidance: GuidanceBranches | None = None
    """Whether both branches of guidance run in one batch, or one after the other with half the memory."""


class RefinedFrom(Value):
    """What a refinement was made from: the author's prompts, the scene's picture or clip, the style of its model."""

    prompt: Text = ""
    """The scene's."""
    chunk_prompts: Annotated[tuple[Text, ...], Field(max_length=MAX_CHUNK_PROMPTS)] = ()
    """The scene's."""
    media: Annotated[str, Field(strict=True, max_length=4096)] = ""
    """SHA-256 of the picture or clip; "": none."""
    style: Annotated[str, Field(strict=True, max_length=80)] = ""
    """``engine.contract.assistants.PromptStyle``."""


class Refinement(Value):
    """What a refiner wrote in place of the author's prompts; the author may have changed it."""

    text: Text
    """In place of the prompt."""
    chunk_texts: Annotated[tuple[Text, ...], Field(max_length=MAX_CHUNK_PROMPTS)] = ()
    """In place of ``Scene.chunk_prompts``."""
    source: Line = ""
    """Who wrote it."""
    notes: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    """What it changed, and why."""
    of: RefinedFrom = RefinedFrom()
    """Where it is not what the scene says now, the refinement is outdated and the author's prompts are rendered."""
    accepted: Annotated[bool, Field(strict=True)] = False
    """Whether it is rendered in place of the author's prompts."""


class Scene(Value):
    """One continuous camera view. ``transition`` is how it joins the scene before it; the first joins nothing."""

    id: Annotated[Identifier, Field(strict=True)]
    """The name by which takes belong to the scene; a file may leave it out, and then it is ``scene-N``."""
    prompt: Text = ""
    """What is to be seen."""
    chunk_prompts: Annotated[tuple[Text, ...], Field(max_length=MAX_CHUNK_PROMPTS)] = ()
    """Of the second, third ... chunk (of a jointly denoised model: segment); "" goes on with the one before, as does
    every chunk after the last."""
    negative_prompt: Text | None = None
    """What must not be seen. None: the model's own; "": nothing."""
    refinement: Refinement | None = None
    """What a refiner made of the prompts; None: nothing."""
    duration_s: Annotated[Seconds, Field(le=MAX_DURATION_S)] = 3.0
    """Seconds; rounded to frames, or to segments where the model denoises all scenes together."""
    transition: Transition = "cut"
    """How the scene joins the one before it: a new view; a view that goes on from its last frames; a blend."""
    crossfade_s: Annotated[Seconds, Field(le=10)] = 0.5
    """Seconds of the blend, where the transition is one."""
    conditioning: Conditioning | None = None
    """None: from words, or from the scene before."""
    first_frame: FirstFrame = FirstFrame()
    """Of a model that animates a first frame which a picture model makes."""
    continue_num_frames: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    """Frames taken over from the scene before where this one continues it, and from each chunk by the next; None: the
    model's own number."""
    seed: Seed | None = None
    """None: derived from the storyboard's seed and this scene's id."""
    overrides: Overrides = Overrides()
    """Settings that differ from the preset's."""
    notes: Text = ""
    """For the author; never rendered."""
    chosen_take: Annotated[Identifier, Field(strict=True)] | None = None
    """The take that the film shows; None: the newest."""


class Storyboard(Value):
    """Scenes in the order of the story, and what they share. ``look`` is added to every prompt."""

    title: Line = "Untitled"
    """Of the film."""
    aspect: Annotated[str, Field(strict=True, pattern=r"^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$")] = "3:2"
    """width:height; where the model has no such size, its nearest is rendered."""
    size_px: tuple[Side, Side] | None = None
    """(width, height) of the author's own; None: the model's for the aspect."""
    fps: Annotated[int, Field(strict=True, ge=1, le=120)] | None = None
    """Frames a second of the film; None: the model's own."""
    look: Text = ""
    """Added to every prompt: a style, a light, a place."""
    negative_look: Text = ""
    """Added to every negative prompt."""
    model: Annotated[Identifier, Field(strict=True)] = "diorama"
    """As ``storyboard models list`` names it."""
    preset: Annotated[Identifier, Field(strict=True)] = "balanced"
    """How much work a scene gets: draft, fast, balanced, quality (as the model was published) or max."""
    speed: SpeedSettings = SpeedSettings()
    """How the engine works."""
    seed: Seed = 0
    """Of the noise. Scenes without a seed of their own get theirs from it; a joint model uses it as it is."""
    scenes: Annotated[tuple[Scene, ...], Field(max_length=MAX_SCENES)] = ()
    """In the order of the story."""

    @field_validator("scenes")
    @classmethod
    def _ids_differ(cls, scenes: tuple[Scene, ...]) -> tuple[Scene, ...]:
        if len({scene.id for scene in scenes}) < len(scenes):
            raise ValueError("two scenes have one id; give each its own")
        return scenes

    def position_of(self, scene_id: str) -> int:
        """A scene's position, from 0. Raises StoryboardError where none has this id."""
        for position, scene in enumerate(self.scenes):
            if scene.id == scene_id:
                return position
        ids = [scene.id for scene in self.scenes]
        raise StoryboardError.at("scenes", f"no scene has the id {show(scene_id)}{suggestion(scene_id, ids)}")

    def scene(self, scene_id: str) -> Scene:
        return self.scenes[self.position_of(scene_id)]


Document = dict[str, Any]
"""A storyboard as a file holds it: plain dicts, lists and scalars."""


def _from_0(document: Document) -> Document:
    """storyboard/0 named a scene's prompt ``text`` and its duration ``seconds``; ``style`` was the look."""
    upgraded = _renamed(document, {"style": "look"})
    scenes = upgraded.get("scenes")
    if isinstance(scenes, list):
        names = {"text": "prompt", "negative_text": "negative_prompt", "seconds": "duration_s"}
        upgraded["scenes"] = [
            _renamed(cast(Document, scene), names) if isinstance(scene, dict) else scene
            for scene in cast(list[object], scenes)
        ]
    return {**upgraded, "schema": "storyboard/1"}


def _renamed(group: Document, names: Mapping[str, str]) -> Document:
    return {names.get(key, key): value for key, value in group.items()}


UPGRADES: dict[str, Callable[[Document], Document]] = {"storyboard/0": _from_0}
"""One step each: from a schema to the next one."""


def upgraded(document: Document) -> Document:
    """The document in today's schema. Without ``schema`` it is taken to be today's."""
    seen = document.get("schema", SCHEMA)
    while seen != SCHEMA:
        step = UPGRADES.get(seen) if isinstance(seen, str) else None
        if step is None:
            raise StoryboardError.at("schema", _unknown_schema(seen))
        document = step(document)
        seen = document["schema"]
    return document


def _unknown_schema(seen: object) -> str:
    known = ", ".join((*UPGRADES, SCHEMA))
    return f"{show(seen)} cannot be read here (known: {known}); a newer version may have written it: update"


def read_document(document: object, where: str = "") -> Storyboard:
    """The storyboard that a document describes, upgraded where it is older.

    A scene without an id gets ``scene-N`` by its place, or the next free one. Raises StoryboardError with every
    problem.
    """
    if not isinstance(document, dict):
        message = f"a storyboard is a group of `key: value` with a list of scenes, not {show(document)}"
        raise StoryboardError((Problem("", message),), where)
    try:
        current = _with_ids(upgraded(cast(Document, document)))
    except StoryboardError as error:
        raise StoryboardError(error.problems, where) from error
    current.pop("schema", None)
    duplicates = _duplicate_ids(current)
    try:
        storyboard = Storyboard.model_validate(current)
    except ValidationError as error:
        problems = problems_in(error, Storyboard)
        if duplicates:
            problems = tuple(problem for problem in problems if problem.field != "scenes")
        raise StoryboardError((*problems, *duplicates), where) from error
    return storyboard


def _entries(document: Document) -> list[object]:
    scenes: object = document.get("scenes")
    return cast(list[object], scenes) if isinstance(scenes, list) else []


def _with_ids(document: Document) -> Document:
    entries = _entries(document)
    taken = {_id_of(entry) for entry in entries}
    filled: list[object] = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict) and "id" not in entry:
            scene_id = f"scene-{number}" if f"scene-{number}" not in taken else free_id(taken)
            taken.add(scene_id)
            filled.append({"id": scene_id, **cast(Document, entry)})
        else:
            filled.append(cast(object, entry))
    return {**document, "scenes": filled} if entries else dict(document)


def _id_of(entry: object) -> str:
    return str(cast(Document, entry).get("id", "")) if isinstance(entry, dict) else ""


def free_id(taken: set[str]) -> str:
    """The next ``scene-N`` that is not taken: one more than the highest N there is."""
    numbers = [int(name[6:]) for name in taken if name.startswith("scene-") and _is_number(name[6:])]
    return f"scene-{max(numbers, default=0) + 1}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _duplicate_ids(document: Document) -> tuple[Problem, ...]:
    first: dict[str, int] = {}
    problems: list[Problem] = []
    for position, entry in enumerate(_entries(document)):
        scene_id = _id_of(entry)
        if scene_id in first:
            earlier = first[scene_id]
            message = f"scenes[{earlier}] has the id {show(scene_id)} too; give each scene its own"
            problems.append(Problem(f"scenes[{position}].id", message))
        elif scene_id:
            first[scene_id] = position
    return tuple(problems)


def document_of(storyboard: Storyboard) -> Document:
    """The storyboard as a file holds it: today's schema first, whole, plain values only."""
    return {"schema": SCHEMA, **storyboard.model_dump(mode="json")}
