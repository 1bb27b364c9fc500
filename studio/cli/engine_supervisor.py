"""Supplies a studio with an engine: for as long as the page is served, or for one command.

Comes in: a studio, and where its engine comes from. Goes out: ``studio.rendering.attach`` whenever there is a (new)
engine, or the reason why there is none. Does not know jobs, events or the page.
"""

import argparse
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.client.client import EngineClient
from engine.contract.errors import EngineError
from engine.service.launch import GroupKind, attach, ensure_engine
from engine.storage.workspace import Workspace
from studio.cli.flags import models_root_of
from studio.studio import Studio
from studio.views.types import BoardView

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 2.0
RETRY_S = (1.0, 3.0, 10.0)
CANCEL_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class EngineSource:
    """Where an engine comes from: ``url``, of one elsewhere, else the workspace's own, which is started if need be.

    ``ranks``, ``models_root``, ``group``: of an engine that is started; it ends with this process.
    """

    workspace: Workspace
    ranks: int | None = None
    url: str | None = None
    models_root: Path | None = None
    group: GroupKind = "local"

    @property
    def name(self) -> str:
        """Distinguishes engines with different histories."""
        return self.url or "workspace"

    def running(self) -> EngineClient | None:
        """The engine if it is elsewhere, or runs in the workspace already."""
        return self.connect() if self.url else attach(self.workspace)

    def connect(self) -> EngineClient:
        """Starts or finds the engine; one elsewhere may not answer yet. Raises EngineError, OSError."""
        if self.url:
            return EngineClient(self.url, self.workspace.token())
        return ensure_engine(
            self.workspace,
            ranks=self.ranks,
            models_root=self.models_root,
            die_with_parent=True,
            group=self.group,
        )


def engine_source_of(flags: argparse.Namespace, studio: Studio) -> EngineSource:
    """As ``--ranks``, ``--engine`` and ``--models-root`` say."""
    return EngineSource(studio.workspace, flags.ranks, flags.engine, models_root_of(flags))


class EngineSupervisor:
    """A thread that keeps an engine attached while the page is served; the page is up while it still starts."""

    def __init__(self, studio: Studio, source: EngineSource) -> None:
        self._studio = studio
        self._source = source
        self._closed = threading.Event()
        self._client: EngineClient | None = None
        self._thread = threading.Thread(target=self._supervise, name="studio-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=5)
        if self._client is not None:
            self._studio.rendering.detach()
            self._client.close()

    def _supervise(self) -> None:
        failures = 0
        while not self._closed.is_set():
            failures = 0 if self._is_supplied() or self._connect() else failures + 1
            self._closed.wait(RETRY_S[min(failures, len(RETRY_S)) - 1] if failures else LOOK_EVERY_S)

    def _is_supplied(self) -> bool:
        """An engine elsewhere is waited for where it does not answer; only its own machine can start it again."""
        return self._client is not None and (self._source.url is not None or self._client.healthy())

    def _connect(self) -> bool:
        try:
            client = self._source.connect()
        except (EngineError, OSError) as error:
            LOG.error("the engine could not be started: %s", error)
            self._studio.rendering.engine_failed(str(error))
            return False
        before, self._client = self._client, client
        self._studio.rendering.attach(client, self._source.name)
        if before is not None:
            before.close()
        return True


class EngineSession:
    """The engine of a studio for one command: started or found when it is first needed, let go by ``close``."""

    def __init__(self, studio: Studio, source: EngineSource) -> None:
        self._studio = studio
        self._source = source
        self._client: EngineClient | None = None
        self._waits = False
        """Whether it was reported that an engine elsewhere does not answer."""

    def learn(self, model: str) -> None:
        """Asks the engine for weights that are not known here; for a card that is not, only one that runs already."""
        status = self._studio.rendering.models().get(model)
        if status is None:
            self._client = self._source.running()
            if self._client is None:
                return
        if status is None or not status.available:
            self._studio.rendering.update_models(self._engine().models())

    def attach(self) -> None:
        """An engine for what is asked of its assistants. Raises EngineError, OSError where none can be started."""
        self._studio.rendering.attach(self._engine(), self._source.name)

    def render(self, project_id: str, show: Callable[[BoardView], None], num_takes: int = 1) -> BoardView:
        """Renders what is not; -> the board when no job of the project waits or runs any more.

        ``show`` gets every board on the way. Raises KeyboardInterrupt after the jobs are cancelled.
        """
        try:
            self.attach()
            if num_takes > 1:
                self._studio.rendering.render_takes(project_id, num_takes)
            else:
                self._studio.rendering.render(project_id)
            return self._followed(project_id, show)
        except KeyboardInterrupt:
            self._cancel(project_id)
            raise

    def close(self) -> None:
        if self._client is not None:
            self._studio.rendering.detach()
            self._client.close()
            self._client = None

    def _engine(self) -> EngineClient:
        if self._client is None:
            self._client = self._source.connect()
            self._studio.rendering.update_models(self._client.models())
        return self._client

    def _followed(self, project_id: str, show: Callable[[BoardView], None]) -> BoardView:
        for _ in self._studio.views.changes(project_id):
            board = self._studio.views.board(project_id)
            show(board)
            if not board.render.busy:
                return board
            if board.engine.state == "unreachable":
                self._bring_back()
            else:
                self._waits = False
        return self._studio.views.board(project_id)

    def _bring_back(self) -> None:
        """An engine that ended under its jobs is started again, and they go on; one elsewhere is waited for.

        Raises EngineError where none can be started.
        """
        lost = self._client
        if lost is None or lost.healthy():  # it has not been asked yet
            return
        if self._source.url:
            if not self._waits:
                _report(f"{self._source.url}: the engine does not answer; it is waited for (Ctrl-C ends that).")
            self._waits = True
            return
        _report("the engine ended before its jobs did; it is started again, and they go on.")
        self._client = None
        try:
            self._studio.rendering.attach(self._engine(), self._source.name)
        finally:
            lost.close()

    def _cancel(self, project_id: str) -> None:
        """Cancels all jobs, and waits until the engine confirms it, as far as it answers."""
        self._studio.rendering.stop(project_id)
        deadline_s = time.monotonic() + CANCEL_TIMEOUT_S
        version = 0
        while self._studio.views.board(project_id).render.busy and time.monotonic() < deadline_s:
            version = self._studio.views.wait_for_change(project_id, version, timeout_s=1.0)


def _report(text: str) -> None:
    print(f"storyboard: {text}", file=sys.stderr, flush=True)
