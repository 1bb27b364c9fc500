"""The board: everything the page shows of one project, as one JSON-able value.

Comes in: a project, its plan, its takes and the live state of its jobs. Goes out: ``Board``. Pure; does not know the
page, the database, the engine's address or where a file lies: pictures and clips are named by their sha256, a live
preview by a key that changes with every new picture.
"""

from typing import Literal

from engine.contract.values import Value

SceneState = Literal["fresh", "stale", "missing", "queued", "rendering", "failed", "unplannable"]


class ProgressView(Value):
    """Where a rendering scene stands: ``step`` of ``num_steps``; ``left_s`` seconds, None while not yet known."""

    stage: str
    step: int
    num_steps: int
    left_s: float | None
    text: str
    """In words: ``denoising, step 7 of 20, 12 s left``."""


class TakeView(Value):
    """One take of a scene. ``media`` and ``poster`` are sha256 names for the media route."""

    id: str
    recipe: str
    media: str
    poster: str | None
    seed: int
    duration_s: float
    render_s: float
    made_s: float
    """When, in seconds since the epoch."""
    chosen: bool
    matches: bool
    """Whether it is what the scene as it is written now would give."""


class ConditioningView(Value):
    """``kind``: image or clip; "" where the file is not in the project's media."""

    media: str
    kind: Literal["image", "clip", ""]
    num_frames: int
    strength: float | None
    text: str


class SceneCard(Value):
    """One scene. ``number`` counts from 1. ``state`` with ``reason`` says in words why."""

    number: int
    id: str
    prompt: str
    negative_prompt: str
    duration_s: float
    duration_text: str
    transition: Literal["cut", "continue", "crossfade"]
    crossfade_s: float
    continues: bool
    """Whether it goes on from the frames of the scene before it."""
    conditioning: ConditioningView | None
    seed: int | None
    """The author's own seed; None: derived."""
    effective_seed: int | None
    overrides: dict[str, float | int | str | None]
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
    """Key of the live preview, another with every picture; None: none. See ``Desk.preview``."""
    take: TakeView | None
    """The chosen one."""
    takes: tuple[TakeView, ...]
    """All, newest first."""


class PresetView(Value):
    name: str
    title: str
    summary: str
    estimate_text: str
    """For what is to be rendered with it: ``about 40 s``, or ``not measured yet``."""


class ModelView(Value):
    name: str
    title: str
    summary: str
    available: bool
    reason: str
    aspects: tuple[str, ...]
    vocabulary_hint: str
    capabilities: tuple[str, ...]


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
    """Whether jobs of this project wait or run."""
    paused: bool
    problem: str
    """Why nothing can be rendered: the engine is not there, the model is missing; "" if nothing is wrong."""


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


class Board(Value):
    """``version`` grows whenever anything here changes; see ``Desk.wait_for_change``."""

    version: int
    project_id: str
    title: str
    revision: int
    can_undo: bool
    can_redo: bool
    aspect: str
    aspects: tuple[str, ...]
    fps: int
    look: str
    negative_look: str
    seed: int
    model: str
    models: tuple[ModelView, ...]
    preset: str
    presets: tuple[PresetView, ...]
    duration_text: str
    render: RenderBar
    scenes: tuple[SceneCard, ...]
    film: FilmView
    engine: EngineView
    problem: str
    """Why the storyboard cannot be planned at all (an unknown model or preset); "" if it can."""
