"""The whole way in a browser with the bundled model: the app as a process of its own, its engine, its ranks.

Types three scenes, moves one by drag and one by key, renders, sees steps and previews move, reloads in the middle,
plays the film, changes a scene, and sees only what must be rendered be rendered. Leaves screenshots of each stage.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.studio.ui.conftest import SCREENSHOTS, WIDE, wait_for

ROOT = Path(__file__).parents[3]
WEIGHTS = ROOT / "assets" / "diorama" / "transformer" / "model.safetensors"
RENDER_MS = 150_000
PROMPTS = [
    "a red ball rolls to the right in a meadow",
    "a blue boat sails to the left on the ocean",
    "a yellow balloon rises at night",
]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    """The address of ``app.py``, served with an empty workspace; it and its engine are gone afterwards."""
    if not list(WEIGHTS.parent.glob("*.safetensors")):
        pytest.skip(f"{WEIGHTS.parent} has no weights: the bundled model is not there")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "app.py",
        "--workspace",
        str(tmp_path / "workspace"),
        "--port",
        str(port),
        "--ranks",
        "1",
    ]
    log = (tmp_path / "app.log").open("wb")
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is not None or answers(address), seconds=90)
        assert process.poll() is None, (tmp_path / "app.log").read_text()
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def page(browser: Browser, app: str) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE, color_scheme="dark")  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    wrongs: list[str] = []
    page.on("pageerror", lambda error: wrongs.append(str(error)))
    page.goto(app)
    yield page
    context.close()
    assert wrongs == []


def shot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"stage-{name}.png")


def card(page: Page, place: int) -> Locator:
    return page.locator(".card").nth(place - 1)


def write_the_scenes(page: Page) -> None:
    page.locator(".new-project").click()
    expect(page.locator(".card")).to_have_count(1)
    for place, prompt in enumerate(PROMPTS, start=1):
        if place > 1:
            card(page, place - 1).focus()
            page.keyboard.press("n")
            expect(page.locator(".card")).to_have_count(place)
        else:
            page.keyboard.press("Tab")
            page.locator("#field-prompt").click()
        page.locator("#field-prompt").press_sequentially(prompt, delay=5)
        expect(card(page, place).locator(".prompt")).to_have_text(prompt)
        page.locator("#field-duration").fill("2")
    page.get_by_role("radio", name="Draft").click()
    expect(page.locator(".saved .word")).to_have_text("saved")


def move_two(page: Page) -> None:
    """The third is dragged to the front, then moved back by keys."""
    start, goal = card(page, 3).locator(".picture").bounding_box(), card(page, 1).locator(".picture").bounding_box()
    assert start and goal
    page.mouse.move(start["x"] + 50, start["y"] + 50)
    page.mouse.down()
    page.mouse.move(goal["x"] + 30, goal["y"] + 50, steps=8)
    page.mouse.up()
    expect(card(page, 1).locator(".prompt")).to_have_text(PROMPTS[2])
    card(page, 1).focus()
    page.keyboard.press("Alt+ArrowRight")
    page.keyboard.press("Alt+ArrowRight")
    expect(page.locator(".card .prompt")).to_have_text(PROMPTS)
    card(page, 2).click()
    page.locator("#field-transition").select_option("continue")
    expect(card(page, 2).locator(".root")).to_have_text("continues 1")


def step_numbers(page: Page) -> str:
    words = page.locator(".picture .step:visible")
    return words.first.inner_text(timeout=2000) if words.count() else ""


def test_from_three_typed_scenes_to_a_film_that_plays(page: Page) -> None:
    expect(page.locator(".card").first).to_be_visible()
    expect(page.locator("#render-film")).to_be_enabled(timeout=RENDER_MS)
    shot(page, "1-first-visit")
    write_the_scenes(page)
    move_two(page)
    shot(page, "2-written")
    page.locator("#render-film").click()
    expect(page.locator(".picture .preview")).to_be_visible(timeout=RENDER_MS)
    seen = step_numbers(page)
    wait_for(lambda: step_numbers(page) != seen, seconds=60)
    shot(page, "3-rendering")
    page.reload()
    expect(page.locator(".card .prompt")).to_have_text(PROMPTS)
    expect(page.locator("#render-film")).to_have_text("Film is ready", timeout=RENDER_MS)
    expect(page.locator('.card[data-state="fresh"]')).to_have_count(3)
    page.wait_for_function("document.querySelector('#film-video').readyState >= 2")
    assert page.locator("#film-video").evaluate("video => video.duration") > 5.0
    page.locator("#play").click()
    page.wait_for_function("document.querySelector('#film-video').currentTime > 0.5")
    shot(page, "4-film")
    card(page, 1).click()
    page.locator("#field-prompt").press_sequentially(" fast")
    expect(card(page, 1)).to_have_attribute("data-state", "stale")
    expect(card(page, 2)).to_have_attribute("data-state", "stale")
    expect(card(page, 3)).to_have_attribute("data-state", "fresh")
    shot(page, "5-changed")
    page.locator("#render-film").click()
    expect(card(page, 1)).not_to_have_attribute("data-state", "stale")
    assert card(page, 3).get_attribute("data-state") == "fresh"
    expect(page.locator("#render-film")).to_have_text("Film is ready", timeout=RENDER_MS)
    expect(card(page, 3).locator(".takes")).to_have_text("1 take")
    card(page, 1).click()
    expect(page.locator(".take[aria-pressed]")).to_have_count(2)
    shot(page, "6-rendered-again")
