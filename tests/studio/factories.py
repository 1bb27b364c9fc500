"""A studio at work in a throw-away workspace, for tests: with a fake engine, restarts, and waiting for what is shown.

Comes in: a folder. Goes out: ``Bench``. Does not know what is tested. Waiting has a limit, and its failure shows the
board as it was last.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.contract.cards import ModelCard
from engine.storage.media import MediaStore
from engine.storage.workspace import Workspace
from studio.document.edits import ChangeScene, Edit
from studio.document.storyboard import Scene, Storyboard
from studio.library.projects import Project
from studio.services.assistants.settings import AssistantSettings
from studio.studio import Studio
from studio.views.types import BoardView
from tests.fakes import FakeEngine

PATIENCE_S = 60.0


class Bench:
    """``apart``: the engine has a workspace and media of its own, as on another machine. ``cards``: its models.

    ``assistants``: the host's settings. ``busy_timeout_s``: how long the studio waits for another program that writes
    its database.
    """

    def __init__(
        self,
        root: Path,
        step_s: float = 0.0,
        apart: bool = False,
        cards: dict[str, ModelCard] | None = None,
        busy_timeout_s: int = 20,
        assistants: AssistantSettings | None = None,
    ) -> None:
        self.root = root
        self.assistants = assistants
        self.workspace = Workspace.at(root / "workspace")
        self.store = MediaStore(self.workspace.media)
        self.engine_workspace = Workspace.at(root / "elsewhere") if apart else self.workspace
        self.engine = FakeEngine(self.engine_workspace, step_s, cards, MediaStore(self.engine_workspace.media))
        url = f"sqlite:///{self.workspace.studio_database}?timeout={busy_timeout_s}"
        self.studio = Studio(self.workspace, self.engine, database_url=url, examples=False, assistants=assistants)
        self.heard()

    def heard(self) -> None:
        """Until the engine has said which models it has: before that, the studio plans with what lies here."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self.studio.rendering.models()["diorama"].fingerprint != "f" * 64:
            assert time.monotonic() < deadline_s, "the studio never heard the engine's models"
            time.sleep(0.005)

    def restart_studio(self) -> None:
        self.studio.close()
        self.studio = Studio(self.workspace, self.engine, examples=False, assistants=self.assistants)
        self.heard()

    def new_engine(self) -> None:
        """The engine begins anew: empty queue, event numbers from 1, the same takes."""
        self.engine.close()
        self.engine = FakeEngine(self.engine_workspace, media=MediaStore(self.engine_workspace.media))
        self.studio.rendering.attach(self.engine)

    def project(self, *scenes: Scene, **settings: Any) -> Project:
        return self.studio.projects.create(Storyboard(scenes=scenes or THREE, **{"title": "Test", **settings}))

    def edit(self, project_id: str, edit: Edit) -> Project:
        return self.studio.projects.edit(project_id, self.studio.projects.open(project_id).revision, edit)

    def reword(self, project_id: str, scene_id: str, prompt: str) -> Project:
        return self.edit(project_id, ChangeScene(scene_id=scene_id, field="prompt", value=prompt))

    def until(self, project_id: str, wanted: Callable[[BoardView], bool]) -> BoardView:
        """The first board that is as wanted."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            version = self.studio.views.wait_for_change(project_id, -1, 0)
            board = self.studio.views.board(project_id)
            if wanted(board):
                return board
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"never came: {board.model_dump_json(indent=1)}"
            self.studio.views.wait_for_change(project_id, version, min(left_s, 1.0))

    def rendered(self, project_id: str) -> BoardView:
        """Renders all, and waits for the film."""
        self.studio.rendering.render(project_id)
        return self.until(project_id, lambda board: board.film.up_to_date and not board.render.busy)

    def close(self) -> None:
        self.studio.close()
        self.engine.close()


THREE = (
    Scene(id="a", prompt="a red ball in a meadow", duration_s=1),
    Scene(id="b", prompt="a red ball in a meadow", duration_s=1, transition="continue"),
    Scene(id="c", prompt="a blue car in the desert", duration_s=1),
)


@contextmanager
def benched(root: Path, **settings: Any) -> Iterator[Bench]:
    bench = Bench(root, **settings)
    try:
        yield bench
    finally:
        bench.close()


def states(board: BoardView) -> list[str]:
    return [card.state for card in board.scenes]
