"""A family is one contract file, one folder of models and one line of the table: a toy family's film is rendered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from engine.contract.families import FAMILIES
from engine.runtime.link import ControlFlags
from engine.runtime.memory.model_cache import ModelCache
from engine.runtime.pipeline import run
from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RankContext
from engine.storage.card_files import fingerprinted_values, read_card, status_of
from engine.storage.hashes import FileHashes
from engine.storage.takes import read_tail
from engine.storage.workspace import Workspace
from studio.document.storyboard import Scene, Storyboard
from studio.planning.plan import plan
from studio.planning.presets import load_presets
from tests.engine.models.toy.traits import ToyTraits
from tests.engine.runtime.tiny import tiny_card

BRIGHTNESS = 0.5


@pytest.fixture(autouse=True)
def the_table_has_a_toy_family() -> Iterator[None]:
    FAMILIES["toy"] = ToyTraits
    yield
    del FAMILIES["toy"]


def write_toy(root: Path) -> Path:
    """A card, and a file for its parts. -> the card's path."""
    document = tiny_card("toy", 1).model_dump(mode="json", exclude={"name", "preview"})
    part = {"folder": "toy", "paths": ["weights.txt"]}
    changes = {
        "family": "toy",
        "toy": {"brightness": BRIGHTNESS},
        "parts": {name: part for name in ("network", "autoencoder", "text_encoder")},
        "autoencoder": {"kind": "blocks", "spatial_factor": 8, "temporal_factor": 1, "latent_channels": 3},
    }
    (root / "toy").mkdir()
    (root / "toy" / "weights.txt").write_text("none")
    (root / "cards").mkdir()
    path = root / "cards" / "toy.yaml"
    path.write_text(yaml.safe_dump(document | changes))
    return path


def test_a_toy_family_is_planned_and_rendered(tmp_path: Path) -> None:
    card = read_card(write_toy(tmp_path))
    assert card.traits.title == "Toys" and '"toy": {"brightness": 0.5}' in fingerprinted_values(card)
    status = status_of(card, tmp_path, FileHashes())
    scene = Scene(id="scene-1", prompt="anything", duration_s=0.5)
    storyboard = Storyboard(title="Toys", aspect="3:2", model="toy", preset="draft", scenes=(scene,))
    planned = plan(storyboard, presets=load_presets(), models={"toy": status})
    assert [each.state for each in planned.scenes] == ["missing"], planned.notes
    ranks = Ranks(0, 1, torch.device("cpu"))
    models, workspace = ModelCache(ranks, tmp_path / "cards", tmp_path), Workspace.at(tmp_path / "workspace")
    (take,) = run(planned.jobs[0], RankContext(ranks, models, workspace, lambda event: None, ControlFlags()))
    assert take.num_frames == 4 and models.families() == {"toy"}
    level = round((BRIGHTNESS + 1) * 127.5)
    frames = read_tail(workspace.take_folder(take.recipe), 4)
    assert abs(float(frames.mean()) - level) < 3, "every pixel has the brightness of the card"
