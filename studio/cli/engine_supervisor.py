"""Keeps a studio supplied with an engine: starts or finds one, and brings it back when it is gone.

Comes in: a studio and how many ranks are wanted. Goes out: ``studio.attach`` whenever there is a (new) engine, the
reason where there is none. Does not know jobs, events or the page.
"""

import logging
import threading
from pathlib import Path

from engine.client.client import EngineClient
from engine.contract.errors import EngineError
from engine.service.launch import GroupKind, ensure_engine
from studio.studio import Studio

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 2.0
RETRY_S = (1.0, 3.0, 10.0)


class EngineSupervisor:
    """A thread. The page is up while it still starts the engine; the engine it started ends with this process."""

    def __init__(
        self, studio: Studio, ranks: int | None, group: GroupKind = "local", models_root: Path | None = None
    ) -> None:
        self._studio = studio
        self._group: GroupKind = group
        self._ranks = ranks
        self._models_root = models_root
        self._closed = threading.Event()
        self._client: EngineClient | None = None
        self._thread = threading.Thread(target=self._keep, name="studio-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=5)
        if self._client is not None:
            self._studio.detach()
            self._client.close()

    def _keep(self) -> None:
        failures = 0
        while not self._closed.is_set():
            if self._client is not None and self._client.healthy():
                failures = 0
            elif not self._bring():
                failures += 1
            wait_s = RETRY_S[min(failures, len(RETRY_S)) - 1] if failures else LOOK_EVERY_S
            self._closed.wait(wait_s)

    def _bring(self) -> bool:
        try:
            client = ensure_engine(
                self._studio.workspace,
                ranks=self._ranks,
                models_root=self._models_root,
                die_with_parent=True,
                group=self._group,
            )
        except (EngineError, OSError) as error:
            LOG.error("the engine could not be started: %s", error)
            self._studio.engine_failed(str(error))
            return False
        old, self._client = self._client, client
        self._studio.attach(client)
        if old is not None:
            old.close()
        return True
