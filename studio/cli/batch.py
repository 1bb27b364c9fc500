"""``storyboard batch FILE``: NVIDIA's batch files run as they are; each entry becomes a file of its own.

Comes in: a studio, a batch file's entries and options for all of them. Goes out: a clip or picture for each entry,
inside one folder and under the name that the entry gives, written as soon as it is there; why an entry failed,
while the others are made. Does not know argument names, or how anything is rendered.
"""

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from engine.contract.cards import ModelCard
from engine.contract.errors import EngineError
from studio.cli.engine_supervisor import EngineSession
from studio.cli.refine import CommandRefiner
from studio.cli.render import learned_card
from studio.cli.scenes.flags import SceneSettings, with_default_length, with_settings
from studio.cli.scenes.outputs import CLIP_SUFFIX, copy_whole, last_frame, target_of, write_picture, write_prompts
from studio.cli.scenes.used_settings import settings_fields, settings_line
from studio.cli.terminal import Display, display_for
from studio.document.formats.cosmos_batch import ASPECT, BadEntry, Batch, Entry, scene_of
from studio.document.refinement import storyboard_to_render
from studio.document.storyboard import Scene, Storyboard, read_document
from studio.errors import FilmError, PlanError, StoryboardError, StudioError
from studio.planning.plan import Plan
from studio.studio import Studio
from studio.views.types import BoardView, SceneCard

DONE, FAILED = 0, 1
NO_PROMPT = "prompt: there is none, and no refiner wrote one from the picture; add a prompt to the entry"


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """For every entry. ``model`` "": the one that the file is for. ``prompts``: whether a ``.txt`` is beside each.

    ``num_takes``: of each entry; the one that the critic prefers is written.
    """

    out: Path
    model: str = ""
    preset: str = "quality"
    settings: SceneSettings = SceneSettings(seed=0)
    prompts: bool = False
    num_takes: int = 1


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
            card = learned_card(self._studio, self._session, options.model or batch.model)
            blank = blank_storyboard(f"Batch {self._path.stem}", card, options)
            self._check(blank)
            for bad in batch.bad:
                self._refused(bad)
            targets = self._targets(batch.entries, card, options.out)
            whole = self._storyboard(batch.entries, targets, blank, card, options)
            whole = self._refined(whole)
            if whole.scenes:
                self._show_settings(whole, card)
                self._made(whole, targets, options.num_takes)
                if options.prompts:
                    self._write_prompts(storyboard_to_render(whole, card.traits.prompt_style), targets)
        finally:
            self._session.close()
        return self._told()

    # ---- what can be made
    def _check(self, blank: Storyboard) -> None:
        """Raises PlanError for what would be wrong with every entry."""
        plan = self._studio.projects.plan_file(self._path, blank)
        errors = [note.text for note in plan.notes if note.level == "error"]
        if errors:
            raise PlanError("", "\n".join(errors))
        self._note(plan, None)

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

    def _storyboard(
        self,
        entries: tuple[Entry, ...],
        targets: dict[int, Path],
        blank: Storyboard,
        card: ModelCard,
        options: BatchOptions,
    ) -> Storyboard:
        """With a scene for each entry that can be rendered, once it has a prompt; the other entries are reported."""
        scenes: list[Scene] = []
        for entry in entries:
            if entry.number not in targets:
                continue
            try:
                alone = storyboard_of_entry(entry, blank, card, options.settings, self._path.parent)
                plan = self._studio.projects.plan_file(self._path, alone)
                if alone.scenes[0].prompt.strip():
                    _refuse(plan)
                self._note(plan, entry.number)
                for text in entry.notes:
                    self._report_note(entry.number, text)
                scenes += alone.scenes
            except StoryboardError as error:
                self._refused(BadEntry(entry.number, "; ".join(problem.message for problem in error.problems)))
            except PlanError as error:
                self._refused(BadEntry(entry.number, str(error)))
        return blank.model_copy(update={"scenes": tuple(scenes)})

    def _refined(self, storyboard: Storyboard) -> Storyboard:
        """With the refiner's prompts; entries that have none still are reported and left out."""
        refiner = CommandRefiner(
            self._studio, self._session, self._display, label=lambda scene_id: f"entry {_number_of(scene_id)}"
        )
        scenes = refiner.refined(self._path, storyboard).scenes
        wordless = [scene for scene in scenes if not scene.prompt.strip() and scene.refinement is None]
        for scene in wordless:
            self._refused(BadEntry(_number_of(scene.id), NO_PROMPT))
        return storyboard.model_copy(update={"scenes": tuple(scene for scene in scenes if scene not in wordless)})

    # ---- making them
    def _made(self, storyboard: Storyboard, targets: dict[int, Path], num_takes: int) -> None:
        project_id = self._studio.projects.open_file(self._path, storyboard).id
        board = self._studio.views.board(project_id)
        if num_takes == 1:
            self._write_fresh(board, targets)
        if num_takes > 1 or any(scene.state != "fresh" for scene in board.scenes):
            board = self._session.render(project_id, lambda now: self._show(now, targets), num_takes)
            self._write_fresh(board, targets)
        for scene in board.scenes:
            number = number_of(scene)
            if number not in self._tally.made and number not in self._tally.bad:
                self._refused(BadEntry(number, scene.reason or scene.state))

    def _write_prompts(self, storyboard: Storyboard, targets: dict[int, Path]) -> None:
        for scene in storyboard.scenes:
            if (number := _number_of(scene.id)) in self._tally.made:
                write_prompts(storyboard.model_copy(update={"scenes": (scene,)}), targets[number])

    def _show(self, board: BoardView, targets: dict[int, Path]) -> None:
        if not self._as_json:
            scenes = tuple(scene.model_copy(update={"number": number_of(scene)}) for scene in board.scenes)
            self._display.show(board.model_copy(update={"scenes": scenes}))
        self._write_fresh(board, targets)

    def _write_fresh(self, board: BoardView, targets: dict[int, Path]) -> None:
        for scene in board.scenes:
            number = number_of(scene)
            is_new = number not in self._tally.made and number not in self._tally.bad
            if scene.state == "fresh" and not scene.round_text and is_new:
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
    def _show_settings(self, storyboard: Storyboard, card: ModelCard) -> None:
        """Of the first entry."""
        about = storyboard, storyboard.scenes[0], self._studio.presets[storyboard.preset], card
        self._report({"event": "settings", **settings_fields(*about)}, settings_line(*about))

    def _note(self, plan: Plan, number: int | None) -> None:
        """What the plan warns of, for one entry or for all."""
        for note in plan.notes:
            if note.level == "warn" and (note.scene_id is None) == (number is None):
                self._report_note(number, note.text)

    def _report_note(self, number: int | None, text: str) -> None:
        who = "" if number is None else f"entry {number}: "
        self._report({"event": "note", "number": number, "text": text}, f"note: {who}{text}")

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


def blank_storyboard(title: str, card: ModelCard, options: BatchOptions) -> Storyboard:
    """What all entries share, without a scene. Raises StoryboardError."""
    document = {"title": title[:300], "model": card.name, "preset": options.preset, "aspect": ASPECT}
    return with_settings(read_document(document), options.settings, card)


def storyboard_of_entry(
    entry: Entry, blank: Storyboard, card: ModelCard, settings: SceneSettings, folder: Path
) -> Storyboard:
    """With a scene for this entry; what it says of itself counts more than what is said of all. ``folder``: the file's.

    Raises StoryboardError, PlanError for an entry that has neither a prompt nor a picture to write one from.
    """
    scene = scene_of(entry, 1.0)
    if scene.conditioning is not None:
        media = found_beside(scene.conditioning.media, folder)
        scene = scene.model_copy(update={"conditioning": scene.conditioning.model_copy(update={"media": media})})
    own = {name: getattr(entry.settings, name) for name in type(entry.settings).__dataclass_fields__}
    own = {name: value for name, value in own.items() if value is not None}
    settings = with_default_length(replace(settings, **own), card)
    alone = with_settings(blank.model_copy(update={"scenes": (scene,)}), settings, card)
    if not entry.prompt.strip() and alone.scenes[0].conditioning is None:
        raise PlanError("", NO_PROMPT)
    return alone


def _refuse(plan: Plan) -> None:
    stuck = [scene.reason for scene in plan.scenes if scene.state == "unplannable"]
    if stuck:
        raise PlanError("", stuck[0])


def number_of(scene: SceneCard) -> int:
    """The number of the entry of a scene."""
    return _number_of(scene.id)


def _number_of(scene_id: str) -> int:
    return int(scene_id.rpartition("-")[2])


def found_beside(media: str, folder: Path) -> str:
    """A path as the storyboard of ``folder`` names it: beside the file, else from where the command was called."""
    if (folder / media).exists() or not Path(media).exists():
        return media
    return str(Path(media).resolve())
