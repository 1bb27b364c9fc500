"""The board: everything the page shows of one project, as one JSON-able value.

Comes in: a project, its plan, its takes and the live state of its jobs. Goes out: ``BoardView``. Pure; does not know
the page, the database, the engine's address or where a file is: pictures and clips are named by their sha256, a live
preview by a key that changes with every new picture.
"""

from typing import Literal

from engine.contract.values import Value
from studio.views.guarding import TakeGuardState

SceneState = Literal[
    "fresh", "stale", "missing", "checking", "queued", "rendering", "failed", "unplannable", "without_model"
]
"""``checking``: a guard judges its texts before it is queued. ``without_model``: nothing is wrong with the scene, but
the storyboard's model is not here."""


class ProgressView(Value):
    """How far a rendering scene is: ``step`` of ``num_steps``; ``left_s`` seconds, None while not yet known."""

    stage: str
    step: int
    num_steps: int
    left_s: float | None
    memory_bytes: int
    """The most that a rank held of its device so far; 0: not known."""
    text: str
    """As text: ``denoising, step 7 of 20, 12 s left``."""
    stage_text: str
    """The stage alone as text: ``first frame: reading the prompt``."""
    is_first_frame: bool
    """Whether it is the first frame that is made, by a picture model."""


class CritiqueView(Value):
    """``score``: 0 (worst) to 1; ``text``: the same as it is shown. ``reasons``: the most important first."""

    score: float
    text: str
    source: str
    reasons: tuple[str, ...]


class TakeGuardView(Value):
    """What a guard says of a take, or why none could. ``text`` "": nothing is to be said.

    ``withheld``: only the owner of the machine sees it; a visitor's board does not name its files.
    """

    state: TakeGuardState
    text: str


class TakeView(Value):
    """One take of a scene. ``media``, ``poster`` and ``picture`` are sha256 names for the media route."""

    id: str
    recipe: str
    media: str
    poster: str | None
    picture: str | None
    """PNG of the first frame, where a picture model made one."""
    seed: int
    duration_s: float
    render_s: float
    made_s: float
    """When, in seconds since the epoch."""
    critique: CritiqueView | None
    """What a critic said of it; None: nothing."""
    rank: int | None
    """Among the takes of its scene that have a score: 1 is the best, of equal ones the one that is
    shown, then the newest; None: no score."""
    chosen: bool
    matches: bool
    """Whether it is what the scene as it is written now would give."""
    guard: TakeGuardView


class ConditioningView(Value):
    """``kind``: image or clip; "" where the file is not in the project's media."""

    media: str
    kind: Literal["image", "clip", ""]
    num_frames: int
    num_frames_of_clip: int
    """How many there are to start from; 0 where the file is not there."""
    strength: float | None
    """None: the frames are kept. 0 to 1: the clip is re-imagined that far."""
    first_frame_strength: float | None
    """Of a re-imagined clip; None: the default, where a picture model is there."""
    text: str


class FirstFrameView(Value):
    """The first frame that a picture model makes. ``prompt`` "": the scene's; ``seed`` None: the scene's."""

    prompt: str
    seed: int | None
    media: str | None
    """sha256 of the PNG of the shown take; None: no picture model made one."""
    can_make: bool
    """Whether this scene, as it is written, gets its first frame from a picture model."""
    text: str
    """As text: ``made by Cosmos-Predict2 2B Text2Image``, or why none is made."""


class RefinementView(Value):
    """What a refiner made of a scene's prompts. ``state``: "" where there is nothing yet.

    outdated: made from other words, and not rendered until it is accepted as it is.
    """

    state: Literal["", "proposed", "accepted", "outdated"]
    text: str
    chunk_texts: tuple[str, ...]
    source: str
    notes: tuple[str, ...]
    busy: bool
    """Whether the refiner is at work on it."""
    failure: str
    """Why the refiner had no answer; "" where it had."""


class RefinerView(Value):
    """Which refiner the storyboard's model has. ``problem``: why none. ``style``: what its prompts are written for."""

    name: str
    problem: str
    style: str


class NoteView(Value):
    """What the plan has to say about the whole storyboard: its model, its size, its look."""

    level: Literal["info", "warn", "error"]
    text: str


class SceneCard(Value):
    """One scene. ``number`` counts from 1. ``state`` with ``reason`` says why."""

    number: int
    id: str
    prompt: str
    chunk_prompts: tuple[str, ...]
    """The author's own, of the second chunk on."""
    num_chunks: int
    chunk_starts_s: tuple[float, ...]
    """Where in the scene each chunk (or 3 s segment) begins; empty where the scene cannot be planned."""
    negative_prompt: str | None
    """None: the model's own; "": none."""
    duration_s: float
    duration_text: str
    planned_s: float
    """Seconds that are rendered; those that are written where the scene cannot be planned."""
    transition: Literal["cut", "continue", "crossfade"]
    crossfade_s: float
    continues: bool
    """Whether it goes on from the frames of the scene before it."""
    conditioning: ConditioningView | None
    first_frame: FirstFrameView
    seed: int | None
    """The author's own seed; None: derived."""
    effective_seed: int | None
    overrides: dict[str, float | int | str | None]
    refinement: RefinementView
    notes: str
    """The author's own."""
    plan_notes: tuple[str, ...]
    """What the plan rounded, and what the model was never shown."""
    state: SceneState
    reason: str
    job_id: str | None
    """Of its waiting, running or last job."""
    progress: ProgressView | None
    preview: str | None
    """Key of the live preview, another with every picture; None: none. See ``Studio.preview``."""
    take: TakeView | None
    """The chosen one."""
    takes: tuple[TakeView, ...]
    """All, newest first."""
    round_text: str
    """How far the takes are that were asked for together: ``2 of 4 takes``; "": none were."""


class PresetView(Value):
    name: str
    title: str
    summary: str
    estimate_text: str
    """For what is to be rendered with it: ``about 40 s``, or ``not measured yet``."""


class ModelView(Value):
    """``family``: what its models are called together. ``reason``: why it is not here.

    ``command``: what brings all that is missing of it; "" where nothing does.
    """

    name: str
    title: str
    family: str
    summary: str
    available: bool
    reason: str
    command: str
    aspects: tuple[str, ...]
    sizes_px: dict[str, tuple[int, int]]
    """(width, height) by aspect."""
    grid_px: int
    """Sides of a size of the author's own are multiples of this."""
    vocabulary_hint: str
    negative_prompt: str
    """What is used where neither scene nor film has one."""
    num_steps: int
    guidance_scale: float
    """As it was published, in the usual convention."""
    capabilities: tuple[str, ...]
    makes: Literal["video", "picture"]
    first_frame: str | None
    """The name of the picture model that makes first frames."""
    joint: bool
    """Whether all scenes of a storyboard are denoised together."""
    conditioning_num_frames: tuple[int, ...]
    """How many frames of a clip a scene may start from."""
    samplers: tuple[str, ...]


class JointView(Value):
    """Of a model that denoises all scenes together, in segments of one length."""

    segment_s: float
    num_segments: int
    """Of the whole storyboard as it is written."""


class RenderBar(Value):
    """What the button would do, and what it is doing."""

    num_scenes: int
    """How many scenes would be rendered now."""
    text: str
    why: tuple[str, ...]
    """One line per scene that would be rendered: ``scene 2: prompt changed``."""
    estimate_s: float | None
    estimate_text: str
    can_render: bool
    busy: bool
    """Whether jobs of this project wait or run, or takes that were asked for together are not compared yet."""
    paused: bool
    problem: str
    """Why nothing can be rendered, in short: no engine, the model is missing; "" if nothing is wrong."""
    problem_text: str
    """The same in full."""


class FilmView(Value):
    """``up_to_date``: it shows exactly what is written now."""

    media: str | None
    poster: str | None
    duration_s: float
    up_to_date: bool
    assembling: bool
    missing: tuple[int, ...]
    """Numbers of the scenes that have no take."""
    stale: tuple[int, ...]
    """Numbers of the scenes whose take is not what is written now."""
    text: str
    error: str


class EngineView(Value):
    """``state``: absent (none attached yet), unreachable, or the group's: down, starting, ready, busy."""

    state: Literal["absent", "unreachable", "down", "starting", "ready", "busy"]
    device: str
    num_ranks: int
    text: str


class GuardView(Value):
    """Of the storyboard's prompts and takes. ``can_switch``: whether its author may. ``withholds``: whether takes may
    be withheld from visitors."""

    on: bool
    can_switch: bool
    withholds: bool
    text: str


class BoardView(Value):
    """``version`` grows whenever anything here changes; see ``Studio.wait_for_change``."""

    version: int
    project_id: str
    title: str
    revision: int
    can_undo: bool
    can_redo: bool
    aspect: str
    aspects: tuple[str, ...]
    size_px: tuple[int, int] | None
    """The author's own (width, height); None: the model's for the aspect."""
    rendered_size_px: tuple[int, int] | None
    """What is rendered; None where the model is not known, or cannot make what was asked for."""
    fps: int
    look: str
    negative_look: str
    refiner: RefinerView
    speed: dict[str, str]
    """The author's own settings of how the engine works, by name; those that are missing are the preset's."""
    prompt_tips: tuple[str, ...]
    """How to write prompts for the chosen model, a sentence each."""
    seed: int
    model: str
    models: tuple[ModelView, ...]
    preset: str
    presets: tuple[PresetView, ...]
    duration_text: str
    joint: JointView | None
    notes: tuple[NoteView, ...]
    """About the whole storyboard; why its model is not here is said with the model."""
    render: RenderBar
    scenes: tuple[SceneCard, ...]
    film: FilmView
    guard: GuardView
    engine: EngineView
    problem: str
    """Why the storyboard cannot be planned at all (an unknown model or preset); "" if it can."""
