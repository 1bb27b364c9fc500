"""Rendering from the browser: what the button says, steps and previews that move, the film, and what goes stale."""

import re

import pytest
from playwright.sync_api import Page, expect

from studio.document.storyboard import Scene
from tests.studio.ui.conftest import ServedStudio, Visitor, wait_for

THREE = (
    Scene(id="a", prompt="a red ball rolls over the meadow", duration_s=2.0),
    Scene(id="b", prompt="the red ball flies", transition="continue", duration_s=2.0),
    Scene(id="c", prompt="a yellow fish at night", duration_s=2.0),
)


def film_is_ready(page: Page) -> None:
    expect(page.locator("#render-film")).to_have_text("Film is ready")
    expect(page.locator('.card[data-state="fresh"]')).to_have_count(3)


def scenes_of(served: ServedStudio, project: str) -> list[str]:
    return [job.scene_ids[0] for job in served.engine.submitted if job.project_id == project]


def step_of(page: Page) -> int:
    """The step on the card that renders; 0 before the first."""
    words = page.locator(".picture .step:visible").first.inner_text()
    return int(words.split()[1]) if words.startswith("step") else 0


def test_steps_and_preview_move_a_reload_goes_on_and_the_film_plays(served: ServedStudio, visitor: Visitor) -> None:
    served.engine.step_s = 0.25
    project = served.project(*THREE)
    page = visitor.tab(project)
    expect(page.locator(".what-words")).to_have_text("renders all scenes")
    page.locator("#render-film").click()
    expect(page.locator("#card-a")).to_have_attribute("data-state", "rendering")
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#card-a .preview")).to_be_visible()
    first, picture = step_of(page), page.locator("#card-a .preview").get_attribute("src")
    wait_for(lambda: step_of(page) > first)
    expect(page.locator("#card-a .preview")).not_to_have_attribute("src", picture or "")
    page.reload()
    expect(page.locator('.card[data-state="rendering"]')).to_have_count(1)
    expect(page.locator(".picture .step:visible")).to_contain_text("step")
    served.engine.step_s = 0.0
    film_is_ready(page)
    expect(page.locator("#stop")).to_be_hidden()
    assert scenes_of(served, project) == ["a", "b", "c"]
    plays(page)


def plays(page: Page) -> None:
    page.wait_for_function("document.querySelector('#film-video').readyState >= 2")
    video = page.locator("#film-video")
    seconds = video.evaluate("video => video.duration")
    assert seconds > 5.0
    page.locator("#play").click()
    page.wait_for_function("document.querySelector('#film-video').currentTime > 0.3")
    expect(page.locator(".strip .plays")).to_have_count(1)
    page.locator("#play").click()
    page.locator(".strip button").nth(2).click()
    assert video.evaluate("video => video.currentTime") > 3.5
    expect(page.locator("#card-c")).to_have_attribute("aria-selected", "true")


def test_a_change_makes_stale_only_it_and_what_continues_from_it(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "a")
    page.locator("#render-film").click()
    film_is_ready(page)
    page.locator("#field-prompt").press_sequentially(" slowly")
    expect(page.locator("#card-a .state")).to_have_text("stale: prompt changed")
    expect(page.locator("#card-b .state")).to_contain_text("stale: continues scene 1")
    expect(page.locator("#card-c")).to_have_attribute("data-state", "fresh")
    expect(page.locator(".strip [data-old]")).to_have_count(2)
    expect(page.locator(".take[data-old]")).to_have_attribute("aria-label", re.compile("from before the last changes"))
    expect(page.locator(".what-words")).to_have_text("renders scenes 1, 2; 1 is fresh")
    page.locator(".what summary").click()
    expect(page.locator(".popover li")).to_have_count(2)
    before = len(scenes_of(served, project))
    page.locator("#render-film").click()
    film_is_ready(page)
    assert scenes_of(served, project)[before:] == ["a", "b"]


def test_stop_ends_the_rendering_and_keeps_what_is_done(served: ServedStudio, visitor: Visitor) -> None:
    served.engine.step_s = 0.3
    project = served.project(*THREE)
    page = visitor.tab(project)
    page.locator("#render-film").click()
    expect(page.locator("#card-a")).to_have_attribute("data-state", "rendering")
    expect(page.locator(".queue-list li")).to_have_count(3)
    page.locator("#stop").click()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator('.card[data-state="missing"]')).to_have_count(3)
    expect(page.locator("#render-film")).to_be_enabled()


def test_a_failure_is_said_in_words_on_its_card_and_tried_again(served: ServedStudio, visitor: Visitor) -> None:
    served.engine.fail_next("scene a: out of memory: 30 GB asked, 24 GB there. Take a smaller preset.")
    project = served.project(THREE[0])
    page = visitor.tab(project, "a")
    page.locator("#render-film").click()
    expect(page.locator("#card-a .state")).to_contain_text("out of memory: 30 GB asked")
    expect(page.locator("#render-scene")).to_have_text("Try again")
    page.locator("#render-scene").click()
    expect(page.locator("#card-a")).to_have_attribute("data-state", "fresh")


def test_one_scene_is_rendered_and_another_take_is_chosen(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "c")
    page.locator("#render-scene").click()
    expect(page.locator("#card-c")).to_have_attribute("data-state", "fresh")
    assert scenes_of(served, project) == ["c"]
    page.locator("#another-take").click()
    expect(page.locator(".take[aria-pressed]")).to_have_count(2)
    newest = page.locator(".take[aria-pressed]").first
    expect(newest).to_have_attribute("aria-pressed", "true")
    other = page.locator(".take[aria-pressed]").last
    expect(other).to_have_attribute("aria-label", re.compile("of another seed$"))
    expect(page.locator(".take[data-old]")).to_have_count(0)
    page.locator(".take[aria-pressed]").last.click()
    expect(page.locator(".take[aria-pressed]").last).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#card-c")).to_have_attribute("data-state", "fresh")


def test_several_takes_are_made_scored_and_ordered(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(*THREE)
    page = visitor.tab(project, "c")
    page.locator("#take-count").select_option("2")
    expect(page.locator("#render-film")).to_have_text("Render 2 takes")
    page.locator("#several-takes").press("Enter")
    expect(page.locator(".take .score:not([hidden])")).to_have_count(2)
    expect(page.locator("#stop")).to_be_hidden()
    best = page.locator(".take[aria-pressed]").first
    expect(best).to_have_attribute("aria-pressed", "true")
    expect(best).to_have_attribute("aria-description", re.compile("^critic \\d+%: "))
    expect(best.locator(".score")).to_have_attribute("data-best", "")
    expect(page.locator("#takes-order")).to_have_attribute("aria-pressed", "true")
    page.locator("#take-count").select_option("1")


def shown_on_screen(served: ServedStudio, project: str, place: int) -> re.Pattern[str]:
    take = served.studio.views.board(project).scenes[place].take
    assert take is not None
    return re.compile(take.media)


def test_the_screen_goes_to_the_scene_and_project_that_is_looked_at_while_it_plays(
    served: ServedStudio, visitor: Visitor
) -> None:
    other, project = served.project(THREE[2]), served.project(*THREE[:2])
    for each in (other, project):
        served.studio.rendering.render(each)
        wait_for(lambda each=each: served.studio.views.board(each).film.up_to_date)
    page = visitor.tab(project, "a")
    video, newer = page.locator("#film-video"), page.locator(".newer")
    video.evaluate("video => { video.loop = true; }")
    page.get_by_role("button", name="Scene 1", exact=True).click()
    expect(video).to_have_attribute("src", shown_on_screen(served, project, 0))
    page.locator("#play").click()
    page.wait_for_function("document.querySelector('#film-video').currentTime > 0")
    page.locator("#card-b").click()
    expect(video).to_have_attribute("src", shown_on_screen(served, project, 1))
    expect(newer).to_be_hidden()
    page.locator("#play").click()
    page.wait_for_function("document.querySelector('#film-video').currentTime > 0")
    page.locator(f'[data-project="{other}"] .project').click()
    expect(page.locator("#card-c")).to_be_visible()
    expect(video).to_have_attribute("src", shown_on_screen(served, other, 0))
    expect(newer).to_be_hidden()


def test_a_newer_take_waits_until_the_one_that_plays_is_left(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(THREE[0])
    served.studio.rendering.render(project)
    wait_for(lambda: served.studio.views.board(project).film.up_to_date)
    page = visitor.tab(project, "a")
    video, newer = page.locator("#film-video"), page.locator(".newer")
    video.evaluate("video => { video.loop = true; }")
    page.get_by_role("button", name="Scene 1", exact=True).click()
    before = shown_on_screen(served, project, 0)
    page.locator("#play").click()
    page.wait_for_function("document.querySelector('#film-video').currentTime > 0")
    served.studio.rendering.render_again(project, "a")
    expect(newer).to_have_text("A newer take is ready")
    expect(newer).to_be_visible()
    expect(video).to_have_attribute("src", before)
    newer.click()
    expect(video).to_have_attribute("src", shown_on_screen(served, project, 0))
    expect(video).not_to_have_attribute("src", before)
    expect(newer).to_be_hidden()


@pytest.mark.parametrize(
    ("stage", "stage_text", "words"),
    [
        ("denoise", "denoising", "step 3 of 9 · 0:41 left"),
        ("decode", "first frame: decoding frames", "first frame, decoding 3 of 9 · 0:41 left"),
        ("write", "writing the take", "writing the take · 0:41 left"),
        ("encode", "first frame: reading the prompt", "first frame: reading the prompt · 0:41 left"),
    ],
)
def test_only_stages_that_are_counted_name_a_number(
    served: ServedStudio, visitor: Visitor, stage: str, stage_text: str, words: str
) -> None:
    """The last count stays with a job while it does what is not counted."""
    page = visitor.tab(served.project(THREE[0]))
    first = stage_text.startswith("first frame")
    counts = {"stage": stage, "step": 3, "num_steps": 9, "left_s": 41.0, "text": "not read"}
    progress = {**counts, "stage_text": stage_text, "is_first_frame": first}
    script = "(progress) => import('/studio/static/core/labels.js').then((words) => words.progressWords(progress))"
    assert page.evaluate(script, progress) == words


def test_closing_every_tab_stops_nothing(served: ServedStudio, visitor: Visitor) -> None:
    served.engine.step_s = 0.1
    project = served.project(*THREE)
    page = visitor.tab(project)
    page.locator("#render-film").click()
    expect(page.locator("#card-a")).to_have_attribute("data-state", "rendering")
    page.close()
    served.engine.step_s = 0.0
    wait_for(lambda: served.studio.views.board(project).film.up_to_date)
    film_is_ready(visitor.tab(project))


def test_typing_goes_on_undisturbed_while_steps_stream_in(served: ServedStudio, visitor: Visitor) -> None:
    served.engine.step_s = 0.08
    project = served.project(*THREE)
    page = visitor.tab(project, "c")
    page.locator("#render-film").click()
    expect(page.locator('.card[data-state="rendering"]')).to_have_count(1)
    prompt = page.locator("#field-prompt")
    prompt.click()
    page.keyboard.press("Home")
    text = "while it renders, "
    page.keyboard.type(text, delay=60)
    expect(prompt).to_be_focused()
    assert prompt.input_value() == text + THREE[2].prompt
    assert prompt.evaluate("area => area.selectionStart") == len(text)
    wait_for(lambda: served.prompts(project)[2] == text + THREE[2].prompt)
    page.locator("#stop").click()
