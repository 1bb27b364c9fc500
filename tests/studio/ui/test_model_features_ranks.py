"""The ways of using the models from the page, with a real engine: tiny models in the layouts of their authors."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from studio.document.storyboard import Scene, Storyboard
from tests.end_to_end.conftest import Rig
from tests.studio.ui.conftest import Served, Visitor

RENDER_MS = 90_000
SCENE = Scene(id="a", prompt="a red ball", duration_s=1.0)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("rig"), 1)
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def served(rig: Rig) -> Iterator[Served]:
    """What the visitors of this file visit."""
    served = Served(rig.studio)
    yield served
    served.stop_serving()


def opened(visitor: Visitor, rig: Rig, model: str, *scenes: Scene) -> tuple[str, Page]:
    storyboard = Storyboard(title=model, model=model, preset="draft", scenes=scenes)
    project = rig.studio.projects.create(storyboard).id
    return project, visitor.tab(project, "a")


def rendered(page: Page) -> None:
    """Renders the film from the page, to its end."""
    page.locator("#render-film").click()
    expect(page.locator("#render-film")).to_have_text("Film is ready", timeout=RENDER_MS)


def test_a_picture_model_makes_the_first_frame_and_another(rig: Rig, visitor: Visitor) -> None:
    project, page = opened(visitor, rig, "video2world", SCENE)
    rendered(page)
    picture = page.locator(".first-frame img")
    page.wait_for_function("document.querySelector('.first-frame img').naturalWidth > 0")
    first = picture.get_attribute("src") or ""
    page.locator("#another-picture").click()
    expect(picture).not_to_have_attribute("src", first, timeout=RENDER_MS)
    expect(page.locator("#card-a")).to_have_attribute("data-state", "fresh")
    page.locator("#keep-picture").click()
    expect(page.locator("#card-a .root")).to_have_text("from a picture")
    rendered(page)
    assert rig.take(rig.studio.views.board(project)).picture is None


@pytest.mark.parametrize("model", ["video2world", "dfm"])
def test_a_clip_is_re_imagined(rig: Rig, visitor: Visitor, model: str) -> None:
    project, page = opened(visitor, rig, model, SCENE)
    page.locator("#field-conditioning").set_input_files(rig.clip)
    expect(page.locator("#card-a .root")).to_contain_text("a clip")
    if model == "video2world":
        page.get_by_role("radio", name="Re-imagine it").check(force=True)
    expect(page.locator("#card-a .root")).to_have_text("re-imagines a clip")
    rendered(page)
    job = rig.take(rig.studio.views.board(project)).job
    assert job.reimagine is not None and job.reimagine.strength == 0.8


def test_a_clip_gives_as_many_frames_as_predict1_takes(rig: Rig, visitor: Visitor) -> None:
    project, page = opened(visitor, rig, "predict1", SCENE)
    page.locator("#field-conditioning").set_input_files(rig.clip)
    expect(page.locator("#field-frames")).to_have_value("9")
    rendered(page)
    conditioning = rig.take(rig.studio.views.board(project)).job.conditioning
    assert conditioning is not None and conditioning.num_frames == 9


def test_a_long_scene_is_told_part_by_part(rig: Rig, visitor: Visitor) -> None:
    project, page = opened(visitor, rig, "predict1", SCENE.model_copy(update={"duration_s": 3.0}))
    page.locator("#field-conditioning").set_input_files(rig.picture)
    page.get_by_role("radio", name="One for each part").check(force=True)
    page.locator(".parts textarea").first.press_sequentially("it stops")
    expect(page.locator(".saved")).to_contain_text("saved")
    rendered(page)
    prompts = [segment.prompt for segment in rig.take(rig.studio.views.board(project)).job.segments]
    assert prompts[:2] == ["a red ball", "it stops"]


def test_a_joint_storyboard_is_one_job(rig: Rig, visitor: Visitor) -> None:
    scenes = (SCENE, Scene(id="b", prompt="it stops", duration_s=1.0, transition="continue"))
    project, page = opened(visitor, rig, "ttt", *scenes)
    rendered(page)
    board = rig.studio.views.board(project)
    assert rig.take(board, 1).job == rig.take(board, 2).job
    page.locator("#field-prompt").press_sequentially(" at night")
    expect(page.locator('.card[data-state="stale"]')).to_have_count(2)


@pytest.mark.parametrize("model", ["worlds", "dfm"])
def test_words_alone_make_a_film(rig: Rig, visitor: Visitor, model: str) -> None:
    project, page = opened(visitor, rig, model, SCENE)
    rendered(page)
    page.wait_for_function("document.querySelector('#film-video').readyState >= 2")
    assert rig.studio.views.board(project).film.up_to_date
    assert page.evaluate("document.querySelector('#film-video').duration") > 0
