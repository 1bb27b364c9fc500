"""Which assistants the engine can run for a film model, and their answers.

Comes in: assistants' cards, the models' root, an engine's word of what it has. Goes out: the cards that are here, and
an ``Assistant`` that asks the engine. Does not know what is asked, nor what answers mean.
"""

import threading
from collections.abc import Mapping
from pathlib import Path

from engine.contract.assistant_cards import AssistantCard, AssistantStatus
from engine.contract.assistants import AssistantAnswer, AssistantKind, AssistantRequest
from engine.contract.errors import AssistantFailed
from engine.storage.card_files import has_part
from studio.planning.presets import load_assistants
from studio.rendering.job_tracker import JobTracker
from studio.services.assistants.engine_answers import EngineAnswers, assistant_job

TIMEOUT_S = 3600.0
"""Loading a large model may take minutes, and a film may be rendered first."""


class LocalAssistants:
    """Thread-safe. Cards are read when they are first needed."""

    def __init__(self, models_root: Path, tracker: JobTracker, answers: EngineAnswers) -> None:
        self.answers = answers
        self._root = models_root
        self._tracker = tracker
        self._lock = threading.Lock()
        self._known: Mapping[str, AssistantCard] | None = None
        self._statuses: dict[str, AssistantStatus] = {}
        """As the engine said last."""

    def cards(self) -> Mapping[str, AssistantCard]:
        """By name, those for some film models first. Raises PresetError for a wrong file."""
        with self._lock:
            if self._known is None:
                self._known = load_assistants(models_root=self._root)
            return {**self._known, **{name: status.card for name, status in self._statuses.items()}}

    def suited(self, kind: AssistantKind, film_model: str) -> list[AssistantCard]:
        """Here or not, the most particular first."""
        return [card for card in self.cards().values() if card.suits(kind, film_model)]

    def is_here(self, card: AssistantCard) -> bool:
        """As the engine said; before it has, whether its files are on this machine."""
        status = self._statuses.get(card.name)
        if status is not None:
            return status.available
        return all(has_part(part, self._root) for part in card.parts.all().values())

    def status(self, name: str) -> AssistantStatus:
        """What the engine knows of it now; the first time may take long: big weights are hashed. Raises EngineError."""
        statuses = {status.card.name: status for status in self._tracker.engine.assistants()}
        with self._lock:
            self._statuses = statuses
        if name not in statuses:
            raise AssistantFailed(f"The engine has no card of an assistant {name}. Is it of this version?")
        if not statuses[name].available:
            raise AssistantFailed(f"{statuses[name].card.title} cannot be used: {statuses[name].reason}")
        return statuses[name]


class LocalAssistant:
    """One card, asked through the engine."""

    def __init__(self, local: LocalAssistants, card: AssistantCard, project_id: str) -> None:
        self.card = card
        self._local = local
        self._project_id = project_id

    @property
    def name(self) -> str:
        return self.card.title

    def answer(self, request: AssistantRequest) -> AssistantAnswer:
        status = self._local.status(self.card.name)
        job = assistant_job(self._project_id, self.card.name, status.fingerprint, request)
        return self._local.answers.answer(job, TIMEOUT_S)

    def close(self) -> None: ...
