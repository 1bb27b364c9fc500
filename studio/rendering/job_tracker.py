"""Jobs to the engine, and its events back: takes enter the library, live progress is kept, answers go to who asked.

Comes in: planned jobs, an ``Engine``. Goes out: takes in the library with their posters, live jobs, the engine's state.
Everything that must survive is written before it counts as handled. Does not know storyboards or the page;
of films only how a poster is made.
"""

import logging
import re
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, assert_never

from engine.contract.assistants import AssistantJob
from engine.contract.cards import ModelStatus
from engine.contract.errors import Conflict, EngineError, Rejected, Unreachable
from engine.contract.events import (
    Answered,
    EngineDown,
    EngineUp,
    Event,
    Failed,
    Finished,
    Interrupted,
    JobCancelled,
    JobRejected,
    JobState,
    Preview,
    Queued,
    Stage,
    Started,
    Step,
)
from engine.contract.jobs import FromMedia, FromModel, Job, Take
from engine.contract.status import AssistantJobStatus, EngineStatus
from engine.storage.atomic import discard, draft_of
from engine.storage.media import MediaStore
from engine.storage.workspace import Workspace
from studio.errors import FilmError
from studio.film.film import poster_of
from studio.library.takes import LIVE, KnownJob, TakeRepository
from studio.planning.plan import with_new_id
from studio.rendering.engine import Engine
from studio.rendering.engine_link import EngineLink
from studio.rendering.notifier import ChangeNotifier
from studio.rendering.progress import LiveJobs, ProgressEvent, Waiters

LOG = logging.getLogger(__name__)
MOST_IDS = 1000

AssistantEvent = ProgressEvent | Answered | Failed | JobRejected | JobCancelled


class Listener(Protocol):
    """Who is called when takes of some recipes arrived for (project id, scene id), an engine sent its models, or a job
    ended."""

    def takes_arrived(self, waiters: Waiters, recipes: Collection[str]) -> None: ...
    def models_changed(self, statuses: Sequence[ModelStatus]) -> None: ...
    def job_ended(self, waiters: Waiters) -> None: ...


class AssistantListener(Protocol):
    """Who is called with each event of a job that is no film's: it knows the ids of those that it asked for.

    Called by the thread that reads events; it raises one of ``RETRYABLE_ERRORS`` to get an event again, and may get one
    twice. ``settle``: an engine answers, after a time in which events may have been lost with its database.
    """

    def assistant_event(self, event: AssistantEvent) -> None: ...
    def settle(self, engine: Engine) -> None: ...


class JobTracker:
    """One engine at a time. ``attach`` may be called again with another, or the same after a restart.

    ``assistants``: set by who asks for assistants' answers.
    """

    def __init__(
        self, workspace: Workspace, takes: TakeRepository, notifier: ChangeNotifier, listener: Listener
    ) -> None:
        self.live = LiveJobs()
        self.store = MediaStore(workspace.media)
        self._workspace = workspace
        self._takes = takes
        self._notifier = notifier
        self._listener = listener
        self._submitting = threading.RLock()
        self._cancelled: set[str] = set()
        """Ids of jobs that are being cancelled and have not ended yet."""
        self.assistants: AssistantListener | None = None
        self._link: EngineLink | None = None
        self.unavailable_reason = "the engine is starting"
        """Why no engine is attached, while none is."""
        for known in takes.live_jobs():
            self.live.put(known.job, known.waiters, known.state)

    # ---- the engine
    def attach(self, engine: Engine, name: str) -> None:
        self.detach()
        self._link = EngineLink(engine, name, self._takes.cursor(name), self)
        self._link.start()

    def detach(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    @property
    def engine(self) -> Engine:
        """Raises Unreachable where none is attached."""
        return self._attached("nothing can be rendered yet").engine

    @property
    def status(self) -> EngineStatus | None:
        """How the engine was when it last answered; None while it does not."""
        link = self._link
        return link.status if link else None

    @property
    def attached(self) -> bool:
        return self._link is not None

    @property
    def last_error(self) -> str:
        """Why the engine's events cannot be handled just now; "" if they can."""
        link = self._link
        return link.last_error if link else ""

    def _attached(self, what: str) -> EngineLink:
        link = self._link  # read once: another thread may let it go
        if link is None:
            raise Unreachable(f"{what}: {self.unavailable_reason}. Try again in a moment.")
        return link

    # ---- jobs
    def submit(self, jobs: Sequence[Job], waiters_of: Callable[[Job], Waiters]) -> list[str]:
        """Ids of the jobs as the engine knows them, in order. Raises EngineError; what was submitted stays so."""
        with self._submitting:
            return [self._submit(job, waiters_of(job)) for job in jobs]

    def _submit(self, job: Job, waiters: Waiters) -> str:
        known = self._takes.jobs_of_recipe(job.recipe)
        waiting = next((one for one in known if one.state in LIVE and one.job.id not in self._cancelled), None)
        if waiting is not None and self._joined(waiting, waiters):
            return waiting.job.id
        self._send_media(job)
        for attempt in range(len(known), MOST_IDS):
            candidate = with_new_id(job, attempt) if attempt else job
            if self._accepted(candidate, waiters):
                return candidate.id
        raise Rejected("job", f"recipe {job.recipe[:16]}: was tried {MOST_IDS} times. Change the scene's seed.")

    def refuse(self, job: Job, waiters: Waiters, reason: str) -> None:
        """Kept as a job that failed before it was submitted, so that it is shown why, also after a restart."""
        with self._submitting:
            self._expect(job, waiters)
            self._on_ended(job.id, "failed", reason, None)

    def _joined(self, waiting: KnownJob, waiters: Waiters) -> bool:
        """Whether these scenes wait for a job now as others do; False where it ended in the meantime."""
        self._expect(waiting.job, tuple({*waiting.waiters, *waiters}))
        now = self._takes.job(waiting.job.id)
        if now is not None and now.state in LIVE:
            return True
        self.live.drop(waiting.job.id)
        return False

    def _accepted(self, job: Job, waiters: Waiters) -> bool:
        """Whether the engine works on a job under this id; False where the id belongs to one that ended."""
        self._expect(job, waiters)
        try:
            if self.engine.submit(job).state in LIVE:
                return True
        except Conflict:
            LOG.info("job %s: the id is taken", job.id)
        except EngineError:
            self._forget(job)
            raise
        if self.live.knows(job.id):
            self._forget(job)
            return False
        return True  # it ended so quickly that its events came first

    def _expect(self, job: Job, waiters: Waiters) -> None:
        """Written before it is submitted, so that no event can come for a job that nobody knows."""
        self._takes.expect(job, waiters)
        self.live.put(job, waiters)

    def _forget(self, job: Job) -> None:
        self._takes.forget(job.id)
        self.live.drop(job.id)

    def _send_media(self, job: Job) -> None:
        for sha256 in _media_of(job):
            self._send_file(sha256, f"scene {job.scene_ids[0]}: its picture or clip")

    def _send_file(self, sha256: str, what: str) -> None:
        path = self.store.path(sha256)
        if not path.is_file():
            raise Rejected("media", f"{what} is no longer stored. Choose it again.")
        self.engine.put_media(path)

    def ask(self, job: AssistantJob) -> AssistantJobStatus:
        """Asks an assistant that the engine runs; the answer comes to ``assistants``. Raises EngineError."""
        if job.media is not None:
            self._send_file(job.media, "the picture or clip that this is about")
        return self.engine.ask(job)

    def cancel(self, project_id: str, known: Sequence[KnownJob]) -> list[str]:
        """Stops jobs, the last first, unless another project waits for them too."""
        stopped: list[str] = []
        for one in reversed(known):
            if self._takes.leave(one.job.id, project_id):
                self._cancel(one)
            else:
                self.live.set_waiters(one.job.id, tuple(waiter for waiter in one.waiters if waiter[0] != project_id))
            stopped.append(one.job.id)
        return stopped

    def _cancel(self, known: KnownJob) -> None:
        self._cancelled.add(known.job.id)
        try:
            self.engine.cancel(known.job.id)
        except Rejected:  # the engine knows no such job: it began anew
            self._on_ended(known.job.id, "cancelled", "", None)
        except EngineError:
            self._cancelled.discard(known.job.id)
            raise

    def pause(self, paused: bool) -> None:
        """Holds the engine's queue, or lets it go on."""
        self._attached("there is nothing to hold").pause(paused)
        self._notifier.notify_all()

    # ---- events
    def handle_event(self, event: Event, name: str) -> None:
        """One event. Raises one of ``RETRYABLE_ERRORS`` where it must be handled again later.

        Every type of the contract is matched. One that is not is an error of this program (AssertionError); types of
        a newer engine do not come this far: the client skips them.
        """
        match event:
            case Finished():
                self._on_finished(event, name)
            case Answered():
                self._on_assistant(event, (name, event.seq))
            case Failed() | JobRejected() | JobCancelled() if self._takes.job(event.job_id) is None:
                self._on_assistant(event, (name, event.seq))
            case Failed() | JobRejected():
                self._on_ended(event.job_id, event.type, event.reason, (name, event.seq))
            case JobCancelled():
                self._on_ended(event.job_id, "cancelled", "", (name, event.seq))
            case Queued() | Started() | Stage() | Step() | Preview() | Interrupted():
                self._on_progress(event)
            case EngineUp() | EngineDown():
                pass  # the link asks for the engine's state
            case _:
                assert_never(event)

    def _on_progress(self, event: ProgressEvent) -> None:
        if not self.live.knows(event.job_id):
            known = self._takes.job(event.job_id)  # submitted by another process on this workspace
            if known is None:
                return self._on_assistant(event)
            if known.state not in LIVE:
                return
            self.live.put(known.job, known.waiters, known.state)
        waiters = self.live.apply(event)
        if isinstance(event, Started):
            self._takes.end(event.job_id, "running", "")
        self._notifier.notify(*{project_id for project_id, _ in waiters})

    def _on_assistant(self, event: AssistantEvent, cursor: tuple[str, int] | None = None) -> None:
        """The cursor moves once the event is handled, so that no answer is lost to a crash."""
        if self.assistants is not None:
            self.assistants.assistant_event(event)
        if cursor is not None:
            self._takes.move_cursor(cursor)

    def _on_finished(self, event: Finished, name: str) -> None:
        brought = [(take, self._fetch_files(take)) for take in event.takes]
        waiters = self._takes.arrive(event.job_id, brought, (name, event.seq))
        self._listener.takes_arrived(tuple(waiters), {take.recipe for take in event.takes})
        self._drop(event.job_id)

    def _on_ended(self, job_id: str, state: JobState, reason: str, cursor: tuple[str, int] | None) -> None:
        self._takes.end(job_id, state, reason, cursor)
        self._listener.job_ended(self.live.waiters(job_id))
        self._drop(job_id)

    def _drop(self, job_id: str) -> None:
        """Last of all, so that no board ever shows neither a job nor what came of it."""
        self._cancelled.discard(job_id)
        self._notifier.notify(*{project_id for project_id, _ in self.live.drop(job_id)})

    def _fetch_files(self, take: Take) -> str | None:
        """Makes sure that the take's files are here; its poster's name, None where none could be made."""
        self._ensure_stored(take.media, self._workspace.take_folder(take.recipe) / "take.mp4")
        if take.picture is not None and isinstance(take.job.conditioning, FromModel):
            self._ensure_stored(take.picture, self._workspace.picture(take.job.conditioning.recipe))
        try:
            return self.store.put_stream([poster_of(self.store.path(take.media))])
        except FilmError as error:
            LOG.warning("take %s: %s", take.id, error)
            return None

    def _ensure_stored(self, sha256: str, own: Path) -> None:
        """A file of the media store: there already, at ``own`` in this workspace, or fetched from the engine."""
        if not self.store.has(sha256) and (not own.is_file() or self.store.adopt(own) != sha256):
            self._fetch(sha256)

    def _fetch(self, sha256: str) -> None:
        draft = draft_of(self._workspace.media / "fetched")
        try:
            self.engine.fetch_media(sha256, draft)
            with draft.open("rb") as file:
                self.store.put_stream(iter(lambda: file.read(1 << 20), b""), expected_sha=sha256)
        finally:
            discard(draft)

    def find_takes(self) -> int:
        """Takes whose files are in the workspace and which the library does not know: after a crash, or a lost
        database. -> how many came back."""
        known, found = self._takes.take_ids(), 0
        for path in sorted(self._workspace.takes.glob("*/take.json")):
            if path.parent.name in known or not re.fullmatch("[0-9a-f]{64}", path.parent.name):
                continue  # the others are drafts that a crash left, and damaged takes that were moved aside
            try:
                take = Take.model_validate_json(path.read_bytes())
                waiters = self._takes.arrive(None, [(take, self._fetch_files(take))])
            except (OSError, ValueError, EngineError) as error:
                LOG.warning("%s: this take cannot be read and is left where it is: %s", path, error)
                continue
            found += 1
            self._listener.takes_arrived(tuple(waiters), {take.recipe})
        return found

    # ---- the engine's state
    def on_status(self, status_changed: bool, models: Sequence[ModelStatus] | None) -> None:
        if models is not None:
            self._listener.models_changed(models)
        if status_changed or models is not None:
            self._notifier.notify_all()

    def settle(self, engine: Engine) -> None:
        """Jobs that wait here and that the engine does not know were lost with its database."""
        if self.assistants is not None:
            self.assistants.settle(engine)
        with self._submitting:
            waiting = self._takes.live_jobs()
            if waiting:
                known = {status.job.id for status in engine.jobs()}
                for one in waiting:
                    if one.job.id not in known:
                        self._on_ended(one.job.id, "failed", "the engine no longer knows this job. Render again.", None)


def _media_of(job: Job) -> set[str]:
    """Stored files that a job needs: a picture, a clip, what a first frame is made from."""
    named = {job.reimagine.media} if job.reimagine else set[str]()
    match job.conditioning:
        case FromMedia(media=sha256) | FromModel(source=str(sha256)):
            return {*named, sha256}
        case _:
            return named
