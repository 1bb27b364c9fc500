"""A studio whose page is served for a browser: a real studio, an engine that draws little clips, a real Chromium.

Comes in: nothing. Goes out: fixtures ``studio``, ``page`` and ``browser``. Does not know what is tested.
"""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Request, WebError, expect, sync_playwright
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.contract.cards import ModelCard
from engine.storage.workspace import Workspace
from studio.document.storyboard import Scene, Storyboard
from studio.studio import Studio
from studio.ui.page import build_app
from tests.fakes import FakeEngine
from tests.studio.ui.feature_cards import cards

SCREENSHOTS = Path(__file__).parents[3] / "screenshots"
WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 390, "height": 844}
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


class SlowAnswers:
    """The app with its answers to panel actions held back: half of ``delay_s`` before the action, half after it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.delay_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.delay_s or "component_server" not in scope.get("path", ""):
            return await self.app(scope, receive, send)

        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await anyio.sleep(self.delay_s / 2)
            await send(message)

        await anyio.sleep(self.delay_s / 2)
        await self.app(scope, receive, send_late)


class Served:
    """A studio's page, on a port that stays the same when the server is stopped and started again."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.port = _free_port()
        self._app = SlowAnswers(build_app(studio))
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold_answers(self, seconds: float) -> None:
        """From now on every answer to a panel comes this much later."""
        self._app.delay_s = seconds

    def start(self) -> None:
        config = uvicorn.Config(self._app, port=self.port, log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="page", daemon=True)
        self._thread.start()
        wait_for(lambda: self._server.started)

    def stop_serving(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


class ServedStudio(Served):
    """A studio with its engine, which draws."""

    def __init__(self, folder: Path, examples: bool = False, cards: dict[str, ModelCard] | None = None) -> None:
        self.workspace = Workspace.at(folder)
        self.engine = FakeEngine(self.workspace, cards=cards)
        self._seed = 0
        super().__init__(Studio(self.workspace, self.engine, examples=examples))

    def close(self) -> None:
        self.studio.close()
        self.stop_serving()
        self.engine.close()

    def project(self, *scenes: Scene, title: str = "A film", model: str = "diorama") -> str:
        """A new project with these scenes and a seed that no other has, so that it has no takes; its id."""
        self._seed += 1
        storyboard = Storyboard(title=title, scenes=scenes, model=model, preset="draft", seed=self._seed)
        return self.studio.projects.create(storyboard).id

    def prompts(self, project_id: str) -> list[str]:
        return [scene.prompt for scene in self.studio.projects.open(project_id).storyboard.scenes]


def wait_for(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits until something outside the browser is so."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def shared_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedStudio]:
    served = ServedStudio(tmp_path_factory.mktemp("workspace"))
    yield served
    served.close()


@pytest.fixture
def served(shared_studio: ServedStudio) -> Iterator[ServedStudio]:
    """One for all tests, which make projects of their own: the browser need not read the page's scripts anew."""
    yield shared_studio
    shared_studio.hold_answers(0.0)
    engine = shared_studio.engine
    engine.step_s = 0.0
    engine.release()
    engine.resume()


@pytest.fixture(params=[0.0, 0.7, 1.5], ids=lambda seconds: f"answers after {seconds} s")
def held(request: pytest.FixtureRequest, served: ServedStudio) -> float:
    """Seconds by which the studio's answers are held back."""
    served.hold_answers(request.param)
    return request.param


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Two processes that compute without end beside the browser and the studio."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.fixture(scope="session")
def feature_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedStudio]:
    """A studio whose engine has models that can what the bundled one cannot."""
    served = ServedStudio(tmp_path_factory.mktemp("features"), cards=cards())
    yield served
    served.close()


@pytest.fixture
def web(served: ServedStudio) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.address, timeout=20) as client:
        yield client


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """While it is open an event loop runs in this thread, so it goes before other folders' tests want one."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("The tests of the page need Chromium, which is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


AT_REST = """() => !document.querySelector('dialog[open], .banner') && !sessionStorage.length
    && document.querySelector('.saved .word')?.textContent === 'saved'"""
"""Whether a tab has nothing to save, to ask or to tell."""
SHOW = """async ([project, scene]) => {
    const { open, subscribe } = await import('/studio/static/core/store.js');
    document.activeElement.blur();
    document.querySelector('#studio-live').textContent = '';
    for (const node of document.querySelectorAll('.note')) node.remove();
    for (const node of document.querySelectorAll('body *')) node.scrollTop = 0;
    localStorage.clear();
    document.dispatchEvent(new Event('visibilitychange'));  // the list of projects is read again
    open(project, scene || null);
    await new Promise((done) => subscribe(({ board }) => board?.project_id === project && done()));
}"""


class Visitor:
    """Tabs of one browser; anything that goes wrong in their scripts, or reaches for another host, is kept.

    A test's first tab is kept for the next test if it is at rest, and then shows that test's project without loading
    the page, which takes longer than most tests do.
    """

    def __init__(self, context: BrowserContext, served: Served) -> None:
        self.context = context
        self.studio = served
        self.wrongs: list[str] = []
        self._reusable: Page | None = None

    def tab(self, project: str = "", scene: str = "", fresh: bool = False) -> Page:
        """A tab that shows a project, with its cards drawn. ``fresh``: loaded now, and closed after this test."""
        page = self._idle_tab() if project and not fresh else None
        if page is not None:
            page.evaluate(SHOW, [project, scene])
        else:
            page = self.context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{self.studio.address}/?project={project}&scene={scene}")
            page.wait_for_selector("#add-scene")
        if not fresh and self._reusable is None:
            self._reusable = page
        return page

    def leave(self) -> None:
        for page in self.context.pages:
            if page is not self._reusable or not self._is_at_rest(page):
                page.close()

    def watch(self) -> None:
        """Keeps what goes wrong in any tab from now on."""
        self.context.on("weberror", self._note_error)
        self.context.on("request", self._note_host)

    def unwatch(self) -> None:
        self.context.remove_listener("weberror", self._note_error)
        self.context.remove_listener("request", self._note_host)

    def _idle_tab(self) -> Page | None:
        pages = [page for page in self.context.pages if page is not self._reusable]
        is_alone = self._reusable is None and len(pages) == 1
        return pages[0] if is_alone and pages[0].url.startswith(self.studio.address + "/") else None

    def _is_at_rest(self, page: Page) -> bool:
        page.unroute_all()
        page.set_viewport_size(WIDE)  # pyright: ignore[reportArgumentType]
        return page.url.startswith(self.studio.address) and page.evaluate(AT_REST)

    def _note_error(self, error: WebError) -> None:
        self.wrongs.append(f"script: {error.error}")

    def _note_host(self, request: Request) -> None:
        if not request.url.startswith((self.studio.address, "data:", "blob:")):
            self.wrongs.append(f"another host: {request.url}")


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")  # pyright: ignore[reportArgumentType]
    yield context
    context.close()


@pytest.fixture
def visitor(context: BrowserContext, served: ServedStudio) -> Iterator[Visitor]:
    visitor = Visitor(context, served)
    visitor.watch()
    yield visitor
    visitor.leave()
    visitor.unwatch()
    assert visitor.wrongs == []
