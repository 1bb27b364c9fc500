"""The guards that judge texts, in order: the block list, then models. The first that calls a text unsafe ends it.

Comes in: texts. Goes out: an ``Outcome`` for each: safe, unsafe with the verdict, or failed with the reason. Verdicts
are kept in the library by guard and text; failures are not. Thread-safe. Does not know policies, scenes or jobs.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.assistants.blocklist import BlockList
from engine.contract.assistants import Verdict
from engine.contract.errors import EngineError
from studio.errors import StudioError
from studio.library.verdicts import VerdictRepository, of_text

MOST_KEPT = 20_000
"""Verdicts that are kept in memory."""


class TextGuard(Protocol):
    """``key`` names it with the version of its lists or weights; None: not known yet."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    def check(self, text: str) -> Verdict:
        """May take minutes. Raises EngineError, StudioError."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """``verdict``: the one that ended it. ``reason``: why it could not be judged, where that is so."""

    kind: Literal["safe", "unsafe", "failed"]
    verdict: Verdict | None = None
    reason: str = ""


class TextGuards:
    """``block_list`` None: nothing is judged by rules. ``models``: the guards behind it, as they are now."""

    def __init__(
        self, block_list: BlockList | None, models: Callable[[], Sequence[TextGuard]], verdicts: VerdictRepository
    ) -> None:
        self._block_list = block_list
        self._models = models
        self._verdicts = verdicts
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Verdict] = {}

    def known(self, texts: Collection[str]) -> dict[str, Outcome | None]:
        """At once, without asking anybody: None for texts that a model has still to judge."""
        models = self._models()
        for guard in models:
            self._load(guard.key, texts)
        return {text: self._known(text, models) for text in set(texts)}

    def ask(self, text: str) -> Outcome:
        """What is not known is asked of the models, in order; never raises."""
        verdict = self._listed(text)
        if verdict is not None and not verdict.safe:
            return Outcome("unsafe", verdict)
        for guard in self._models():
            try:
                verdict = self._kept_of(guard.key, text) or self._asked(guard, text)
            except (EngineError, StudioError) as error:
                return Outcome("failed", None, str(error))
            if not verdict.safe:
                return Outcome("unsafe", verdict)
        return Outcome("safe", verdict)

    def _known(self, text: str, models: Sequence[TextGuard]) -> Outcome | None:
        verdict = self._listed(text)
        if verdict is not None and not verdict.safe:
            return Outcome("unsafe", verdict)
        for guard in models:
            verdict = self._kept_of(guard.key, text)
            if verdict is None:
                return None
            if not verdict.safe:
                return Outcome("unsafe", verdict)
        return Outcome("safe", verdict)

    def _listed(self, text: str) -> Verdict | None:
        if self._block_list is None:
            return None
        verdict = self._kept_of(self._block_list.key, text)
        if verdict is None:
            verdict = self._block_list.check(text)
            self._remember(self._block_list.key, text, verdict)
        return verdict

    def _asked(self, guard: TextGuard, text: str) -> Verdict:
        verdict = guard.check(text)
        if guard.key is not None:
            self._verdicts.keep(guard.key, of_text(text), verdict)
            self._remember(guard.key, text, verdict)
        return verdict

    def _load(self, key: str | None, texts: Collection[str]) -> None:
        """From the library, all at once."""
        missing = {of_text(text): text for text in texts if self._kept_of(key, text) is None}
        if key is not None and missing:
            for subject, verdict in self._verdicts.verdicts(key, missing.keys()).items():
                self._remember(key, missing[subject], verdict)

    def _kept_of(self, key: str | None, text: str) -> Verdict | None:
        with self._lock:
            return self._kept.get((key, text)) if key is not None else None

    def _remember(self, key: str, text: str, verdict: Verdict) -> None:
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key, text] = verdict
