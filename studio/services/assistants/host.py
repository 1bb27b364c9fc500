"""What refiner, guard and critic of one host share: settings, connections to endpoints, threads to wait in.

Comes in: the host's settings, a workspace. Goes out: endpoints, made when they are first asked, and a place for work
that must not hold up the page. Does not know what assistants are asked.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from engine.assistants.endpoint import ChatEndpoint, EndpointAddress
from engine.contract.assistants import AssistantKind
from engine.storage.media import MediaStore
from studio.errors import PresetError
from studio.services.assistants.background import Background
from studio.services.assistants.local_assistants import LocalAssistants
from studio.services.assistants.settings import FILE, AssistantSetting, AssistantSettings, key_of

NUM_THREADS = 4
T = TypeVar("T")


class AssistantHost:
    """``models_root``: where local assistants' weights are. ``local``: those that the engine runs. Thread-safe."""

    def __init__(
        self,
        settings: AssistantSettings,
        workspace: Path,
        store: MediaStore,
        models_root: Path,
        local: LocalAssistants,
    ) -> None:
        self.settings = settings
        self.store = store
        self.local = local
        self.models_root = models_root
        self.workspace = workspace
        self._endpoints: dict[tuple[AssistantKind, str, str], ChatEndpoint] = {}
        self._lock = threading.Lock()
        self._threads = Background("assistants", NUM_THREADS)

    def endpoint(self, kind: AssistantKind, setting: AssistantSetting | None = None) -> ChatEndpoint:
        """The endpoint that the settings name; ``setting``: another one of the same kind.

        Raises PresetError for an address or a key that cannot be used.
        """
        setting = setting or self.settings.of(kind)
        named = kind, setting.use, setting.model
        with self._lock:
            if named not in self._endpoints:
                key = key_of(setting, kind, self.workspace)
                address = EndpointAddress(setting.use, setting.model, key, setting.timeout_s)
                try:
                    self._endpoints[named] = ChatEndpoint(address)
                except ValueError as error:
                    raise PresetError(FILE, f"{kind}.use", str(error)) from error
            return self._endpoints[named]

    def in_background(self, work: Callable[[], T]) -> Future[T]:
        """After ``close``: a future that is cancelled."""
        return self._threads.submit(work)

    def close(self) -> None:
        """Questions under way fail, and those that wait are not asked."""
        self.local.answers.close()
        for endpoint in self._endpoints.values():
            endpoint.close()
        self._threads.close()
