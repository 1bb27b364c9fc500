"""How the page looks and reads: screenshots to be looked at, contrast, names for those who listen, the narrow sheet."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.document.edits import ChangeScene
from studio.document.storyboard import Scene
from studio.ui.page import STATIC
from tests.studio.ui.conftest import NARROW, SCREENSHOTS, WIDE, ServedStudio, Visitor, wait_for

STORY = (
    Scene(id="a", prompt="An orange butterfly flies from left to right over a green meadow", duration_s=2.0),
    Scene(id="b", prompt="The orange butterfly rises towards the clouds", transition="continue", duration_s=2.0),
    Scene(id="c", prompt="A red boat glides to the left at sea, the sun low behind it", duration_s=2.0),
    Scene(id="d", prompt="A purple balloon climbs in the hot desert", transition="crossfade", duration_s=2.0),
    Scene(id="e", prompt="", duration_s=2.0),
)


def tokens(dark: bool) -> dict[str, str]:
    css = (STATIC / "styles" / "tokens.css").read_text()
    blocks = re.findall(r"\{([^}]*)\}", css)
    found: dict[str, str] = {}
    for block in blocks[: 2 if dark else 1]:
        found.update(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block))
    return found


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [
        ("--ink", "--ground", 7.0),
        ("--ink", "--card", 7.0),
        ("--muted", "--panel", 4.5),
        ("--muted", "--card", 4.5),
        ("--muted", "--ground", 4.5),
        ("--link", "--panel", 4.5),
        ("--failed", "--panel", 4.5),
        ("--on-accent", "--accent", 4.5),
        ("--accent", "--panel", 3.0),
        ("--fresh", "--card", 3.0),
        ("--stale", "--card", 3.0),
    ],
)
def test_contrast_is_enough_to_read(dark: bool, ink: str, ground: str, least: float) -> None:
    colours = tokens(dark)
    assert contrast(colours[ink], colours[ground]) >= least


@pytest.fixture
def story(served: ServedStudio) -> str:
    """A project with takes, a stale scene, one that renders and one that is empty."""
    project = served.project(*STORY, title="A day in the diorama")
    served.studio.rendering.render(project, ["a", "b", "c", "d"])
    wait_for(lambda: [card.state for card in served.studio.views.board(project).scenes][:4] == ["fresh"] * 4)
    return project


def colours(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
    page.evaluate("() => new Promise((done) => setTimeout(done, 350))")


@pytest.mark.parametrize(("size", "name"), [(WIDE, "1280"), (NARROW, "390")])
def test_screenshots(served: ServedStudio, visitor: Visitor, story: str, size: dict[str, int], name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    served.engine.step_s = 0.3
    page = visitor.tab(story, "b", fresh=True)
    page.set_viewport_size(size)  # pyright: ignore[reportArgumentType]
    served.studio.projects.edit(
        story, served.studio.projects.open(story).revision, change("d", "A purple balloon climbs over dunes")
    )
    served.studio.rendering.render_again(story, "b")
    expect(page.locator("#card-b .preview")).to_be_visible()
    for scheme in ("dark", "light"):
        colours(page, scheme)
        page.screenshot(path=SCREENSHOTS / f"board-{name}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    served.studio.rendering.stop(story)


def change(scene: str, prompt: str) -> ChangeScene:
    return ChangeScene(scene_id=scene, field="prompt", value=prompt)


def test_on_a_narrow_screen_the_inspector_is_a_sheet_and_the_bar_stays(
    served: ServedStudio, visitor: Visitor, story: str
) -> None:
    page = visitor.tab(story, "a")
    page.set_viewport_size(NARROW)  # pyright: ignore[reportArgumentType]
    sheet = page.locator(".inspector")
    expect(sheet).not_to_be_visible()
    page.locator("#card-c").click()
    expect(sheet).to_be_visible()
    expect(page.locator("#field-prompt")).to_have_value(STORY[2].prompt)
    for scheme in ("dark", "light"):
        colours(page, scheme)
        page.screenshot(path=SCREENSHOTS / f"sheet-390-{scheme}.png")
    page.get_by_role("button", name="Close").click()
    expect(sheet).not_to_be_visible()
    page.mouse.wheel(0, 2000)
    bar, button = page.locator(".acting").bounding_box(), page.locator("#render-film")
    assert bar and abs(bar["y"] + bar["height"] - NARROW["height"]) < 1
    expect(button).to_be_in_viewport()


def test_everything_that_can_be_pressed_has_a_name(served: ServedStudio, visitor: Visitor, story: str) -> None:
    page = visitor.tab(story, "b")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('#studio button, #studio input, #studio select, #studio textarea')]
            .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length))
            .map((node) => node.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    options = page.get_by_role("option").filter(has=page.locator(".picture"))
    expect(page.locator("#card-b")).to_have_attribute(
        "aria-label", re.compile("Scene 2 of 5, 2 s, continues scene 1. The orange butterfly rises")
    )
    assert options.count() == len(STORY)


def test_the_whole_page_can_be_used_by_keys_alone(served: ServedStudio, visitor: Visitor, story: str) -> None:
    page = visitor.tab(story, "a", fresh=True)
    page.locator("body").press("Tab")
    expect(page.get_by_role("button", name="Skip to the scenes")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#card-a")).to_be_focused()
    reached: set[str] = set()
    for _ in range(45):
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        page.keyboard.press("Tab")
    assert {"card-a", "add-scene", "field-prompt", "field-seed", "another-take", "render-scene"} <= reached
    assert len([name for name in reached if name.startswith("card-")]) == 1


def test_the_presets_stay_where_they_are_whatever_the_bar_says(
    served: ServedStudio, visitor: Visitor, story: str
) -> None:
    """They are pressed one after another, to see what each would cost."""
    page = visitor.tab(story, "b")
    expect(page.locator("#render-film")).to_have_text("Render film")  # the empty scene keeps it from being ready
    before = box(page, ".presets"), box(page, ".bar")
    page.locator('[data-preset="max"]').click()
    expect(page.locator(".what-words")).to_contain_text("renders")
    assert (box(page, ".presets"), box(page, ".bar")) == before
    served.engine.hold()
    page.locator("#render-film").click()
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#render-film")).to_have_text("Rendering…")
    assert (box(page, ".presets"), box(page, ".bar")) == before
    page.locator("#stop").click()
    expect(page.locator("#stop")).to_be_hidden()


SHOWN = """link => {
    link.removeAttribute('hidden');
    Object.defineProperty(link, 'hidden', { get: () => false, set: () => {}, configurable: true });
}"""
"""Stays visible, also when the page draws it hidden."""


@pytest.mark.parametrize("width", [1280, 1120, 1000, 920])
def test_nothing_of_the_film_lies_over_the_queue(served: ServedStudio, visitor: Visitor, width: int) -> None:
    """At sizes between a studio's and a hand's too, with all the links there can be."""
    project = served.project(STORY[0])
    served.studio.rendering.render(project)
    wait_for(lambda: served.studio.views.board(project).film.up_to_date)
    page = visitor.tab(project, "a", fresh=True)
    page.set_viewport_size({"width": width, "height": 760})
    link = page.locator(".film-head .link").get_by_text("Prompts")
    link.evaluate(SHOWN)  # a joint model's
    for end in (link, page.locator(".film-head .mini-choice")):
        found, queue = end.bounding_box(), page.locator(".queue").bounding_box()
        assert found and queue and found["x"] + found["width"] <= queue["x"]
    title, presets = page.locator("#field-title").bounding_box(), page.locator(".presets").bounding_box()
    assert title and presets and title["x"] + title["width"] <= presets["x"]


def box(page: Page, there: str) -> list[int]:
    """Place and size, in whole pixels."""
    found = page.locator(there).bounding_box()
    assert found is not None
    return [round(value) for value in found.values()]  # pyright: ignore[reportArgumentType]


def test_the_tabs_of_the_inspector_are_turned_by_arrows(served: ServedStudio, visitor: Visitor, story: str) -> None:
    page = visitor.tab(story, "b")
    scene, film = page.get_by_role("tab", name="Scene 2"), page.get_by_role("tab", name="Film")
    scene.focus()
    page.keyboard.press("ArrowRight")
    expect(film).to_be_focused()
    expect(film).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel").locator("#field-look")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(scene).to_be_focused()
    expect(page.get_by_role("tabpanel").locator("#field-prompt")).to_be_visible()


def test_no_style_names_a_colour_outside_the_tokens() -> None:
    for sheet in Path(STATIC).glob("styles/*.css"):
        if sheet.name != "tokens.css":
            named = set(re.findall(r"#[0-9a-f]{6}\b", sheet.read_text()))
            assert named <= {"#0b0d11", "#1a0506", "#210506"}, sheet.name
