"""A storyboard rendered to a film, or to a picture, with progress to look at: for ``render`` and ``generate``.

Comes in: a studio, the path that the project belongs to, a storyboard and what the flags say of its scenes. Goes out: a
film at the path asked for, and an exit code. What any project of this workspace has rendered is not rendered again.
Does not know argument names or jobs' contents.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from engine.contract.cards import ModelCard
from studio.cli.engine_supervisor import EngineSession
from studio.cli.refine import CommandRefiner
from studio.cli.scenes.flags import SceneSettings, with_settings
from studio.cli.scenes.outputs import CLIP_SUFFIX, copy_whole, film_target, last_frame, write_picture, write_prompts
from studio.cli.scenes.used_settings import settings_fields, settings_line
from studio.cli.terminal import display_for
from studio.document.refinement import storyboard_to_render
from studio.document.storyboard import Storyboard
from studio.document.validation import suggestion
from studio.downloads.files import gigabytes
from studio.errors import FilmError, PlanError
from studio.planning.cost import memory_bytes
from studio.planning.plan import Plan
from studio.studio import Studio
from studio.views.durations import clock
from studio.views.types import BoardView

DONE, FAILED = 0, 1
SHOWN_BYTES = 10**9
"""Less memory than this every device has."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the film goes (None: named after the project's path, in this folder), how large, and what is beside it."""

    out: Path | None = None
    scale: float = 1.0
    prompts: bool = False
    """Whether the prompts are written beside it, as ``.txt``."""
    num_takes: int = 1
    """Of each scene; the best is shown, where the critic tells them apart."""
    verbose: bool = False
    """Whether settings and the plan's warnings are shown before it begins."""


AS_NAMED, AS_WRITTEN = Delivery(), SceneSettings()


class RenderFile:
    """``session``: the engine, if there is something to render. ``path``: the project belongs to it."""

    def __init__(self, studio: Studio, path: Path, as_json: bool, session: EngineSession) -> None:
        self._studio = studio
        self._path = path
        self._display = display_for(as_json)
        self._session = session
        self._begun_s = time.monotonic()

    def run(self, storyboard: Storyboard, delivery: Delivery = AS_NAMED, settings: SceneSettings = AS_WRITTEN) -> int:
        """-> exit code. Raises StudioError, EngineError, KeyboardInterrupt (after the jobs are cancelled)."""
        try:
            card = learned_card(self._studio, self._session, storyboard.model)
            storyboard = with_settings(storyboard, settings, card)
            storyboard = CommandRefiner(self._studio, self._session, self._display).refined(self._path, storyboard)
            plan = self._studio.projects.plan_file(self._path, storyboard)
            _refuse(plan)
            is_picture = card.makes == "picture" and len(storyboard.scenes) == 1
            target = film_target(delivery.out, self._path.stem, is_picture)
            if delivery.verbose:
                self._show_settings(storyboard, plan, card)
            project_id = self._studio.projects.open_file(self._path, storyboard).id
            if plan.jobs or delivery.num_takes > 1:
                board = self._session.render(project_id, self._display.show, delivery.num_takes)
                if not self._all_fresh(board):
                    return FAILED
                self._report_takes(board, delivery.num_takes)
            self._write(project_id, target, delivery.scale)
        finally:
            self._session.close()
        if delivery.prompts:
            write_prompts(storyboard_to_render(storyboard, card.traits.prompt_style), target)
        self._report_film(plan, target)
        return DONE

    def _write(self, project_id: str, target: Path, scale: float) -> None:
        if target.suffix.lower() != CLIP_SUFFIX:
            write_picture(picture_of(self._studio, project_id), target)
        elif scale == 1.0:
            copy_whole(self._studio.rendering.assemble(project_id), target)
        else:
            self._studio.rendering.assemble(project_id)
            self._studio.rendering.write_film(project_id, target, scale)

    def _show_settings(self, storyboard: Storyboard, plan: Plan, card: ModelCard) -> None:
        """Settings of the first scene, and what the plan warns of."""
        about = storyboard, storyboard.scenes[0], self._studio.presets[storyboard.preset], card
        memory = memory_bytes(plan.jobs[0], card) if plan.jobs else 0
        need = f"; about {gigabytes(memory)} of device memory" if memory >= SHOWN_BYTES else ""
        fields = {"event": "settings", **settings_fields(*about), "memory_estimate_bytes": memory or None}
        self._display.done(fields, f"{settings_line(*about)}{need}")
        for note in plan.notes:
            if note.level == "warn":
                self._display.done({"event": "note", "id": note.scene_id, "level": "warn"}, f"note: {note.text}")

    def _all_fresh(self, board: BoardView) -> bool:
        failed = [card for card in board.scenes if card.state != "fresh"]
        for card in failed:
            text = f"scene {card.number} ({card.id}): {card.reason or card.state}"
            self._display.done({"event": "error", "number": card.number, "id": card.id}, text)
        if failed:
            print(f"storyboard: no film: {len(failed)} of {len(board.scenes)} scenes failed.", file=sys.stderr)
        return not failed

    def _report_takes(self, board: BoardView, num_takes: int) -> None:
        for card in board.scenes if num_takes > 1 else ():
            shown = card.take.critique if card.take else None
            why = f"{shown.text}: {'; '.join(shown.reasons)}" if shown else "not scored"
            scores = [
                {"seed": take.seed, "score": take.critique.score if take.critique else None} for take in card.takes
            ]
            fields: dict[str, object] = {"event": "takes", "number": card.number, "id": card.id, "takes": scores}
            text = f"scene {card.number} ({card.id}): shows one of {len(card.takes)} takes, {why}"
            self._display.done({**fields, "shown": card.take.seed if card.take else None}, text)

    def _report_film(self, plan: Plan, target: Path) -> None:
        num_made = len({scene_id for job in plan.jobs for scene_id in job.scene_ids})
        took_s = round(time.monotonic() - self._begun_s, 3)
        made = f"rendered {num_made} of {len(plan.scenes)} scenes"
        what = made if num_made else "nothing to render: all takes are there"
        fields: dict[str, object] = {"event": "film", "path": str(target), "rendered": num_made, "seconds": took_s}
        self._display.done(fields, f"{target}: {what}; {clock(took_s)}")


def learned_card(studio: Studio, session: EngineSession, model: str) -> ModelCard:
    """The card of a model, asked of an engine where it is not known here. Raises PlanError, EngineError."""
    session.learn(model)
    statuses = studio.rendering.models()
    if model not in statuses:
        raise PlanError("", f'there is no model "{model}"{suggestion(model, statuses)}')
    return statuses[model].card


def picture_of(studio: Studio, project_id: str) -> Image.Image:
    """The picture of a storyboard of one scene, as its take holds it. Raises FilmError."""
    take = studio.views.board(project_id).scenes[0].take
    clip = studio.projects.media_path(project_id, take.media) if take else None
    if take is None or clip is None:
        raise FilmError("its take is not here any more; render it again")
    return last_frame(clip, studio.workspace.take_folder(take.recipe))


def _refuse(plan: Plan) -> None:
    """A film needs every scene: reported before anything is rendered.

    Where it is a guard that refuses some of them, the others are rendered all the same.
    """
    goes_on = plan.refused if plan.jobs else ()
    stuck = [scene for scene in plan.scenes if scene.state == "unplannable" and scene.scene_id not in goes_on]
    general = [note.text for note in plan.notes if note.level == "error" and note.scene_id is None]
    if stuck:
        messages = [*general, *(f"scene {scene.number} ({scene.scene_id}): {scene.reason}" for scene in stuck)]
        raise PlanError(stuck[0].scene_id, "\n".join(messages))
    if not plan.scenes:
        raise PlanError("", "the storyboard has no scenes. Add one.")
