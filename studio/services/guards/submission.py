"""Between the plan and the engine: jobs whose texts are judged are submitted, others are held until they are.

Comes in: a project's planned jobs. Goes out: jobs to the tracker; refused and failed ones as ended jobs, with the
reason. Held jobs are in the library: after a restart they are asked again, and nothing is lost. Thread-safe. Does not
know how a text is judged, nor the page.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future

from engine.contract.assistants import Finding, Verdict
from engine.contract.errors import EngineError, Unreachable
from engine.contract.jobs import FromTake, Job
from studio.document.storyboard import Storyboard
from studio.errors import StudioError
from studio.library.takes import TakeRepository
from studio.library.verdicts import UNCHECKED, HeldJob, VerdictRepository, of_recipe
from studio.rendering.job_tracker import JobTracker
from studio.rendering.progress import Waiters
from studio.services.guards.prompt_guard import PromptGuard
from studio.services.guards.text_guards import Outcome
from studio.services.refresher import ProjectRefresher

LOG = logging.getLogger(__name__)


class SubmissionGuard:
    """A ``Follower`` of arrivals. ``in_background``: runs work in another thread. ``storyboard_of``: what is written in
    a project now."""

    def __init__(
        self,
        guard: PromptGuard,
        verdicts: VerdictRepository,
        takes: TakeRepository,
        tracker: JobTracker,
        refresher: ProjectRefresher,
        storyboard_of: Callable[[str], Storyboard],
        in_background: Callable[[Callable[[], None]], Future[None]],
    ) -> None:
        self._guard = guard
        self._verdicts = verdicts
        self._takes = takes
        self._tracker = tracker
        self._refresher = refresher
        self._storyboard_of = storyboard_of
        self._in_background = in_background
        self._lock = threading.RLock()
        self._checking: set[str] = set()
        """Projects whose held jobs are judged just now."""
        self._closed = False
        for project_id in verdicts.holding():
            self._show(project_id, verdicts.held(project_id))

    def submit(
        self, project_id: str, jobs: Sequence[Job], waiters_of: Callable[[Job], Waiters], replace: bool = True
    ) -> list[str]:
        """Job ids in order. All at once; where a text is still to be judged, all of them later. Raises EngineError.

        ``replace``: held jobs of the same scenes give way to these.
        """
        storyboard = self._storyboard_of(project_id)
        if not self._guard.policy(storyboard.model, project_id).on:
            return self._tracker.submit(jobs, waiters_of)
        held = [self._guard.held(job, storyboard, [scene for _, scene in waiters_of(job)]) for job in jobs]
        if None not in self._outcomes(held).values():
            return self._tracker.submit(jobs, waiters_of)
        self._tracker.engine  # noqa: B018  Unreachable is raised now, not later
        with self._lock:
            self._hide(self._verdicts.hold(project_id, held, replace))
            self._show(project_id, held)
        self._start(project_id)
        return [job.id for job in jobs]

    def waiting(self, project_id: str) -> list[Job]:
        """Jobs that scenes of the project wait for: held, queued or running."""
        held = [each.job for each in self._verdicts.held(project_id)]
        return [*held, *(known.job for known in self._takes.waiting_jobs(project_id))]

    def drop(self, project_id: str) -> list[str]:
        """The author wants none of the held jobs any more; their ids."""
        with self._lock:
            held = self._verdicts.held(project_id)
            self._verdicts.release(project_id, held)
            self._hide(held)
        return [each.job.id for each in held]

    def takes_arrived(self, project_ids: Collection[str], recipes: Collection[str]) -> None: ...

    def engine_answers(self) -> None:
        """What is held is judged and submitted."""
        for project_id in self._verdicts.holding():
            self._start(project_id)

    def close(self) -> None:
        self._closed = True

    # ---- in the background
    def _start(self, project_id: str) -> None:
        with self._lock:
            if project_id in self._checking or self._closed:
                return
            self._checking.add(project_id)
        self._in_background(lambda: self._check(project_id))

    def _check(self, project_id: str) -> None:
        """Until nothing more is held, or the engine is out of reach."""
        try:
            goes_on = True
            while goes_on and not self._closed and (held := self._verdicts.held(project_id)):
                asked = self._asked(held)
                with self._lock:
                    goes_on = self._closed or self._released(project_id, held, asked)
        except (StudioError, EngineError) as error:
            LOG.warning("project %s: its held jobs wait on: %s", project_id, error)
        finally:
            with self._lock:
                self._checking.discard(project_id)

    def _asked(self, held: Sequence[HeldJob]) -> dict[str, Outcome | None]:
        outcomes = self._outcomes(held)
        for text, known in outcomes.items():
            if known is None and not self._closed:
                outcomes[text] = self._guard.texts.ask(text)
        return outcomes

    def _outcomes(self, held: Sequence[HeldJob]) -> dict[str, Outcome | None]:
        return self._guard.texts.known({text for each in held for _, _, text in each.texts})

    def _released(self, project_id: str, held: Sequence[HeldJob], outcomes: dict[str, Outcome | None]) -> bool:
        """Whether to go on: all these were submitted or refused. Those that were dropped meanwhile are left alone."""
        if self._closed:
            return False
        still = {each.job.id for each in self._verdicts.held(project_id)}
        closed = self._guard.policy(self._storyboard_of(project_id).model, project_id).required
        lost: dict[str, str] = {}
        for each in held:
            if each.job.id not in still:
                continue
            outcome = self._guard.outcome(each, outcomes)
            reason = lost.get(_continued(each.job)) or _refusal(outcome, closed)
            try:
                self._end(project_id, each, reason) if reason else self._submit(project_id, each, outcome)
            except Unreachable:
                return False
            if reason:
                lost.update(
                    {span.recipe: f"goes on from a scene that is not rendered: {reason}" for span in each.job.spans}
                )
        self._refresher.refresh(project_id)
        return True

    def _submit(self, project_id: str, held: HeldJob, outcome: Outcome) -> None:
        waiters = tuple((project_id, scene_id) for scene_id in held.scene_ids)
        try:
            (job_id,) = self._tracker.submit([held.job], lambda job: waiters)
        except Unreachable:
            self._tracker.live.put(held.job, waiters, "checking")
            raise
        except EngineError as error:
            return self._end(project_id, held, str(error))
        if outcome.kind == "failed":
            self._note_unchecked(held.job, outcome.reason)
        self._verdicts.release(project_id, [held])
        if job_id != held.job.id:
            self._tracker.live.drop(held.job.id)

    def _end(self, project_id: str, held: HeldJob, reason: str) -> None:
        """Kept as a job that failed, so that the card says why also after a restart, and it can be tried again."""
        waiters = tuple((project_id, scene_id) for scene_id in held.scene_ids)
        self._verdicts.release(project_id, [held])
        self._tracker.refuse(held.job, waiters, reason)

    def _note_unchecked(self, job: Job, reason: str) -> None:
        verdict = Verdict(safe=True, source="", findings=(Finding(category=UNCHECKED, detail=reason),))
        self._verdicts.keep(UNCHECKED, of_recipe(job.recipe), verdict)

    def _show(self, project_id: str, held: Sequence[HeldJob]) -> None:
        for each in held:
            self._tracker.live.put(each.job, tuple((project_id, name) for name in each.scene_ids), "checking")

    def _hide(self, held: Sequence[HeldJob]) -> None:
        for each in held:
            self._tracker.live.drop(each.job.id)


def _continued(job: Job) -> str:
    return job.conditioning.recipe if isinstance(job.conditioning, FromTake) else ""


def _refusal(outcome: Outcome, required: str) -> str:
    """Why a job is not rendered; "" where it is."""
    if outcome.kind == "unsafe":
        return outcome.reason
    if outcome.kind == "failed" and required:
        return f"the guard could not be asked ({outcome.reason.rstrip('. ')}), and {required}. Try again"
    return ""
