"""``storyboard batch FILE``: NVIDIA's batch files run as they are; each entry becomes a file of its own.

Comes in: a studio, a batch file's entries and options for all of them. Goes out: a clip or picture for each entry,
inside one folder and under the name that the entry gives, written as soon as it is there; why an entry failed,
while the others are made. Does not know argument names, or how anything is rendered.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TextIO

from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from engine.contract.cards import ModelCard
from engine.contract.errors import EngineError
from engine.storage.atomic import open_replacing
from engine.storage.media import read_frames
from studio.cli.engine_supervisor import EngineSession
from studio.cli.render import copy_whole
from studio.cli.terminal import Display, display_for
from studio.document.formats.cosmos_batch import ASPECT, BadEntry, Batch, Entry, scene_of
from studio.document.storyboard import Conditioning, Scene, Storyboard, read_document
from studio.document.validation import suggestion
from studio.errors import FilmError, PlanError, StoryboardError, StudioError
from studio.planning.plan import Plan
from studio.studio import Studio
from studio.views.types import BoardView, SceneCard

DONE, FAILED = 0, 1
PICTURE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
CLIP_SUFFIX = ".mp4"
JPEG_QUALITY = 95
TAIL_FILE = "tail.safetensors"
"""Beside a take: its last frames, (F, H, W, 3) uint8."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """For every entry. ``guidance_scale`` in the usual convention, None: the preset's. ``model``, ``aspect`` "": the
    file's."""

    out: Path
    model: str = ""
    preset: str = "balanced"
    guidance_scale: float | None = None
    seed: int = 0
    num_input_frames: int = 1
    aspect: str = ""
    negative_prompt: str = ""
    reimagine: str = ""
    """A clip that every entry without an input of its own begins from (SDEdit); "": none."""
    strength: float = 0.8
    first_frame_strength: float | None = None


@dataclass(slots=True)
class _Tally:
    """Entries by number: what they became, or why not."""

    made: dict[int, Path] = field(default_factory=dict[int, Path])
    bad: dict[int, str] = field(default_factory=dict[int, str])


class RunBatch:
    """``session``: the engine, if there is something to render. ``out``: of messages (default: standard output)."""

    def __init__(
        self, studio: Studio, path: Path, as_json: bool, session: EngineSession, out: TextIO | None = None
    ) -> None:
        self._studio = studio
        self._path = path
        self._as_json = as_json
        self._out = out or sys.stdout
        self._display: Display = display_for(as_json, self._out)
        self._session = session
        self._tally = _Tally()

    def run(self, batch: Batch, options: BatchOptions) -> int:
        """-> exit code: 0 where every entry was made. Raises StudioError, EngineError, KeyboardInterrupt."""
        try:
            blank = self._blank(batch, options)
            self._session.learn(blank.model)
            card = self._usable(blank)
            for bad in batch.bad:
                self._refused(bad)
            targets = self._targets(batch.entries, card, options.out)
            scenes = self._scenes(batch.entries, targets, blank, card, options)
            if scenes:
                self._made(blank.model_copy(update={"scenes": tuple(scenes)}), targets)
        finally:
            self._session.close()
        return self._told()

    # ---- what can be made
    def _blank(self, batch: Batch, options: BatchOptions) -> Storyboard:
        """What all entries share, without a scene. Raises StoryboardError."""
        document = {
            "title": f"Batch {self._path.stem}"[:300],
            "model": options.model or batch.model,
            "preset": options.preset,
            "aspect": options.aspect or ASPECT,
            "seed": options.seed,
        }
        return read_document(document)

    def _usable(self, blank: Storyboard) -> ModelCard:
        """The model's card. Raises PlanError for what would be wrong with every entry."""
        statuses = self._studio.rendering.models()
        if blank.model not in statuses:
            raise PlanError("", f'there is no model "{blank.model}"{suggestion(blank.model, statuses)}')
        plan = self._studio.projects.plan_file(self._path, blank)
        errors = [note.text for note in plan.notes if note.level == "error"]
        if errors:
            raise PlanError("", "\n".join(errors))
        self._note(plan, None)
        return statuses[blank.model].card

    def _targets(self, entries: tuple[Entry, ...], card: ModelCard, out: Path) -> dict[int, Path]:
        """Where each entry's file goes; entries with an impossible name are reported and left out."""
        targets: dict[int, Path] = {}
        for entry in entries:
            try:
                target = target_of(entry.output, card.makes == "picture", out)
                if target in targets.values():
                    raise ValueError(f"{entry.output}: an entry before it has this name; give it another")
                targets[entry.number] = target
            except ValueError as error:
                self._refused(BadEntry(entry.number, str(error)))
        return targets

    def _scenes(
        self,
        entries: tuple[Entry, ...],
        targets: dict[int, Path],
        blank: Storyboard,
        card: ModelCard,
        options: BatchOptions,
    ) -> list[Scene]:
        """The scenes that can be rendered; the other entries are reported."""
        scenes: list[Scene] = []
        for entry in entries:
            if entry.number not in targets:
                continue
            try:
                scene = self._scene(entry, card, options)
                plan = self._studio.projects.plan_file(self._path, blank.model_copy(update={"scenes": (scene,)}))
                _refuse(plan)
                self._note(plan, entry.number)
                scenes.append(scene)
            except StoryboardError as error:
                self._refused(BadEntry(entry.number, "; ".join(problem.message for problem in error.problems)))
            except PlanError as error:
                self._refused(BadEntry(entry.number, str(error)))
        return scenes

    def _scene(self, entry: Entry, card: ModelCard, options: BatchOptions) -> Scene:
        scene = scene_of(entry, min(card.chunk_num_frames / card.fps, card.max_duration_s), options.num_input_frames)
        overrides = scene.overrides.model_copy(update={"guidance_scale": options.guidance_scale})
        changes: dict[str, object] = {"seed": options.seed, "overrides": overrides}
        changes["negative_prompt"] = options.negative_prompt
        if scene.conditioning is not None:
            media = found_beside(scene.conditioning.media, self._path.parent)
            changes["conditioning"] = scene.conditioning.model_copy(update={"media": media})
        elif options.reimagine:
            changes["conditioning"] = Conditioning(
                media=str(Path(options.reimagine).resolve()),
                strength=options.strength,
                first_frame_strength=options.first_frame_strength,
            )
        return scene.model_copy(update=changes)

    # ---- making them
    def _made(self, storyboard: Storyboard, targets: dict[int, Path]) -> None:
        project_id = self._studio.projects.open_file(self._path, storyboard).id
        board = self._studio.views.board(project_id)
        self._write_fresh(board, targets)
        if any(scene.state != "fresh" for scene in board.scenes):
            board = self._session.render(project_id, lambda now: self._show(now, targets))
            self._write_fresh(board, targets)
        for scene in board.scenes:
            number = number_of(scene)
            if number not in self._tally.made and number not in self._tally.bad:
                self._refused(BadEntry(number, scene.reason or scene.state))

    def _show(self, board: BoardView, targets: dict[int, Path]) -> None:
        if not self._as_json:
            scenes = tuple(scene.model_copy(update={"number": number_of(scene)}) for scene in board.scenes)
            self._display.show(board.model_copy(update={"scenes": scenes}))
        self._write_fresh(board, targets)

    def _write_fresh(self, board: BoardView, targets: dict[int, Path]) -> None:
        for scene in board.scenes:
            number = number_of(scene)
            if scene.state == "fresh" and number not in self._tally.made and number not in self._tally.bad:
                try:
                    self._write(board.project_id, scene, targets[number])
                except (StudioError, EngineError) as error:
                    self._refused(BadEntry(number, str(error)))
                    continue
                self._tally.made[number] = targets[number]
                path = str(targets[number])
                self._report(
                    {"event": "entry", "number": number, "state": "made", "path": path}, f"entry {number}: {path}"
                )

    def _write(self, project_id: str, scene: SceneCard, target: Path) -> None:
        clip = self._studio.projects.media_path(project_id, scene.take.media) if scene.take else None
        if clip is None:
            raise FilmError("its take is not here any more; render it again")
        if target.suffix == CLIP_SUFFIX:
            copy_whole(clip, target)
        else:
            frame = last_frame(
                clip, self._studio.workspace.take_folder(scene.take.recipe) if scene.take else clip.parent
            )
            write_picture(frame, target)

    # ---- telling
    def _note(self, plan: Plan, number: int | None) -> None:
        """What the plan warns of, for one entry or for all."""
        for note in plan.notes:
            if note.level == "warn" and (note.scene_id is None) == (number is None):
                who = "" if number is None else f"entry {number}: "
                self._report({"event": "note", "number": number, "text": note.text}, f"note: {who}{note.text}")

    def _refused(self, bad: BadEntry) -> None:
        self._tally.bad[bad.number] = bad.reason
        fields: dict[str, object] = {"event": "entry", "number": bad.number, "state": "failed", "reason": bad.reason}
        self._report(fields, f"entry {bad.number}: {bad.reason}")

    def _told(self) -> int:
        made, bad = len(self._tally.made), len(self._tally.bad)
        text = f"{made} of {made + bad} made" + (f"; {bad} could not be: see above" if bad else "")
        self._report({"event": "batch", "made": made, "failed": bad}, text)
        return FAILED if bad else DONE

    def _report(self, fields: dict[str, object], text: str) -> None:
        print(json.dumps(fields, ensure_ascii=False) if self._as_json else text, file=self._out, flush=True)


def _refuse(plan: Plan) -> None:
    stuck = [scene.reason for scene in plan.scenes if scene.state == "unplannable"]
    if stuck:
        raise PlanError("", stuck[0])


def number_of(scene: SceneCard) -> int:
    """The number of the entry of a scene."""
    return int(scene.id.rpartition("-")[2])


def found_beside(media: str, folder: Path) -> str:
    """A path as the storyboard of ``folder`` names it: beside the file, else from where the command was called."""
    if (folder / media).exists() or not Path(media).exists():
        return media
    return str(Path(media).resolve())


def target_of(name: str, makes_picture: bool, out: Path) -> Path:
    """Where an entry's file goes: always inside ``out``. Raises ValueError."""
    relative = PurePosixPath(name.replace("\\", "/"))
    if (
        relative.is_absolute()
        or ".." in relative.parts
        or not relative.name
        or "\0" in name
        or ":" in relative.parts[0]
    ):
        raise ValueError(f"{name}: must be a name inside the output folder, without .. and no full path")
    suffix = relative.suffix.lower()
    kind, allowed = ("picture", tuple(PICTURE_FORMATS)) if makes_picture else ("clip", (CLIP_SUFFIX,))
    if not suffix:
        relative = relative.with_suffix(allowed[0])
    elif suffix not in allowed:
        raise ValueError(f"{name}: a {kind}'s name ends in {' or '.join(allowed)}; change it")
    target = (out / relative).with_suffix(relative.suffix.lower())
    if not target.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"{name}: a link leads out of the output folder; choose another name")
    return target


def last_frame(clip: Path, take_folder: Path) -> Image.Image:
    """Of a take, without loss where it was rendered on this machine. Raises Rejected."""
    try:
        frames = load_file(take_folder / TAIL_FILE)["frames"]
    except (OSError, KeyError, SafetensorError):
        frames = read_frames(clip, 1)
    return Image.fromarray(frames[-1])


def write_picture(picture: Image.Image, target: Path) -> None:
    """Raises FilmError."""
    kind = PICTURE_FORMATS[target.suffix]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_replacing(target) as file:
            picture.save(file, kind, quality=JPEG_QUALITY)
    except OSError as error:
        what = f"{target}: the picture could not be written there ({error.strerror or error})"
        raise FilmError(f"{what}. Choose another place with --out.") from error
