"""The refiner through the studio: in the background, as edits, with rules or an endpoint, and what failing costs."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.contract.assistant_cards import AssistantStatus
from engine.contract.errors import AssistantFailed
from engine.storage.workspace import Workspace
from studio.document.edits import AcceptRefinement, ChangeScene
from studio.document.storyboard import Scene, Storyboard
from studio.errors import PlanError
from studio.library.projects import Project
from studio.planning.presets import load_assistants
from studio.services.assistants.refining import RefineOutcome
from studio.services.assistants.settings import AssistantSettings, RefinerSetting
from studio.studio import Studio
from studio.views.types import RefinementView
from tests.fake_endpoint import FakeEndpoint, media_of, texts_of
from tests.fakes import FakeEngine

COSMOS = "cosmos-predict2-2b-video2world-720p-16fps"
PATIENCE_S = 20.0


class Desktop:
    """A studio without an engine, and one project."""

    def __init__(self, root: Path, use: str, model: str, *scenes: dict[str, Any]) -> None:
        setting = RefinerSetting(use=use, timeout_s=5)
        workspace = Workspace.at(root / "workspace")
        self.studio = Studio(workspace, examples=False, assistants=AssistantSettings(refiner=setting))
        made = [Scene.model_validate({"id": f"s{n}", **fields}) for n, fields in enumerate(scenes, start=1)]
        self.id = self.studio.projects.create(Storyboard(model=model, scenes=tuple(made))).id
        self.refiner = self.studio.assistants.refiner

    @property
    def project(self) -> Project:
        return self.studio.projects.open(self.id)

    def shown(self, number: int = 1) -> RefinementView:
        return self.studio.views.board(self.id).scenes[number - 1].refinement

    def settled(self) -> list[RefinementView]:
        """What is shown once nothing is being refined."""
        deadline_s = time.monotonic() + PATIENCE_S
        version = 0
        while any(card.refinement.busy for card in self.studio.views.board(self.id).scenes):
            assert time.monotonic() < deadline_s, "the refiner does not end"
            version = self.studio.views.wait_for_change(self.id, version, timeout_s=1.0)
        return [card.refinement for card in self.studio.views.board(self.id).scenes]


def test_the_built_in_refiner_proposes_and_the_author_decides(tmp_path: Path) -> None:
    desktop = Desktop(tmp_path, "auto", "diorama", {"prompt": "a ship at sunset"})
    desktop.refiner.refine(desktop.id)
    (proposal,) = desktop.settled()
    assert (proposal.state, proposal.source) == ("proposed", "built in") and proposal.notes
    board = desktop.studio.views.board(desktop.id)
    assert board.refiner.name == "built in"
    assert desktop.studio.rendering.plan(desktop.id).jobs[0].segments[0].prompt == "a ship at sunset"
    accept = AcceptRefinement(scene_id="s1", style=board.refiner.style)
    desktop.studio.projects.edit(desktop.id, desktop.project.revision, accept)
    assert desktop.shown().state == "accepted"
    plan = desktop.studio.rendering.plan(desktop.id)
    assert plan.jobs[0].segments[0].prompt == proposal.text
    desktop.studio.projects.undo(desktop.id)
    desktop.studio.projects.undo(desktop.id)
    assert desktop.shown().state == "", "proposal and decision are edits"
    desktop.studio.close()


def test_an_endpoint_sees_words_and_picture_and_is_asked_again_with_another_seed(
    tmp_path: Path, fake_endpoint: FakeEndpoint
) -> None:
    fake_endpoint.reset("A red boat drifts.")
    desktop = Desktop(tmp_path, fake_endpoint.url, COSMOS, {"prompt": "a boat", "chunk_prompts": ["", "it sinks"]})
    picture = tmp_path / "picture.png"
    Image.new("RGB", (32, 16), "red").save(picture)
    info = desktop.studio.projects.add_media(desktop.id, picture, "picture.png")
    edit = ChangeScene(scene_id="s1", field="conditioning", value={"media": info.sha256})
    desktop.studio.projects.edit(desktop.id, desktop.project.revision, edit)
    desktop.refiner.refine(desktop.id, ["s1"])
    (proposal,) = desktop.settled()
    assert proposal.text == "A red boat drifts." and proposal.chunk_texts == ("", "A red boat drifts.")
    assert proposal.source.startswith("tiny-chat at 127.0.0.1")
    first, second = fake_endpoint.asked
    assert len(media_of(first)) == 1 and not media_of(second) and "it sinks" in texts_of(second)
    desktop.refiner.refine(desktop.id, ["s1"], again=True)
    desktop.settled()
    assert fake_endpoint.asked[0]["seed"] == 0 != fake_endpoint.asked[2]["seed"]
    fake_endpoint.fault = "blind"
    desktop.refiner.refine(desktop.id, ["s1"])
    assert "Part 1: The refiner takes no pictures: it was written from your words alone." in desktop.settled()[0].notes
    desktop.studio.close()


def test_a_storyboard_is_refined_in_order_with_its_neighbours_in_view(
    tmp_path: Path, fake_endpoint: FakeEndpoint
) -> None:
    fake_endpoint.reset(lambda body: f"Refined {len(fake_endpoint.asked)}.")
    scenes: list[dict[str, Any]] = [{"prompt": text} for text in ("she waits", "she runs", "she stops")]
    desktop = Desktop(tmp_path, fake_endpoint.url, "ttt-video-mlp-5b", *scenes)
    outcomes = desktop.refiner.refine_now(desktop.id)
    assert outcomes[1] == RefineOutcome("s2", "", desktop.shown(2).source, ())
    assert [view.text for view in desktop.settled()] == ["Refined 1.", "Refined 2.", "Refined 3."]
    middle = texts_of(fake_endpoint.asked[1])
    assert "Before it: Refined 1." in middle and "After it: she stops" in middle and "she runs" in middle
    desktop.studio.close()


def test_a_refiner_that_fails_leaves_the_author_s_words_and_says_why(
    tmp_path: Path, fake_endpoint: FakeEndpoint
) -> None:
    fake_endpoint.reset(fault="html")
    desktop = Desktop(tmp_path, fake_endpoint.url, COSMOS, {"prompt": "<b>a boat</b>"}, {"prompt": "a car"})
    desktop.refiner.refine(desktop.id)
    views = desktop.settled()
    assert [view.state for view in views] == ["", ""] and all("a web page" in view.failure for view in views)
    assert desktop.project.storyboard.scenes[0].refinement is None
    edit = ChangeScene(scene_id="s1", field="prompt", value="a ship")
    desktop.studio.projects.edit(desktop.id, desktop.project.revision, edit)
    assert not desktop.shown(1).failure and desktop.shown(2).failure, "the note is about the words that were sent"
    desktop.studio.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    desktop = Desktop(tmp_path_factory.mktemp("shared"), "off", "diorama", {"prompt": "a boat"})
    yield desktop
    desktop.studio.close()


@pytest.mark.parametrize(
    ("use", "model", "reason"),
    [
        ("off", "diorama", "switched off"),
        ("built-in", COSMOS, "reads any"),
        ("auto", COSMOS, "storyboard models get cosmos-reason1-7b"),
        ("cosmos-reason1", COSMOS, "There is no refiner cosmos-reason1"),
        ("pixtral-12b", COSMOS, "is not here"),
    ],
)
def test_without_a_refiner_the_reason_is_shown_and_told(shared: Desktop, use: str, model: str, reason: str) -> None:
    shared.studio.assistants.host.settings = AssistantSettings(refiner=RefinerSetting(use=use))
    project = shared.studio.projects.create(Storyboard(model=model, scenes=(Scene(id="s1", prompt="a boat"),)))
    assert reason in shared.studio.views.board(project.id).refiner.problem
    with pytest.raises(AssistantFailed, match=reason):
        shared.refiner.refine(project.id)


def test_a_model_of_the_engine_is_asked_by_what_it_reads(shared: Desktop, tmp_path: Path) -> None:
    """The fake engine answers by the kind of the request; which card it is asked with is what counts here."""
    engine, cards = FakeEngine(shared.studio.workspace), load_assistants()
    names = "cosmos-upsampleprompt1-12b-text2world", "pixtral-12b"
    engine.assistant_statuses = [
        AssistantStatus(card=cards[name], fingerprint="a" * 64, available=True) for name in names
    ]
    studio = shared.studio
    studio.assistants.host.settings = AssistantSettings(refiner=RefinerSetting(use="auto"))
    studio.rendering.attach(engine)
    studio.assistants.host.local.status(names[0])
    scenes = Scene(id="s1", prompt="a boat"), Scene(id="s2")
    project = studio.projects.create(Storyboard(model="cosmos-predict1-7b-video2world", scenes=scenes))
    picture = tmp_path / "picture.png"
    Image.new("RGB", (32, 16), "red").save(picture)
    sha256 = studio.projects.add_media(project.id, picture, "picture.png").sha256
    edit = ChangeScene(scene_id="s2", field="conditioning", value={"media": sha256})
    studio.projects.edit(project.id, project.revision, edit)
    outcomes = shared.refiner.refine_now(project.id)
    assert [outcome.failure for outcome in outcomes] == ["", ""]
    by_prompt = {status.job.request.model_dump().get("prompt"): status.job.model for status in engine.asked.values()}
    assert by_prompt == {"a boat": names[0], "": names[1]}
    studio.rendering.detach()
    engine.close()


def test_a_file_keeps_what_was_refined_for_the_same_words(tmp_path: Path, fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset("A red boat drifts.")
    desktop = Desktop(tmp_path, fake_endpoint.url, COSMOS, {})
    with pytest.raises(PlanError, match="nothing to refine"):
        desktop.refiner.refine(desktop.id)
    path, told = tmp_path / "film.yaml", list[RefineOutcome]()
    written = Storyboard(model=COSMOS, scenes=(Scene(id="a", prompt="a boat"), Scene(id="b", prompt="a boat too")))
    first = desktop.refiner.refine_file(path, written, told.append)
    assert desktop.refiner.refine_file(path, written, told.append) == first and len(told) == 2
    assert [scene.refinement is not None and scene.refinement.accepted for scene in first.scenes] == [True, True]
    desktop.studio.close()
