"""Writing a storyboard in the browser, with real keys and a real pointer."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from studio.document.storyboard import Scene
from tests.studio.ui.conftest import SCREENSHOTS, ServedStudio, Visitor, wait_for

THREE = (
    Scene(id="a", prompt="a red ball rolls over the meadow"),
    Scene(id="b", prompt="a blue boat at sea", transition="continue"),
    Scene(id="c", prompt="a yellow fish at night"),
)
A, B, C = (scene.prompt for scene in THREE)


def cards(page: Page) -> list[str]:
    return page.locator(".cell .prompt").all_inner_texts()


def test_three_scenes_are_typed_and_every_key_is_saved(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project()
    page = visitor.tab(project)
    expect(page.locator(".add")).to_be_visible()
    for place, prompt in enumerate((A, B, C)):
        page.locator("#add-scene").focus()
        page.keyboard.press("n")
        expect(page.locator(".cell")).to_have_count(place + 1)
        expect(page.locator("#field-prompt")).to_be_focused()
        page.locator("#field-prompt").press_sequentially(prompt)
        page.keyboard.press("Escape")
    expect(page.locator(".saved")).to_contain_text("saved · 3 scenes")
    assert cards(page) == [A, B, C]
    assert served.prompts(project) == [A, B, C]
    page.reload()
    expect(page.locator(".cell .prompt").nth(2)).to_have_text(C)


FIELDS: dict[str, tuple[str, Callable[[Scene], bool]]] = {
    "negative": ("two boats", lambda scene: scene.negative_prompt == "two boats"),
    "duration": ("4.5", lambda scene: scene.duration_s == 4.5),
    "seed": ("1234", lambda scene: scene.seed == 1234),
    "notes": ("ask Ann", lambda scene: scene.notes == "ask Ann"),
    "steps": ("7", lambda scene: scene.overrides.num_steps == 7),
}


def test_every_field_of_a_scene_is_saved_as_it_is_typed(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    page.locator(".scene-form .finer summary").click()
    for field, (typed, read) in FIELDS.items():
        control = page.locator(f"#field-{field}")
        control.click()
        control.press("Control+a")
        control.press_sequentially(typed)
        wait_for(lambda read=read: read(served.studio.projects.open(project).storyboard.scene("b")))
    page.locator("#field-transition").select_option("crossfade")
    wait_for(lambda: served.studio.projects.open(project).storyboard.scene("b").transition == "crossfade")
    expect(page.locator("#field-crossfade")).to_be_visible()
    expect(page.locator(".saved")).to_contain_text("saved")


def test_a_wrong_number_says_so_and_is_not_saved(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    page.locator("#field-duration").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    expect(page.locator("#field-duration-problem")).to_have_text("Seconds is a number.")
    page.locator("#field-duration").press_sequentially("0")
    expect(page.locator("#field-duration-problem")).to_contain_text("0")
    assert served.studio.projects.open(project).storyboard.scene("a").duration_s == THREE[0].duration_s
    page.locator("#field-duration").press_sequentially(".5")
    wait_for(lambda: served.studio.projects.open(project).storyboard.scene("a").duration_s == 0.5)
    expect(page.locator("#field-duration-problem")).to_be_hidden()


def test_a_scene_is_moved_by_dragging(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project)
    start, goal = page.locator("#card-c .picture").bounding_box(), page.locator("#card-a .picture").bounding_box()
    assert start and goal
    page.mouse.move(start["x"] + 60, start["y"] + 60)
    page.mouse.down()
    page.mouse.move(goal["x"] + 80, goal["y"] + 60, steps=6)
    page.mouse.move(goal["x"] + 20, goal["y"] + 60, steps=4)
    expect(page.locator(".ghost")).to_be_visible()
    expect(page.locator(".drop-mark")).to_be_visible()
    page.mouse.up()
    expect(page.locator(".ghost")).to_have_count(0)
    wait_for(lambda: served.prompts(project) == [C, A, B])
    expect(page.locator(".cell .prompt").first).to_have_text(C)


def test_escape_ends_a_drag_without_a_move(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project)
    start = page.locator("#card-c .picture").bounding_box()
    assert start
    page.mouse.move(start["x"] + 60, start["y"] + 60)
    page.mouse.down()
    page.mouse.move(start["x"] - 400, start["y"] + 60, steps=5)
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page.locator(".ghost")).to_have_count(0)
    assert served.prompts(project) == [A, B, C]


def test_a_scene_is_moved_by_keys_and_keeps_the_focus(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    page.locator("#card-a").focus()
    page.keyboard.press("Alt+ArrowRight")
    wait_for(lambda: served.prompts(project) == [B, A, C])
    expect(page.locator("#card-a")).to_be_focused()
    page.keyboard.press("Alt+ArrowRight")
    wait_for(lambda: served.prompts(project) == [B, C, A])
    page.keyboard.press("Alt+ArrowLeft")
    wait_for(lambda: served.prompts(project) == [B, A, C])
    expect(page.locator("#studio-live")).to_have_text("Moved to place 2 of 3.")


def test_arrows_go_from_card_to_card_with_one_tab_stop(served: ServedStudio, visitor: Visitor) -> None:
    page = visitor.tab(served.project(*THREE), "a")
    page.locator("#card-a").focus()
    for key, there in (("ArrowRight", "b"), ("End", "c"), ("ArrowLeft", "b"), ("Home", "a"), ("ArrowLeft", "a")):
        page.keyboard.press(key)
        expect(page.locator(f"#card-{there}")).to_be_focused()
    expect(page.locator('.card[tabindex="0"]')).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#field-prompt")).to_be_focused()


def test_delete_asks_then_undo_brings_the_scene_back(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    page.locator("#card-b").focus()
    page.keyboard.press("Delete")
    expect(page.locator("dialog")).to_contain_text("Delete scene 2?")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert served.prompts(project) == [A, B, C]
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    wait_for(lambda: served.prompts(project) == [A, C])
    expect(page.locator("#card-c")).to_be_focused()
    page.keyboard.press("Control+z")
    wait_for(lambda: served.prompts(project) == [A, B, C])
    expect(page.locator(".cell")).to_have_count(3)
    page.keyboard.press("Control+Shift+z")
    wait_for(lambda: served.prompts(project) == [A, C])


def test_undo_goes_back_over_a_reload(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    page.locator("#field-prompt").press_sequentially("X")
    wait_for(lambda: "X" in served.prompts(project)[0])
    page.reload()
    expect(page.locator(".undo")).to_be_enabled()
    page.locator(".undo").click()
    wait_for(lambda: served.prompts(project) == [A, B, C])
    expect(page.locator("#field-prompt")).to_have_value(A)


TOOLS = {
    "Move earlier": [B, A, C],
    "Move later": [A, C, B],
    "Duplicate scene": [A, B, B, C],
    "Split in the middle": [A, B, B, C],
    "Merge with the next scene": [A, f"{B} {C}"],
}


def test_the_tools_of_a_scene_and_their_undo(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    for label, prompts in TOOLS.items():
        page.locator("#card-b").click()
        page.get_by_role("button", name=label).click()
        expect(page.locator(".cell .prompt")).to_have_text(prompts)
        wait_for(lambda prompts=prompts: served.prompts(project) == prompts)
        page.locator(".undo").click()
        expect(page.locator(".cell .prompt")).to_have_text([A, B, C])


def test_title_preset_and_look_belong_to_the_film(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project)
    page.locator("#field-title").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("The long way")
    page.get_by_role("radio", name="Fast").click()
    page.get_by_role("tab", name="Film").click()
    page.locator("#field-look").press_sequentially("papercut")
    wait_for(lambda: served.studio.projects.open(project).storyboard.look == "papercut")
    storyboard = served.studio.projects.open(project).storyboard
    assert (storyboard.title, storyboard.preset) == ("The long way", "fast")
    expect(page.locator(".project[aria-current] .name")).to_have_text("The long way")


def test_hostile_words_are_shown_as_words(served: ServedStudio, visitor: Visitor) -> None:
    hostile = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>${window.broken=1}{{value}}'
    scene = Scene(id="a", prompt=hostile, negative_prompt=hostile, notes=hostile)
    page = visitor.tab(served.project(scene, title=hostile), "a")
    expect(page.locator(".cell .prompt")).to_have_text(hostile)
    expect(page.locator("#field-prompt")).to_have_value(hostile)
    expect(page.locator("#field-title")).to_have_value(hostile)
    expect(page.locator(".project[aria-current] .name")).to_have_text(hostile)
    page.locator("#card-a").focus()
    page.keyboard.press("Delete")
    page.keyboard.press("Escape")
    assert page.evaluate("window.broken") is None
    assert page.locator(".card script, .card img[src=x]").count() == 0


def test_projects_are_made_copied_deleted_and_brought_back(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE, title="First")
    page = visitor.tab(project)
    page.locator(".new-project").click()
    expect(page.locator("#field-title")).to_have_value("Untitled film")
    expect(page).to_have_url(re.compile(r"project=(?!" + project + ")"))
    page.locator(".project", has_text="First").click()
    expect(page.locator("#field-title")).to_have_value("First")
    row = page.locator(f'[data-project="{project}"]')
    row.hover()
    row.get_by_role("button", name="Duplicate project").click()
    expect(page.locator("#field-title")).to_have_value("First (copy)")
    row.hover()
    row.get_by_role("button", name="Delete project “First”").click()
    page.get_by_role("button", name="Delete project", exact=True).click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Bring back").click()
    expect(page.locator("#field-title")).to_have_value("First")
    titles = [summary.title for summary in served.studio.projects.summaries()]
    assert titles.count("First") == titles.count("First (copy)") == 1


def test_the_strip_shows_the_scene_that_is_selected(served: ServedStudio, visitor: Visitor) -> None:
    scenes = tuple(Scene(id=f"s{number}", prompt=f"a ball, {number}", duration_s=1.0) for number in range(30))
    page = visitor.tab(served.project(*scenes), "s0")
    page.locator("#card-s0").focus()
    expect(page.get_by_role("button", name="Scene 30,")).not_to_be_in_viewport()
    page.keyboard.press("End")
    expect(page.get_by_role("button", name="Scene 30,")).to_be_in_viewport(ratio=1)
    page.keyboard.press("Home")
    expect(page.get_by_role("button", name="Scene 1,")).to_be_in_viewport(ratio=1)


def test_a_finger_that_rests_on_a_card_moves_it(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project)
    start, goal = page.locator("#card-c .picture").bounding_box(), page.locator("#card-a .picture").bounding_box()
    assert start and goal
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *place: float) -> None:
        points = [{"x": place[0], "y": place[1]}] if place else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", start["x"] + 60, start["y"] + 60)
    expect(page.locator(".ghost")).to_be_visible()
    for share in (0.3, 0.6, 1.0):
        touch("touchMove", start["x"] + (goal["x"] - start["x"]) * share + 30, start["y"] + 60)
    touch("touchEnd")
    wait_for(lambda: served.prompts(project) == [C, A, B])


def test_a_swipe_scrolls_and_moves_nothing(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project)
    box = page.locator("#card-c .picture").bounding_box()
    assert box
    finger = page.context.new_cdp_session(page)
    finger.send(
        "Input.synthesizeScrollGesture",
        {"x": box["x"] + 60, "y": box["y"] + 60, "yDistance": -80, "gestureSourceType": "touch", "speed": 2000},
    )
    expect(page.locator(".ghost")).to_have_count(0)
    assert served.prompts(project) == [A, B, C]


def test_the_last_project_may_be_deleted_and_a_new_one_made(served: ServedStudio, visitor: Visitor) -> None:
    for summary in served.studio.projects.summaries():
        served.studio.projects.delete(summary.id)
    page = visitor.context.new_page()
    page.goto(served.address)
    expect(page.locator(".vacant")).to_contain_text("A project is one film")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "nothing-yet.png")
    page.locator(".vacant button").click()
    expect(page.locator("#field-title")).to_have_value("Untitled film")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#field-prompt")).to_be_focused()
    expect(page.locator(".card .state")).to_have_text("no prompt yet")
    page.screenshot(path=SCREENSHOTS / "new-project.png")


def test_a_patch_is_laid_on_what_the_stream_told_not_on_an_answer(served: ServedStudio, visitor: Visitor) -> None:
    """Boards come by answers and by the stream; an answer may know a scene less, or more, than the stream's last."""
    project = served.project(*THREE)
    page = visitor.tab(project, "b")
    page.evaluate(
        """async () => {
            const store = await import(new URL('studio/static/core/store.js', document.baseURI).href);
            store.take({...store.state.board, scenes: store.state.board.scenes.slice(0, 2)});
        }"""
    )
    expect(page.locator(".cell")).to_have_count(2)
    served.studio.projects.rename(project, "Renamed")
    expect(page.locator("#field-title")).to_have_value("Renamed")
    expect(page.locator(".cell .prompt")).to_have_text([A, B, C])


def test_a_refined_prompt_is_asked_for_edited_accepted_and_taken_back(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(Scene(id="a", prompt="a ship at sunset <b>now</b>", duration_s=2.0), Scene(id="b"))
    page = visitor.tab(project, "a")
    page.locator("#refine").focus()
    page.keyboard.press("Enter")
    refined, box = page.locator("#field-refined"), page.locator(".refinement .box")
    expect(refined).to_have_value("an orange boat sails to the right on the sea")
    expect(refined).to_be_focused()
    refined.fill("a red boat sails to the right on the sea")
    page.locator("#refined-accept").click()
    expect(box).to_have_attribute("data-state", "accepted")

    def rendered() -> str:
        return served.studio.rendering.plan(project).jobs[0].segments[0].prompt

    wait_for(lambda: rendered() == "a red boat sails to the right on the sea")
    page.locator("#field-prompt").fill("a car in snow")
    expect(box).to_have_attribute("data-state", "outdated")
    wait_for(lambda: rendered() == "a car in snow")
    page.locator("#refined-refuse").click()
    expect(box).to_be_hidden()
    expect(page.locator("#refine")).to_be_focused()
    assert served.studio.projects.open(project).storyboard.scenes[0].refinement is None
    page.get_by_role("tab", name="Film", exact=True).click()
    page.locator("#refine-all").click()
    page.locator("#accept-all").click()
    wait_for(lambda: "car" in rendered() and rendered() != "a car in snow")
