"""Typing and clicking without waiting, with real keys, in one tab: no letter is lost, none ends up in another scene.

The studio's answers are held back by 0, 0.7 and 1.5 seconds.
"""

import re

import pytest
from playwright.sync_api import expect

from studio.document.edits import ChangeScene
from tests.studio.ui.conftest import ServedStudio, Visitor, wait_for
from tests.studio.ui.writing import KEY_MS, NINE, THREE, A, B, C, all_saved, wait_for_projects, write


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


def test_another_project_is_opened_amid_a_word(served: ServedStudio, visitor: Visitor) -> None:
    served.hold_answers(0.7)
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
    page.locator("#field-prompt").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(" twice")  # one edit, however slow the machine is
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


@pytest.mark.parametrize(("way", "seconds"), [("click", 0.0), ("click", 1.5), ("Enter", 0.7), ("Space", 0.7)])
def test_keys_after_add_a_scene_are_its_words(served: ServedStudio, visitor: Visitor, way: str, seconds: float) -> None:
    served.hold_answers(seconds)
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


def test_scenes_are_added_faster_than_the_studio_answers(served: ServedStudio, visitor: Visitor) -> None:
    served.hold_answers(0.7)
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


def test_a_copy_is_written_in_at_once(served: ServedStudio, visitor: Visitor) -> None:
    served.hold_answers(0.7)
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    write(page, " sails")
    page.get_by_role("button", name="Duplicate scene").click()
    write(page, " again")
    all_saved(served, page, project, [A, f"{B} sails", f"{B} sails again", C])


def test_a_deleted_scene_takes_no_keys(served: ServedStudio, visitor: Visitor) -> None:
    served.hold_answers(0.7)
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
