"""The guard of takes: a classifier looks at the frames of each finished take, and says what it believes to see.

Comes in: takes that arrived. Goes out: verdicts in the library; a take's state as it is shown: advised or withheld, by
the host's settings. What waits for a verdict is in the library too, and is asked again after a restart. Thread-safe.
Does not know the classifier, nor the page.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future

from engine.contract.assistants import CheckTakeRequest, Finding, Verdict
from engine.contract.errors import EngineError
from engine.contract.jobs import Take
from studio.errors import StudioError
from studio.library.verdicts import UNCHECKED, VerdictRepository, of_media, of_recipe
from studio.services.assistants.settings import AUTO, OFF, GuardSetting
from studio.views.guarding import TakeGuard

VIDEO = "video"
CHECKING = "checking"
WRONG = "the classifier is often wrong"
OWNER = "only the owner of this machine sees it"

InBackground = Callable[[Callable[[], None]], Future[None]]
AskClassifier = Callable[[CheckTakeRequest], Verdict]
"""May take minutes. Raises EngineError, StudioError."""


class TakesGuard:
    """``classifier``: the one that there is now; None: none. Judges nothing before ``connect``."""

    def __init__(
        self,
        setting: GuardSetting,
        verdicts: VerdictRepository,
        classifier: Callable[[], AskClassifier | None],
    ) -> None:
        self._setting = setting
        self._verdicts = verdicts
        self._classifier = classifier
        self._in_background: InBackground | None = None
        self._on_verdict: Callable[[Collection[str]], None] = lambda files: None
        self._lock = threading.Lock()
        self._waiting: dict[str, None] = {}
        self._working = self._closed = False

    def connect(self, in_background: InBackground, on_verdict: Callable[[Collection[str]], None]) -> None:
        """``on_verdict``: called with the files that were judged."""
        self._in_background, self._on_verdict = in_background, on_verdict

    @property
    def withholds(self) -> bool:
        return self._looks and self._setting.video == "withhold"

    @property
    def _looks(self) -> bool:
        return self._setting.use != OFF and self._setting.video != OFF

    def arrived(self, files: Collection[str]) -> None:
        """Takes whose files nobody has judged yet: they wait from now on, and are judged in the background."""
        if not self._looks or (self._setting.video_model == AUTO and self._classifier() is None):
            return
        known = self._verdicts.verdicts(VIDEO, {of_media(sha256) for sha256 in files})
        for sha256 in files:
            if of_media(sha256) not in known:
                self._keep(sha256, CHECKING, "")
        self._judge(files)

    def resume(self) -> None:
        """An engine answers: what waits is judged, and what could not be is tried again."""
        if self._looks:
            waiting = [
                subject.partition(":")[2]
                for subject, verdict in self._verdicts.all_of(VIDEO).items()
                if _category(verdict) in (CHECKING, UNCHECKED)
            ]
            self._judge(waiting)

    def release(self, sha256: str) -> None:
        """The owner of the machine looked at it, and lets it through."""
        self._verdicts.keep(VIDEO, of_media(sha256), Verdict(safe=True, source="the owner"))
        self._on_verdict([sha256])

    def close(self) -> None:
        self._closed = True

    def of_takes(self, takes: Sequence[Take]) -> dict[str, TakeGuard]:
        """By take id, where there is something to show."""
        seen = self._verdicts.verdicts(VIDEO, {of_media(take.media) for take in takes}) if self._looks else {}
        unasked = self._verdicts.verdicts(UNCHECKED, {of_recipe(take.job.recipe) for take in takes})
        guards: dict[str, TakeGuard] = {}
        for take in takes:
            verdict, missed = seen.get(of_media(take.media)), unasked.get(of_recipe(take.job.recipe))
            if verdict is not None and verdict.findings:
                guards[take.id] = self._shown(verdict)
            elif missed is not None:
                text = f"its prompts were rendered without a guard's verdict: {missed.findings[0].detail}"
                guards[take.id] = TakeGuard("unchecked", text)
        return guards

    def _shown(self, verdict: Verdict) -> TakeGuard:
        category, detail = _category(verdict), verdict.findings[0].detail
        withholds = self._setting.video == "withhold"
        if category == CHECKING:
            text = "the guard has not looked at it yet"
            return TakeGuard("withheld", f"{text}; {OWNER}") if withholds else TakeGuard("checking", text)
        if category == UNCHECKED:
            text = f"the guard could not look at it: {detail}"
            closed = withholds and self._setting.required == "always"
            return TakeGuard("withheld", f"{text}; {OWNER}") if closed else TakeGuard("unchecked", text)
        found = "; ".join(f"{each.category.lower()}, {each.detail}" for each in verdict.findings)
        text = f"the guard ({verdict.source}) found {found}; {WRONG}"
        return TakeGuard("withheld", f"{text}; {OWNER}") if withholds else TakeGuard("advised", text)

    def _judge(self, files: Collection[str]) -> None:
        """One after another in one thread: the engine answers one question at a time."""
        with self._lock:
            self._waiting.update(dict.fromkeys(files))
            if self._in_background is None or self._working or self._closed or not self._waiting:
                return
            self._working = True
        self._in_background(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._closed or not self._waiting:
                    self._working = False
                    return
                sha256 = next(iter(self._waiting))
                del self._waiting[sha256]
            self._ask(sha256)

    def _ask(self, sha256: str) -> None:
        try:
            known = self._verdicts.verdict(VIDEO, of_media(sha256))
            if known is not None and _category(known) not in (CHECKING, UNCHECKED):
                return
            classifier = self._classifier()
            if classifier is None:
                reason = f"{self._setting.video_model}: this classifier is not here. Download it, or name another"
                self._keep(sha256, UNCHECKED, reason)
            else:
                self._verdicts.keep(VIDEO, of_media(sha256), classifier(CheckTakeRequest(media=sha256)))
        except (EngineError, StudioError) as error:
            if not self._closed:
                self._keep(sha256, UNCHECKED, str(error).rstrip(". "))
        if not self._closed:
            self._on_verdict([sha256])

    def _keep(self, sha256: str, category: str, detail: str) -> None:
        verdict = Verdict(safe=True, source="", findings=(Finding(category=category, detail=detail),))
        self._verdicts.keep(VIDEO, of_media(sha256), verdict)


def _category(verdict: Verdict) -> str:
    return verdict.findings[0].category if verdict.findings else ""
