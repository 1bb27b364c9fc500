"""``storyboard render FILE``: the file's project, rendered to a film, with progress to look at.

Comes in: a studio, a file and its words. Goes out: a film at the path asked for, and an exit code. What is rendered
already, by whomever on this workspace, is not rendered again. Does not know argument names or jobs' contents.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.client.client import EngineClient
from engine.service.launch import GroupKind, attach, ensure_engine
from engine.storage.atomic import replacing
from studio.cli.terminal import display_for
from studio.document.storyboard import Storyboard
from studio.errors import FilmError, PlanError
from studio.planning.plan import Plan
from studio.studio import Studio
from studio.views.board_view import clock
from studio.views.types import BoardView

DONE, FAILED = 0, 1
CANCEL_TIMEOUT_S = 20.0


class EngineSession:
    """The engine of a studio, for as long as a command needs one: started, or attached to, at each first need.

    ``ranks``, ``models_root``, ``group``: of an engine that is started. ``engine_url``: of one elsewhere instead.
    """

    def __init__(
        self,
        studio: Studio,
        ranks: int | None = None,
        engine_url: str | None = None,
        models_root: Path | None = None,
        group: GroupKind = "local",
    ) -> None:
        self._studio = studio
        self._ranks = ranks
        self._engine_url = engine_url
        self._models_root = models_root
        self._group: GroupKind = group
        self._client: EngineClient | None = None
        self._waits = False
        """Whether it was said that an engine elsewhere does not answer."""

    def learn(self, model: str) -> None:
        """Asks the engine for weights that are not known here; for a card that is not, only one that runs already."""
        status = self._studio.models().get(model)
        if status is None and not self._engine_url:
            self._client = attach(self._studio.workspace)
            if self._client is None:
                return
        if status is None or not status.available:
            self._studio.models_heard(self._engine().models())

    def render(self, project_id: str, shown: Callable[[BoardView], None]) -> BoardView:
        """Renders what is not; -> the board when no job of the project waits or runs any more.

        ``shown`` gets every board on the way. Raises KeyboardInterrupt after the jobs are cancelled.
        """
        try:
            self._studio.attach(self._engine(), name=self._engine_url or "workspace")
            self._studio.render(project_id)
            return self._followed(project_id, shown)
        except KeyboardInterrupt:
            self._cancelled(project_id)
            raise

    def close(self) -> None:
        if self._client is not None:
            self._studio.detach()
            self._client.close()
            self._client = None

    def _engine(self) -> EngineClient:
        if self._client is None:
            url, workspace = self._engine_url, self._studio.workspace
            if url:
                self._client = EngineClient(url, workspace.token())
            else:
                self._client = ensure_engine(
                    workspace,
                    ranks=self._ranks,
                    models_root=self._models_root,
                    die_with_parent=True,
                    group=self._group,
                )
            self._studio.models_heard(self._client.models())
        return self._client

    def _followed(self, project_id: str, shown: Callable[[BoardView], None]) -> BoardView:
        for _ in self._studio.changes(project_id):
            board = self._studio.board(project_id)
            shown(board)
            if not board.render.busy:
                return board
            if board.engine.state == "unreachable":
                self._bring_back()
            else:
                self._waits = False
        return self._studio.board(project_id)

    def _bring_back(self) -> None:
        """An engine that ended under its jobs is started again, and they go on; one elsewhere is waited for.

        Raises EngineError where none can be started.
        """
        lost = self._client
        if lost is None or lost.healthy():  # it has not been asked yet
            return
        if self._engine_url:
            if not self._waits:
                self._say(f"{self._engine_url}: the engine does not answer; it is waited for (Ctrl-C ends that).")
            self._waits = True
            return
        self._say("the engine ended before its jobs did; it is started again, and they go on.")
        self._client = None
        try:
            self._studio.attach(self._engine())
        finally:
            lost.close()

    def _say(self, what: str) -> None:
        print(f"storyboard: {what}", file=sys.stderr, flush=True)

    def _cancelled(self, project_id: str) -> None:
        """All jobs are cancelled, and the engine has said so, as far as it answers."""
        self._studio.stop(project_id)
        deadline_s = time.monotonic() + CANCEL_TIMEOUT_S
        version = 0
        while self._studio.board(project_id).render.busy and time.monotonic() < deadline_s:
            version = self._studio.wait_for_change(project_id, version, timeout_s=1.0)


class RenderFile:
    """``use``: the engine, if there is something to render."""

    def __init__(self, studio: Studio, path: Path, as_json: bool, use: EngineSession) -> None:
        self._studio = studio
        self._path = path
        self._display = display_for(as_json)
        self._use = use
        self._begun_s = time.monotonic()

    def run(self, storyboard: Storyboard, out: Path | None, scale: float = 1.0) -> int:
        """-> exit code. Raises StudioError, EngineError, KeyboardInterrupt (after the jobs are cancelled)."""
        try:
            self._use.learn(storyboard.model)
            plan = self._studio.plan_file(self._path, storyboard)
            _refuse(plan)
            project_id = self._studio.open_file(self._path, storyboard).id
            if plan.jobs and not self._all_fresh(self._use.render(project_id, self._display.show)):
                return FAILED
            film = self._studio.assemble(project_id)
        finally:
            self._use.close()
        target = out or Path(f"{self._path.stem}.mp4")
        if scale == 1.0:
            copy_whole(film, target)
        else:
            self._studio.write_film(project_id, target, scale)
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
        facts: dict[str, object] = {"event": "film", "path": str(target), "rendered": num_made, "seconds": took_s}
        self._display.done(facts, f"{target}: {what}; {clock(took_s)}")


def _refuse(plan: Plan) -> None:
    """A film needs every scene: said before anything is rendered."""
    stuck = [scene for scene in plan.scenes if scene.state == "unplannable"]
    general = [note.text for note in plan.notes if note.level == "error" and note.scene_id is None]
    if stuck:
        words = [*general, *(f"scene {scene.number} ({scene.scene_id}): {scene.reason}" for scene in stuck)]
        raise PlanError(stuck[0].scene_id, "\n".join(words))
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
