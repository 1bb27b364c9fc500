"""What the tests of typing share: how an author writes, and when all of it is saved.

Comes in: a page and a served studio. Goes out: keys that are pressed without waiting, and the check that every word is
where it was written. Does not know which fields or scenes a test uses.
"""

import re

from playwright.sync_api import Page, expect

from studio.document.storyboard import Scene
from studio.library.projects import ProjectSummary
from tests.studio.ui.conftest import ServedStudio, wait_for

A, B, C = "a red ball", "a blue boat", "a yellow fish"
THREE = (Scene(id="a", prompt=A), Scene(id="b", prompt=B), Scene(id="c", prompt=C))
KEY_MS = 30
NINE = "nine boats at night"
SAVED_S = 40.0


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


def wait_for_projects(served: ServedStudio, known: set[str]) -> list[ProjectSummary]:
    def new() -> list[ProjectSummary]:
        return [summary for summary in served.studio.projects.summaries() if summary.id not in known]

    wait_for(new)
    return new()
