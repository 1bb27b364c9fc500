"""Typing and clicking without waiting, with real keys: no letter is lost, and none ends up in another scene.

The studio's answers are held back by 0, 0.7 and 1.5 seconds, two loops compute beside it, the browser goes offline, or
a second tab changes the same storyboard.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from studio.document.edits import ChangeScene, DeleteScene
from studio.document.storyboard import Scene
from tests.studio.ui.conftest import ServedStudio, Visitor, wait_for

A, B, C = "a red ball", "a blue boat", "a yellow fish"
THREE = (Scene(id="a", prompt=A), Scene(id="b", prompt=B), Scene(id="c", prompt=C))
KEY_MS = 30
NINE = "nine boats at night"
SAVED_S = 40.0


@pytest.fixture(params=[0.0, 0.7, 1.5], ids=lambda seconds: f"answers after {seconds} s")
def held(request: pytest.FixtureRequest, served: ServedStudio) -> Iterator[float]:
    served.hold_answers(request.param)
    yield request.param
    served.hold_answers(0.0)


def write(page: Page, text: str, delay: int = KEY_MS) -> None:
    """At the end of the prompt that is shown, without waiting for anything."""
    page.locator("#field-prompt").click()
    page.keyboard.press("Control+End")
    page.keyboard.type(text, delay=delay)


def all_saved(served: ServedStudio, page: Page, project: str, prompts: list[str]) -> None:
    """The studio has exactly these prompts, and so do the cards."""

    def saved() -> bool:
        page.wait_for_timeout(20)  # what the test does to the page's requests is done meanwhile
        return served.prompts(project) == prompts

    wait_for(saved, seconds=SAVED_S)
    expect(page.locator(".cell .prompt")).to_have_text([prompt or re.compile("") for prompt in prompts])
    expect(page.locator(".saved .word")).to_have_text("saved")


# ---- from scene to scene
def test_another_card_is_clicked_amid_a_word(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    write(page, " rolls")
    page.locator("#card-b").click()
    write(page, " sails")
    page.locator("#card-c").click()
    write(page, " swims")
    page.locator("#card-a").click()
    write(page, " on and on")
    expect(page.locator("#field-prompt")).to_have_value(f"{A} rolls on and on")
    all_saved(served, page, project, [f"{A} rolls on and on", f"{B} sails", f"{C} swims"])


def test_a_refused_value_stays_with_its_scene(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    page.locator("#field-duration").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("0")
    page.locator("#card-b").click()
    write(page, " sails")
    expect(page.locator("#field-duration")).to_have_value("3")
    wait_for(lambda: served.prompts(project) == [A, f"{B} sails", C])
    expect(page.locator(".saved .word")).to_have_text("not saved")
    page.locator("#card-a").click()
    expect(page.locator("#field-duration")).to_have_value("0")
    expect(page.locator("#field-duration-problem")).to_contain_text("0")
    page.locator("#field-duration").press_sequentially(".5")
    wait_for(lambda: served.studio.projects.open(project).storyboard.scene("a").duration_s == 0.5)
    all_saved(served, page, project, [A, f"{B} sails", C])


def test_a_number_that_is_not_one_stays_with_its_scene(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    page.locator("#field-duration").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.locator("#card-b").click()
    expect(page.locator("#field-duration")).to_have_value("3")
    page.locator("#card-a").click()
    expect(page.locator("#field-duration")).to_have_value("")
    expect(page.locator("#field-duration-problem")).to_have_text("Seconds is a number.")


def test_another_project_is_opened_amid_a_word(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project, other = served.project(*THREE, title="One"), served.project(*THREE, title="Other")
    page = visitor.tab(project, "a")
    write(page, " rolls")
    page.locator(f'[data-project="{other}"] .project').click()
    expect(page.locator("#field-title")).to_have_value("Other")
    page.locator("#card-b").click()
    write(page, " sails")
    page.locator(f'[data-project="{project}"] .project').click()
    expect(page.locator("#field-title")).to_have_value("One")
    wait_for(lambda: served.prompts(project) == [f"{A} rolls", B, C])
    wait_for(lambda: served.prompts(other) == [A, f"{B} sails", C])


def test_undo_belongs_to_the_project_in_which_it_was_pressed(served: ServedStudio, visitor: Visitor) -> None:
    project, other = served.project(*THREE, title="One"), served.project(*THREE, title="Other")
    for each in (project, other):
        edit = ChangeScene(scene_id="a", field="prompt", value="changed")
        served.studio.projects.edit(each, served.studio.projects.open(each).revision, edit)
    page = visitor.tab(project, "a")
    served.hold_answers(1.0)
    write(page, " twice")
    page.locator(".undo").click()
    page.locator(f'[data-project="{other}"] .project').click()
    expect(page.locator("#field-title")).to_have_value("Other")
    wait_for(lambda: served.studio.projects.open(project).revision == 4)
    assert served.prompts(project)[0] == "changed"
    assert served.prompts(other)[0] == "changed"


# ---- new scenes
def test_keys_after_n_are_words_of_the_new_scene(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    page.locator("#card-a").focus()
    page.keyboard.press("n")
    page.keyboard.type(NINE, delay=80)
    all_saved(served, page, project, [A, NINE, B, C])


@pytest.mark.parametrize("way", ["click", "Enter", "Space"])
def test_keys_after_add_a_scene_are_its_words(served: ServedStudio, visitor: Visitor, held: float, way: str) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    add = page.locator("#add-scene")
    if way == "click":
        add.click()
    else:
        add.focus()
        page.keyboard.press(way)
    page.keyboard.type(NINE, delay=KEY_MS)
    all_saved(served, page, project, [A, B, C, NINE])


def test_scenes_are_added_faster_than_the_studio_answers(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(THREE[0])
    page = visitor.tab(project, "a")
    page.locator("#card-a").focus()
    for word in ("one", "two", "three", "four"):
        page.keyboard.press("n")
        page.keyboard.type(f"{word} n", delay=5)
        page.keyboard.press("Escape")
        page.locator(".card[aria-selected=true]").focus()
    all_saved(served, page, project, [A, "one n", "two n", "three n", "four n"])
    page.reload()
    expect(page.locator(".cell .prompt")).to_have_text([A, "one n", "two n", "three n", "four n"])


def test_a_copy_is_written_in_at_once(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    write(page, " sails")
    page.get_by_role("button", name="Duplicate scene").click()
    write(page, " again")
    all_saved(served, page, project, [A, f"{B} sails", f"{B} sails again", C])


def test_a_deleted_scene_takes_no_keys(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    page.locator("#card-b").focus()
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(page.locator("#card-c")).to_be_focused(timeout=300)
    write(page, " swims")
    all_saved(served, page, project, [A, f"{C} swims"])
    expect(page.locator(".banner")).to_have_count(0)


# ---- new projects
def test_keys_after_new_project_are_words_of_its_first_scene(
    served: ServedStudio, visitor: Visitor, held: float
) -> None:
    before = served.project(*THREE)
    page = visitor.tab(before, "a")
    known = {summary.id for summary in served.studio.projects.summaries()}
    page.locator(".new-project").click()
    page.keyboard.type(NINE, delay=80)
    page.locator("#field-title").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("Nine boats", delay=KEY_MS)
    made = [summary.id for summary in wait_for_projects(served, known)]
    assert len(made) == 1
    all_saved(served, page, made[0], [NINE])
    wait_for(lambda: served.studio.projects.open(made[0]).storyboard.title == "Nine boats")
    assert served.prompts(before) == [A, B, C]
    expect(page).to_have_url(re.compile(f"project={made[0]}"))
    expect(page.locator(f'[data-project="{made[0]}"] .name')).to_have_text("Nine boats")


def wait_for_projects(served: ServedStudio, known: set[str]) -> list:
    def new() -> list:
        return [summary for summary in served.studio.projects.summaries() if summary.id not in known]

    wait_for(new)
    return new()


def test_an_id_made_by_a_page_is_checked(served: ServedStudio, visitor: Visitor) -> None:
    page = visitor.tab(served.project(*THREE), "a")

    def create(project: str) -> dict:
        script = """(id) => import('/studio/static/core/actions.js')
            .then((actions) => actions.ask('create', {title: 'Made', id}))"""
        return page.evaluate(script, project)

    answer = create("p-00000000a1")
    assert (answer["ok"], answer["project"], answer["revision"]) == (True, "p-00000000a1", 1)
    again = create("p-00000000a1")
    assert not again["ok"] and "taken already" in again["problem"]
    for wrong in ("../../x", "p-0", "f-0123456789", "P-00000000A1", ""):
        assert not create(wrong)["ok"]


# ---- on a busy machine
def test_nothing_is_lost_on_a_busy_machine(served: ServedStudio, visitor: Visitor, busy_machine: None) -> None:
    served.hold_answers(0.7)
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    write(page, " rolls", delay=10)
    page.locator("#card-b").click()
    write(page, " sails", delay=10)
    page.locator("#card-b").focus()
    page.keyboard.press("n")
    page.keyboard.type(NINE, delay=10)
    all_saved(served, page, project, [f"{A} rolls", f"{B} sails", NINE, C])


# ---- offline
@pytest.fixture
def offline(visitor: Visitor) -> Iterator[None]:
    """Leaves the shared browser online, whatever a test did."""
    yield
    visitor.context.set_offline(False)


def test_words_written_offline_are_saved_when_the_studio_is_back(
    served: ServedStudio, visitor: Visitor, offline: None
) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    visitor.context.set_offline(True)
    write(page, " rolls")
    page.locator("#card-b").click()
    write(page, " sails")
    page.locator("#card-b").focus()
    page.keyboard.press("n")
    page.keyboard.type(NINE, delay=KEY_MS)
    expect(page.locator(".saved .word")).to_have_text("not saved")
    page.locator("#card-a").click()
    expect(page.locator("#field-prompt")).to_have_value(f"{A} rolls")
    visitor.context.set_offline(False)
    all_saved(served, page, project, [f"{A} rolls", f"{B} sails", NINE, C])


def test_a_project_made_offline_is_saved_when_the_studio_is_back(
    served: ServedStudio, visitor: Visitor, offline: None
) -> None:
    page = visitor.tab(served.project(*THREE), "a")
    known = {summary.id for summary in served.studio.projects.summaries()}
    visitor.context.set_offline(True)
    page.locator(".new-project").click()
    page.keyboard.type(NINE, delay=KEY_MS)
    page.locator("#add-scene").click()
    page.keyboard.type(A, delay=KEY_MS)
    expect(page.locator(".banners")).to_contain_text("Not saved")
    visitor.context.set_offline(False)
    [made] = wait_for_projects(served, known)
    all_saved(served, page, made.id, [NINE, A])


def test_an_answer_that_is_lost_on_its_way_is_no_change_made_elsewhere(served: ServedStudio, visitor: Visitor) -> None:
    """The studio saved the words, but the page could not know."""
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    served.hold_answers(1.0)
    page.route("**/component_server**", lambda route: (route.fetch(), route.abort()), times=1)
    write(page, " rolls")
    page.wait_for_timeout(1800)
    assert served.prompts(project)[0] == f"{A} rolls"
    write(page, " on")
    all_saved(served, page, project, [f"{A} rolls on", B, C])
    page.route("**/component_server**", lambda route: (route.fetch(), route.abort()), times=1)
    page.locator("#add-scene").click()
    page.keyboard.type(NINE, delay=KEY_MS)
    all_saved(served, page, project, [f"{A} rolls on", B, C, NINE])


# ---- leaving the page
def test_leaving_asks_while_anything_is_unsaved(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    write(page, " rolls")
    page.locator("#card-a").focus()
    page.keyboard.press("n")
    page.keyboard.type(NINE, delay=5)
    page.reload()
    assert asked == ["beforeunload"]
    all_saved(served, page, project, [f"{A} rolls", NINE, B, C])
    page.reload()
    assert asked == ["beforeunload"]


# ---- two tabs
def test_two_tabs_write_at_the_same_time(served: ServedStudio, visitor: Visitor, held: float) -> None:
    project = served.project(*THREE)
    one, other = visitor.tab(project, "a"), visitor.tab(project, "c")
    for tab, text in ((one, " rolls"), (other, " swims")):
        write(tab, text)
    one.locator("#card-a").focus()
    one.keyboard.press("n")
    one.keyboard.type("from one", delay=KEY_MS)
    other.locator("#card-c").focus()
    other.keyboard.press("n")
    other.keyboard.type("from other", delay=KEY_MS)
    for tab in (one, other):
        all_saved(served, tab, project, [f"{A} rolls", "from one", B, f"{C} swims", "from other"])


def deleted_elsewhere(served: ServedStudio, project: str, scene: str) -> None:
    served.studio.projects.edit(project, served.studio.projects.open(project).revision, DeleteScene(scene_id=scene))


def test_a_scene_deleted_in_another_tab_keeps_its_words(served: ServedStudio, visitor: Visitor, held: float) -> None:
    scene = THREE[1].model_copy(update={"notes": "ask Ann", "seed": 7, "duration_s": 4.0})
    project = served.project(THREE[0], scene, THREE[2])
    page = visitor.tab(project, "b")
    write(page, " sails")
    deleted_elsewhere(served, project, "b")
    expect(page.locator(".cell")).to_have_count(2)
    page.keyboard.type(" to the north", delay=KEY_MS)
    expect(page.locator(".banner")).to_contain_text("sails to the north")
    expect(page.locator("#field-prompt")).to_have_value(f"{B} sails to the north")
    expect(page.locator(".saved .word")).not_to_have_text("saved")
    assert served.prompts(project) == [A, C]
    page.get_by_role("button", name="Put the scene back").click()
    expect(page.locator(".banner")).to_have_count(0)
    all_saved(served, page, project, [A, f"{B} sails to the north", C])
    back = served.studio.projects.open(project).storyboard.scene("b")
    wait_for(lambda: served.studio.projects.open(project).storyboard.scene("b").notes == "ask Ann")
    assert (back.duration_s, back.id) == (4.0, "b")
    wait_for(lambda: served.studio.projects.open(project).storyboard.scene("b").seed == 7)


def test_keys_in_a_scene_that_was_deleted_in_another_tab_go_into_no_other(
    served: ServedStudio, visitor: Visitor
) -> None:
    """Nothing was unsaved when it went: the next key is the first that must not land elsewhere."""
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    write(page, " sails")
    wait_for(lambda: served.prompts(project)[1] == f"{B} sails")
    expect(page.locator(".saved .word")).to_have_text("saved")
    deleted_elsewhere(served, project, "b")
    expect(page.locator(".cell")).to_have_count(2)
    page.keyboard.type(" north", delay=KEY_MS)
    expect(page.locator(".banner")).to_contain_text("sails north")
    page.locator("#card-c").click()
    expect(page.locator("#field-prompt")).to_have_value(C)
    expect(page.locator(".banner")).to_contain_text("sails north")
    page.get_by_role("button", name="Copy and close").click()
    expect(page.locator(".banner")).to_have_count(0)
    all_saved(served, page, project, [A, C])
