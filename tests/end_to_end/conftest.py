"""A studio with tiny models of every family in their original formats, and a real engine: two ranks, or one.

Comes in: pytest's temporary folders. Goes out: a ``Rig`` whose studio is what the page and the command line call.
Does not know what any way of using a model is.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract.jobs import Take
from engine.storage.card_files import own_cards
from engine.storage.video import VideoWriter
from engine.storage.workspace import Workspace
from studio.document.storyboard import Scene, Storyboard
from studio.studio import Studio
from studio.views.types import BoardView
from tests.engine.in_process import EngineThread
from tests.engine.models.cosmos.factories import make_predict1, make_predict2, write_card
from tests.engine.models.dfm.factories import make_dfm
from tests.engine.models.ttt.model_factories import make_ttt

FRAMES_OF_CLIP = 30


class Rig:
    """``film`` makes a storyboard's film and gives its board; ``take`` what a scene shows."""

    def __init__(self, root: Path, num_ranks: int) -> None:
        self.root, self.num_ranks, self.models = root, num_ranks, root / "models"
        make_all(self.models)
        self.picture, self.clip = write_picture(root / "harbour.png"), write_clip(root / "walk.mp4")
        self.workspace = Workspace.at(root / "workspace")
        self.studio = Studio(self.workspace, models_root=self.models, examples=False)
        self.engine = EngineThread(self.workspace, group="local", ranks=num_ranks, models_root=self.models)
        self.studio.rendering.attach(self.engine.__enter__())

    def film(self, model: str, *scenes: Scene, media: Path | None = None, **settings: object) -> BoardView:
        """``media``: what scenes name by its hash."""
        storyboard = Storyboard.model_validate({"model": model, "preset": "draft", "scenes": scenes, **settings})
        project = self.studio.projects.create(storyboard)
        if media is not None:
            self.studio.projects.add_media(project.id, media, media.name)
        return self.rendered(project.id)

    def rendered(self, project_id: str) -> BoardView:
        self.studio.rendering.render(project_id)
        for _ in self.studio.views.changes(project_id):
            board = self.studio.views.board(project_id)
            wrong = [card for card in board.scenes if card.state in ("failed", "unplannable")]
            assert not wrong and not board.film.error, [(card.number, card.reason) for card in wrong] or board.film
            if board.film.up_to_date and not board.render.busy:
                return board
        raise AssertionError("the studio closed")

    def take(self, board: BoardView, number: int = 1) -> Take:
        shown = board.scenes[number - 1].take
        assert shown is not None
        folder = self.workspace.take_folder(shown.recipe)
        return Take.model_validate_json((folder / "take.json").read_bytes())

    def close(self) -> None:
        self.studio.close()
        self.engine.__exit__()


def make_all(models: Path) -> None:
    """One model for each family and generation, in the layout that its authors publish."""
    cards = [
        make_predict2(models, "pt", "text2image", "pictures"),
        make_predict2(models, "pt", "video2world", "video2world", first_frame="pictures"),
        make_predict1(models, "plain", "text2world", "worlds"),
        make_predict1(models, "ema", "video2world", "predict1"),
    ]
    for card in cards:
        write_card(card, own_cards(models))
    make_ttt(models, "dcp_nested", "ttt", own_cards(models))
    make_dfm(models, "iteration", "dfm", own_cards(models))


def write_picture(path: Path) -> Path:
    pixels = np.random.RandomState(3).randint(0, 256, (60, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((280, 240)).save(path)
    return path


def write_clip(path: Path) -> Path:
    """A white square that walks to the right over grey."""
    frames = np.full((FRAMES_OF_CLIP, 64, 96, 3), 110, np.uint8)
    for index, frame in enumerate(frames):
        frame[20:44, 2 * index : 2 * index + 24] = 250
    with VideoWriter(path, (96, 64), 8) as writer:
        writer.write(frames)
    return path


@pytest.fixture(scope="module", params=[2], ids=lambda ranks: f"{ranks} ranks")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("ways"), request.param)
    yield rig
    rig.close()
