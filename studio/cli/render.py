"""``storyboard render FILE``: the file's project, rendered to a film, with progress to look at.

Comes in: a studio, a file and its storyboard. Goes out: a film at the path asked for, and an exit code. What any
project of this workspace has rendered is not rendered again. Does not know argument names or jobs' contents.
"""

import shutil
import sys
import time
from pathlib import Path

from engine.storage.atomic import replacing
from studio.cli.engine_supervisor import EngineSession
from studio.cli.terminal import display_for
from studio.document.storyboard import Storyboard
from studio.errors import FilmError, PlanError
from studio.planning.plan import Plan
from studio.studio import Studio
from studio.views.durations import clock
from studio.views.types import BoardView

DONE, FAILED = 0, 1


class RenderFile:
    """``session``: the engine, if there is something to render."""

    def __init__(self, studio: Studio, path: Path, as_json: bool, session: EngineSession) -> None:
        self._studio = studio
        self._path = path
        self._display = display_for(as_json)
        self._session = session
        self._begun_s = time.monotonic()

    def run(self, storyboard: Storyboard, out: Path | None, scale: float = 1.0) -> int:
        """-> exit code. Raises StudioError, EngineError, KeyboardInterrupt (after the jobs are cancelled)."""
        try:
            self._session.learn(storyboard.model)
            plan = self._studio.projects.plan_file(self._path, storyboard)
            _refuse(plan)
            project_id = self._studio.projects.open_file(self._path, storyboard).id
            if plan.jobs and not self._all_fresh(self._session.render(project_id, self._display.show)):
                return FAILED
            film = self._studio.rendering.assemble(project_id)
        finally:
            self._session.close()
        target = out or Path(f"{self._path.stem}.mp4")
        if scale == 1.0:
            copy_whole(film, target)
        else:
            self._studio.rendering.write_film(project_id, target, scale)
        self._tell(plan, target)
        return DONE

    def _all_fresh(self, board: BoardView) -> bool:
        failed = [card for card in board.scenes if card.state != "fresh"]
        for card in failed:
            text = f"scene {card.number} ({card.id}): {card.reason or card.state}"
            self._display.done({"event": "error", "number": card.number, "id": card.id}, text)
        if failed:
            print(f"storyboard: no film: {len(failed)} of {len(board.scenes)} scenes failed.", file=sys.stderr)
        return not failed

    def _tell(self, plan: Plan, target: Path) -> None:
        num_made = len({scene_id for job in plan.jobs for scene_id in job.scene_ids})
        took_s = round(time.monotonic() - self._begun_s, 3)
        made = f"rendered {num_made} of {len(plan.scenes)} scenes"
        what = made if num_made else "nothing to render: all takes are there"
        fields: dict[str, object] = {"event": "film", "path": str(target), "rendered": num_made, "seconds": took_s}
        self._display.done(fields, f"{target}: {what}; {clock(took_s)}")


def _refuse(plan: Plan) -> None:
    """A film needs every scene: reported before anything is rendered."""
    stuck = [scene for scene in plan.scenes if scene.state == "unplannable"]
    general = [note.text for note in plan.notes if note.level == "error" and note.scene_id is None]
    if stuck:
        messages = [*general, *(f"scene {scene.number} ({scene.scene_id}): {scene.reason}" for scene in stuck)]
        raise PlanError(stuck[0].scene_id, "\n".join(messages))
    if not plan.scenes:
        raise PlanError("", "the storyboard has no scenes. Add one.")


def copy_whole(film: Path, target: Path) -> None:
    """A copy under a temporary name, then renamed: an older film stays where there is no room. Raises FilmError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft:
            shutil.copyfile(film, draft)
    except OSError as error:
        what = f"{target}: the film could not be written there ({error.strerror or error})"
        raise FilmError(f"{what}. It is kept as {film}. Choose another place with --out.") from error
