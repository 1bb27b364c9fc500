"""Typing while things go wrong: a busy machine, no connection, lost answers, a page that is left, a second tab.

No letter is lost, and none ends up in another scene.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from studio.document.edits import DeleteScene
from tests.studio.ui.conftest import ServedStudio, Visitor, wait_for
from tests.studio.ui.writing import KEY_MS, NINE, THREE, A, B, C, all_saved, wait_for_projects, write


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
    expect(page.locator(f'[data-project="{made.id}"] .count')).to_have_text("2 scenes")


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


def test_what_is_written_right_after_an_undo_is_no_conflict_with_it(served: ServedStudio, visitor: Visitor) -> None:
    """The field is written again before the page can know what the undo made of it."""
    project = served.project(*THREE)

    def seconds() -> float:
        return served.studio.projects.open(project).storyboard.scenes[0].duration_s

    before, page = seconds(), visitor.tab(project, "a")
    page.locator("#field-duration").fill("3")
    wait_for(lambda: seconds() == 3.0)
    expect(page.locator(".saved .word")).to_have_text("saved")
    on_their_way: list[Route] = []
    page.route("**/component_server**", lambda route: on_their_way.append(route), times=1)
    page.locator("#card-a").focus()
    page.keyboard.press("Control+z")
    page.locator("#field-duration").fill("5")
    page.wait_for_timeout(500)
    (undo,) = on_their_way
    undo.continue_()
    wait_for(lambda: page.locator(".saved .word").inner_text() == "saved" and seconds() == 5.0, seconds=20)
    page.locator("#card-a").focus()
    page.keyboard.press("Control+z")
    wait_for(lambda: seconds() == before)


# ---- leaving the page
def test_leaving_asks_while_anything_is_unsaved(served: ServedStudio, visitor: Visitor) -> None:
    served.hold_answers(1.5)
    project = served.project(*THREE)
    page = visitor.tab(project, "a", fresh=True)
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


def test_a_scene_is_put_back_before_the_studio_answers_that_it_is_gone(served: ServedStudio, visitor: Visitor) -> None:
    served.hold_answers(1.5)
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    write(page, " sails")
    page.wait_for_timeout(600)  # sent, and not at the studio yet
    deleted_elsewhere(served, project, "b")
    expect(page.locator(".cell")).to_have_count(2)
    page.keyboard.type(" on", delay=KEY_MS)
    page.get_by_role("button", name="Put the scene back").click()
    all_saved(served, page, project, [A, f"{B} sails on", C])
    expect(page.locator(".conflict:visible")).to_have_count(0)


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


def test_words_that_were_refused_with_their_scene_come_back_with_it(served: ServedStudio, visitor: Visitor) -> None:
    """The studio refuses the words as a conflict before the stream tells the page that their scene is gone."""
    project = served.project(*THREE)
    page = visitor.tab(project, "b")

    def deleted_first(route: Route) -> None:
        deleted_elsewhere(served, project, "b")
        route.continue_()

    page.route("**/component_server**", deleted_first, times=1)
    write(page, " sails", delay=0)
    expect(page.locator(".banner")).to_contain_text("sails")
    page.get_by_role("button", name="Put the scene back").click()
    all_saved(served, page, project, [A, f"{B} sails", C])
    expect(page.locator(".conflict:visible")).to_have_count(0)


NESTED = """() => import('/studio/static/core/notifier.js').then(({ notifier }) => {
    const source = notifier();
    let [calls, depth, deepest] = [0, 0, 0];
    source.watch(() => {
      depth += 1;
      deepest = Math.max(deepest, depth);
      calls += 1;
      if (calls < 5) source.notify();
      depth -= 1;
    });
    source.notify();
    return [calls, deepest];
})"""


def test_a_listener_that_changes_what_it_listens_to_is_called_again_but_not_inside_itself(
    served: ServedStudio, visitor: Visitor
) -> None:
    assert visitor.tab(served.project(*THREE)).evaluate(NESTED) == [5, 1]
