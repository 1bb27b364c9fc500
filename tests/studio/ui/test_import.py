"""Files of others, in and out: batch files of Cosmos, prompt files of TTT-Video."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from studio.document.storyboard import Scene
from tests.studio.ui.conftest import ServedStudio, Visitor

BALL = Scene(id="a", prompt="a red ball", duration_s=2.0)


@pytest.fixture
def served(feature_studio: ServedStudio) -> ServedStudio:
    """One with a joint model."""
    return feature_studio


def test_files_of_others_become_projects(served: ServedStudio, visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.tab(served.project(BALL))
    segment = {"text": "a cat walks", "requires_scene_transition": False, "neg_text": ""}
    (tmp_path / "stories.jsonl").write_text(f"{json.dumps([segment, segment])}\n{json.dumps([segment])}\n")
    (tmp_path / "batch.json").write_text(json.dumps([{"prompt": "a robot", "output_video": "robot.mp4"}]))
    before = {summary.id for summary in served.studio.projects.summaries()}
    page.locator("#import-file").set_input_files([tmp_path / "stories.jsonl", tmp_path / "batch.json"])
    expect(page.locator(".note")).to_contain_text("3 projects made")
    made = [summary.id for summary in served.studio.projects.summaries() if summary.id not in before]
    assert sorted(len(served.studio.projects.open(project).storyboard.scenes) for project in made) == [1, 1, 2]
    titles = {served.studio.projects.open(project).storyboard.title for project in made}
    assert {"stories, 1 of 2", "stories, 2 of 2"} < titles
    expect(page.locator(".cell .prompt")).to_have_text(["a cat walks", "a cat walks"])


def test_a_joint_storyboard_goes_out_as_its_prompt_file(served: ServedStudio, visitor: Visitor) -> None:
    scenes = (BALL, Scene(id="b", prompt="it stops", transition="continue"))
    page = visitor.tab(served.project(*scenes, model="teller"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Prompts").click()
    [video] = json.loads(download.value.path().read_text())
    assert [(part["text"], part["requires_scene_transition"]) for part in video] == [
        ("a red ball", False),
        ("it stops", False),
    ]


@pytest.mark.parametrize("text", ["", "[]", '[[{"text": 1}]]', '[{"prompt": ""}]', '{"prompt": "x"}\n\n{'])
def test_a_bad_file_says_its_name_and_what_is_wrong(
    served: ServedStudio, visitor: Visitor, tmp_path: Path, text: str
) -> None:
    page = visitor.tab(served.project(BALL))
    (tmp_path / "bad.jsonl").write_text(text)
    before = len(served.studio.projects.summaries())
    page.locator("#import-file").set_input_files(tmp_path / "bad.jsonl")
    expect(page.locator(".note.bad")).to_contain_text("bad.jsonl")
    expect(page.locator(".note.bad")).not_to_contain_text("upload")
    assert len(served.studio.projects.summaries()) == before


def test_what_is_wrong_stays_while_it_is_read(served: ServedStudio, visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.tab(served.project(BALL))
    page.clock.install()
    (tmp_path / "bad.json").write_text(json.dumps([{"promt": "x"}, {"prompt": 3}, "hello"]))
    page.locator("#import-file").set_input_files(tmp_path / "bad.json")
    note = page.locator(".note.bad")
    expect(note).to_contain_text("entry 3")
    note.hover()
    page.clock.fast_forward(120_000)
    expect(note).to_be_visible()
    page.mouse.move(5, 5)
    page.clock.fast_forward(120_000)
    expect(note).to_have_count(0)
