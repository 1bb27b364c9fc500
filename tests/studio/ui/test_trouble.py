"""Two tabs, lost connections, bad files: nothing is lost, and what is wrong is said in words."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, expect

from studio.document.edits import ChangeScene, DeleteScene
from studio.document.storyboard import Scene
from tests.studio.ui.conftest import ServedStudio, Visitor, wait_for

ONE = Scene(id="a", prompt="a red ball")
TWO = Scene(id="b", prompt="a blue boat", transition="continue")


@pytest.fixture
def own_studio(tmp_path: Path) -> Iterator[ServedStudio]:
    """A studio that a test may take down."""
    served = ServedStudio(tmp_path / "workspace")
    yield served
    served.close()


def test_a_second_tab_shows_what_the_first_one_does(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(ONE, TWO)
    first, second = visitor.tab(project, "a"), visitor.tab(project, "b")
    first.locator("#field-prompt").press_sequentially(" rolls")
    expect(second.locator("#card-a .prompt")).to_have_text("a red ball rolls")
    second.locator("#field-prompt").press_sequentially(" sails")
    expect(first.locator("#card-b .prompt")).to_have_text("a blue boat sails")
    first.locator("#card-b").click()
    expect(first.locator("#field-prompt")).to_have_value("a blue boat sails")


def the_other_tab_saves(served: ServedStudio, project: str) -> None:
    """While this tab's edit is on its way: on the same revision, but first."""
    revision = served.studio.projects.open(project).revision
    served.studio.projects.edit(project, revision, ChangeScene(scene_id="a", field="prompt", value="theirs"))


@pytest.mark.parametrize(("choice", "kept"), [("Keep mine", "mine"), ("Take theirs", "theirs")])
def test_two_tabs_on_one_field_show_both_texts(served: ServedStudio, visitor: Visitor, choice: str, kept: str) -> None:
    project = served.project(ONE)
    page = visitor.tab(project, "a")
    prompt = page.locator("#field-prompt")
    prompt.click()
    page.keyboard.press("Control+a")
    page.route(
        "**/component_server**", lambda route: (the_other_tab_saves(served, project), route.continue_()), times=1
    )
    page.keyboard.type("mine")
    conflict = page.locator(".conflict:visible")
    expect(conflict).to_contain_text("theirs")
    expect(prompt).to_have_value("mine")
    conflict.get_by_role("button", name=choice).click()
    expect(conflict).to_have_count(0)
    expect(prompt).to_have_value(kept)
    wait_for(lambda: served.prompts(project) == [kept])


def test_text_that_could_not_be_saved_stays_and_is_saved_later(
    own_studio: ServedStudio, context: BrowserContext
) -> None:
    project = own_studio.project(ONE)
    page = Visitor(context, own_studio).tab(project, "a")
    own_studio.stop_serving()
    page.locator("#field-prompt").press_sequentially(" that nobody may lose")
    expect(page.locator(".banners")).to_contain_text("Not saved")
    expect(page.locator(".saved")).to_contain_text("not saved")
    expect(page.locator("#field-prompt")).to_have_value("a red ball that nobody may lose")
    own_studio.start()
    wait_for(lambda: own_studio.prompts(project) == ["a red ball that nobody may lose"])
    expect(page.locator(".banner")).to_have_count(0)
    expect(page.locator(".saved")).to_contain_text("saved ·")
    page.close()


def test_a_reload_with_unsaved_text_saves_it(own_studio: ServedStudio, context: BrowserContext) -> None:
    project = own_studio.project(ONE)
    page = Visitor(context, own_studio).tab(project, "a")
    page.on("dialog", lambda dialog: dialog.accept())
    own_studio.stop_serving()
    page.locator("#field-prompt").press_sequentially(" kept")
    expect(page.locator(".banners")).to_contain_text("Not saved")
    own_studio.start()
    page.reload()
    wait_for(lambda: own_studio.prompts(project) == ["a red ball kept"])
    page.close()


def test_an_engine_out_of_reach_is_said_and_nothing_is_lost(own_studio: ServedStudio, context: BrowserContext) -> None:
    project = own_studio.project(ONE)
    page = Visitor(context, own_studio).tab(project, "a")
    own_studio.engine.reachable = False
    page.locator("#render-film").click()
    expect(page.locator(".note.bad").first).to_contain_text("no engine answers")
    page.locator("#field-prompt").press_sequentially(" rolls")
    wait_for(lambda: own_studio.prompts(project) == ["a red ball rolls"])
    own_studio.engine.reachable = True
    page.locator("#render-film").click()
    expect(page.locator("#card-a")).to_have_attribute("data-state", "fresh")
    page.close()


def test_a_project_that_is_gone_says_so(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(ONE)
    page = visitor.tab(project)
    served.studio.projects.delete(project)
    expect(page.locator(".vacant")).not_to_have_text("")
    expect(page.locator(".board-grid")).to_be_hidden()


def test_a_picture_is_uploaded_shown_and_removed(served: ServedStudio, visitor: Visitor, tmp_path: Path) -> None:
    project = served.project(ONE, TWO)
    page = visitor.tab(project, "a")
    picture = tmp_path / "Start.PNG"
    Image.new("RGB", (120, 80), (200, 60, 40)).save(picture, "PNG")
    page.locator("#field-conditioning").set_input_files(picture)
    thumb = page.locator(".drop-zone .thumb img")
    expect(thumb).to_be_visible()
    wait_for(lambda: thumb.evaluate("image => image.naturalWidth") == 120)
    expect(page.locator("#card-a .root")).to_have_text("from a picture")
    page.get_by_role("button", name="Remove the picture").click()
    wait_for(lambda: served.studio.projects.open(project).storyboard.scene("a").conditioning is None)
    expect(page.locator("#card-a .root")).to_have_text("")
    expect(thumb).to_have_count(0)


@pytest.mark.parametrize("content", [b"", b"these are only words", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_file_that_is_no_picture_is_refused_in_words(served: ServedStudio, web, content: bytes) -> None:
    project = served.project(ONE)
    answer = web.post(f"/media/{project}", files={"file": ("holiday.png", io.BytesIO(content))})
    assert answer.status_code == 422
    assert "holiday.png" in answer.json()["problem"]


def test_sixty_scenes_are_all_drawn_and_one_change_redraws_little(served: ServedStudio, visitor: Visitor) -> None:
    scenes = [Scene(id=f"s{number}", prompt=f"a ball, number {number}") for number in range(60)]
    project = served.project(*scenes)
    page = visitor.tab(project, "s30")
    expect(page.locator(".cell")).to_have_count(60)
    page.evaluate(
        """() => { window.changes = 0; new MutationObserver((list) => (window.changes += list.length))
            .observe(document.querySelector('.cards'), {subtree: true, childList: true, characterData: true}) }"""
    )
    page.locator("#field-prompt").press_sequentially("!")
    expect(page.locator("#card-s30 .prompt")).to_have_text("a ball, number 30!")
    assert page.evaluate("window.changes") < 10


def test_words_for_a_scene_that_was_deleted_elsewhere_stay_on_the_page(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(ONE, TWO)
    page = visitor.tab(project, "a")

    def deleted_first(route) -> None:  # noqa: ANN001
        served.studio.projects.edit(project, served.studio.projects.open(project).revision, DeleteScene(scene_id="a"))
        route.continue_()

    page.route("**/component_server**", deleted_first, times=1)
    page.locator("#field-prompt").press_sequentially(" that I would miss", delay=0)
    expect(page.locator(".banner")).to_contain_text("a red ball that I would miss")
    expect(page.locator(".cell")).to_have_count(1)
    page.get_by_role("button", name="Copy and close").click()
    expect(page.locator(".banner")).to_have_count(0)
