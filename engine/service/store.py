"""The store: jobs of films and of assistants, and what happened to them. A change of state and its event are one
transaction.

Comes in: jobs, requests (cancel, move, pause) and events. Goes out: statuses, and events numbered in the order they
happened. Refuses a second terminal event of a job. Thread-safe. Does not know groups, HTTP or files.
"""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import assert_never

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from engine.contract.assistants import AssistantJob, CritiqueRequest
from engine.contract.errors import Conflict, EngineError, Rejected
from engine.contract.events import (
    EVENT,
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
from engine.contract.jobs import Job
from engine.contract.status import AssistantJobStatus, JobStatus
from engine.service.tables import EventRow, JobKind, JobRow, SettingRow, empty_log

AnyJob = Job | AssistantJob
End = Finished | Answered | Failed | JobRejected | JobCancelled


MAX_FAILURES = 3
"""Attempts that may end by a group's death before the job is given up."""
KEEP_STEPS_S = 600.0
"""Step and Preview events of ended jobs are kept this long, for readers that lag behind."""
NUM_ENDED_LISTED = 500
ACTIVE = ("queued", "running")
_QUEUE_ORDER = (JobRow.place, JobRow.id)


class OutOfTurn(EngineError):
    """An event of a job that does not run, or a second end: a bug, here or in a rank."""


@dataclass(frozen=True, slots=True)
class Waiting:
    job: AnyJob
    failures: int


class Store:
    def __init__(self, database: Engine, changed: Callable[[], None]) -> None:
        self._database = database
        self._changed = changed
        self._writing = threading.Lock()

    # ---- the author's requests
    def submit(self, job: Job) -> tuple[JobStatus, bool]:
        """-> (status, whether it is new). Raises Conflict where the id belongs to a job with another body."""
        is_new = self._add(job, "film", at_front=False)
        return self.job(job.id), is_new

    def ask(self, job: AssistantJob) -> tuple[AssistantJobStatus, bool]:
        """``submit`` for an assistant's job. An author waits for it: it goes before all films, behind other assistants'
        jobs. A critique goes behind the films, because it compares takes that they have yet to make."""
        is_new = self._add(job, "assistant", at_front=not isinstance(job.request, CritiqueRequest))
        return self.assistant_job(job.id), is_new

    def _add(self, job: AnyJob, kind: JobKind, at_front: bool) -> bool:
        body = job.model_dump_json()
        with self._write() as session:
            known = session.get(JobRow, job.id)
            if known is not None and known.body != body:
                raise Conflict(f"job {job.id}: this id belongs to another recipe already. Give the new job its own id.")
            if known is None:
                waiting = _waiting_rows(session)
                place = waiting[-1].place + 1 if waiting else 1
                row = JobRow(id=job.id, body=body, state="queued", place=place, changed_s=time.time(), kind=kind)
                session.add(row)
                if at_front:
                    ahead = sum(1 for _ in takewhile(lambda other: other.kind == "assistant", waiting))
                    _place([*waiting[:ahead], row, *waiting[ahead:]])
                _add_event(session, Queued(time_s=time.time(), job_id=job.id))
        return known is None

    def cancel(self, job_id: str) -> JobStatus:
        """A waiting job ends at once; a running one is marked, and ends when the ranks answer."""
        self._cancel(job_id, "film")
        return self.job(job_id)

    def cancel_assistant_job(self, job_id: str) -> AssistantJobStatus:
        self._cancel(job_id, "assistant")
        return self.assistant_job(job_id)

    def _cancel(self, job_id: str, kind: JobKind) -> None:
        with self._write() as session:
            row = _row(session, job_id, kind)
            if row.state == "queued":
                _end(session, row, JobCancelled(time_s=time.time(), job_id=job_id))
            elif row.state == "running":
                row.cancel_asked = True

    def move(self, job_id: str, position: int) -> JobStatus:
        """Moves a waiting job; raises Rejected("job") where it does not wait any more."""
        with self._write() as session:
            row = _row(session, job_id, "film")
            if row.state != "queued":
                raise Rejected("job", f"job {job_id}: is {row.state}; only waiting jobs can be moved.")
            others = [other for other in _waiting_rows(session) if other.id != job_id]
            others.insert(max(0, position), row)
            _place(others)
        return self.job(job_id)

    def set_paused(self, paused: bool) -> None:
        with self._write() as session:
            session.merge(SettingRow(name="paused", value="1" if paused else ""))

    # ---- what happens to jobs
    def start(self, job_id: str) -> int | None:
        """queued -> running. -> the attempt's number, or None where the job does not wait any more."""
        with self._write() as session:
            row = _row(session, job_id)
            if row.state != "queued":
                return None
            row.state, row.attempt, row.changed_s = "running", row.attempt + 1, time.time()
            _add_event(session, Started(time_s=time.time(), job_id=job_id, attempt=row.attempt))
            return row.attempt

    def record(self, *events: Event) -> None:
        """Stores events, all or none; a terminal one ends its job. Raises OutOfTurn."""
        with self._write() as session:
            for event in events:
                _record(session, event)

    def interrupt(self, job_id: str, reason: str, counts: bool = True) -> bool:
        """The group died under a job. -> whether the job is tried again: it is then the next in the queue.

        It ends as cancelled where that was asked, and as failed where ``counts`` and this was the third time.
        """
        now = time.time()
        with self._write() as session:
            row = _row(session, job_id)
            if row.state not in ACTIVE:
                return False
            row.failures += counts
            again = not row.cancel_asked and row.failures < MAX_FAILURES
            attempt = max(1, row.attempt)
            _add_event(session, Interrupted(time_s=now, job_id=job_id, reason=reason, attempt=attempt))
            if row.cancel_asked:
                _end(session, row, JobCancelled(time_s=now, job_id=job_id))
            elif not again:
                message = f"Given up after {row.failures} attempts. The last one ended so: {reason}"
                _end(session, row, Failed(time_s=now, job_id=job_id, reason=message))
            else:
                first = session.scalar(select(func.min(JobRow.place)).where(JobRow.state == "queued"))
                row.state, row.reason, row.changed_s = "queued", reason, now
                row.place = (first or 0) - 1
            return again

    def recover(self, reason: str) -> None:
        """At the start of the service: jobs that were running when the last one ended wait again, in front."""
        with Session(self._database) as session:
            running = session.scalars(select(JobRow.id).where(JobRow.state == "running")).all()
        for job_id in running:
            self.interrupt(job_id, reason)

    def prune(self) -> None:
        """Deletes the Step and Preview events of jobs that ended a while ago, and tidies the database's log."""
        with self._write() as session:
            ended = select(JobRow.id).where(JobRow.state.not_in(ACTIVE), JobRow.changed_s < time.time() - KEEP_STEPS_S)
            small = EventRow.type.in_(("step", "preview"))
            session.execute(delete(EventRow).where(small, EventRow.job_id.in_(ended)))
        empty_log(self._database)

    # ---- reading
    def job(self, job_id: str) -> JobStatus:
        with Session(self._database) as session:
            waiting = [row.id for row in _waiting_rows(session)]
            return _status(_row(session, job_id, "film"), waiting)

    def assistant_job(self, job_id: str) -> AssistantJobStatus:
        with Session(self._database) as session:
            waiting = [row.id for row in _waiting_rows(session)]
            row = _row(session, job_id, "assistant")
            body = session.scalar(select(EventRow.body).where(EventRow.ends_job == job_id))
            return _assistant_status(row, waiting, EVENT.validate_json(body) if body else None)

    def jobs(self) -> list[JobStatus]:
        """Those of films: running, then waiting in order, then ended, newest first (at most 500 of these)."""
        with Session(self._database) as session:
            films = JobRow.kind == "film"
            active = list(
                session.scalars(select(JobRow).where(films, JobRow.state.in_(ACTIVE)).order_by(*_QUEUE_ORDER))
            )
            ended = session.scalars(
                select(JobRow)
                .where(films, JobRow.state.not_in(ACTIVE), JobRow.id.not_in([row.id for row in active]))
                .order_by(JobRow.changed_s.desc())
                .limit(NUM_ENDED_LISTED)
            ).all()
            waiting = [row.id for row in _waiting_rows(session)]
            active.sort(key=lambda row: row.state == "queued")
            return [_status(row, waiting) for row in (*active, *ended)]

    def waiting(self) -> list[Waiting]:
        """Waiting jobs in order."""
        with Session(self._database) as session:
            return [Waiting(_job(row), row.failures) for row in _waiting_rows(session)]

    def num_waiting(self) -> int:
        with Session(self._database) as session:
            return session.scalar(select(func.count()).where(JobRow.state == "queued")) or 0

    def running_job_id(self) -> str | None:
        with Session(self._database) as session:
            return session.scalar(select(JobRow.id).where(JobRow.state == "running"))

    def is_active(self, job_id: str) -> bool:
        """Whether the job waits or runs."""
        with Session(self._database) as session:
            return session.scalar(select(JobRow.state).where(JobRow.id == job_id)) in ACTIVE

    def cancel_asked(self, job_id: str) -> bool:
        with Session(self._database) as session:
            return bool(session.scalar(select(JobRow.cancel_asked).where(JobRow.id == job_id)))

    def paused(self) -> bool:
        with Session(self._database) as session:
            setting = session.get(SettingRow, "paused")
            return setting is not None and bool(setting.value)

    def last_seq(self) -> int:
        with Session(self._database) as session:
            return session.scalar(select(func.max(EventRow.seq))) or 0

    def events_after(self, seq: int, limit: int = 500) -> list[tuple[int, str]]:
        """The next events as (seq, JSON), ascending."""
        with Session(self._database) as session:
            query = select(EventRow.seq, EventRow.body).where(EventRow.seq > seq).order_by(EventRow.seq).limit(limit)
            rows = [(row.seq, row.body) for row in session.execute(query)]
        return [(number, _numbered(body, number)) for number, body in rows]

    @contextmanager
    def _write(self) -> Generator[Session]:
        """One transaction at a time, so that events appear to readers in the order of their numbers."""
        with self._writing, Session(self._database) as session, session.begin():
            yield session
        self._changed()


def _job(row: JobRow) -> AnyJob:
    form = Job if row.kind == "film" else AssistantJob
    return form.model_validate_json(row.body)


def _row(session: Session, job_id: str, kind: JobKind | None = None) -> JobRow:
    row = session.get(JobRow, job_id)
    if row is None or kind not in (None, row.kind):
        raise Rejected("unknown_job", f"job {job_id}: this engine has none of this id.")
    return row


def _waiting_rows(session: Session) -> list[JobRow]:
    return list(session.scalars(select(JobRow).where(JobRow.state == "queued").order_by(*_QUEUE_ORDER)))


def _place(rows: list[JobRow]) -> None:
    for place, row in enumerate(rows):
        row.place = place


def _status(row: JobRow, waiting: list[str]) -> JobStatus:
    return JobStatus.model_validate(
        {
            "job": Job.model_validate_json(row.body),
            "state": row.state,
            "position": waiting.index(row.id) if row.id in waiting else -1,
            "attempt": row.attempt,
            "reason": row.reason,
        }
    )


def _assistant_status(row: JobRow, waiting: list[str], end: Event | None) -> AssistantJobStatus:
    return AssistantJobStatus(
        job=AssistantJob.model_validate_json(row.body),
        state=row.state,
        position=waiting.index(row.id) if row.id in waiting else -1,
        attempt=row.attempt,
        reason=row.reason,
        answer=end.answer if isinstance(end, Answered) else None,
    )


def _record(session: Session, event: Event) -> None:
    match event:
        case Finished() | Answered() | Failed() | JobRejected() | JobCancelled():
            _end(session, _row(session, event.job_id), event)
        case Stage() | Step() | Preview() | Queued() | Started() | Interrupted():
            if _row(session, event.job_id).state != "running":
                raise OutOfTurn(f"job {event.job_id}: an event {event.type} came, and the job does not run.")
            _add_event(session, event)
        case EngineUp() | EngineDown():
            _add_event(session, event)
        case _:
            assert_never(event)


def _add_event(session: Session, event: Event, ends_job: str | None = None) -> None:
    body = EVENT.dump_json(event.model_copy(update={"seq": 0})).decode()
    job_id: str | None = getattr(event, "job_id", None)
    session.add(EventRow(job_id=job_id, type=event.type, ends_job=ends_job, body=body))
    session.flush()


def _end(session: Session, row: JobRow, event: End) -> None:
    """The one way out of the queue: the job's state and its terminal event together."""
    if row.state not in ACTIVE:
        raise OutOfTurn(f"job {row.id}: has ended ({row.state}), and cannot end again ({event.type}).")
    state: JobState = "finished" if isinstance(event, Answered) else event.type
    row.state, row.changed_s, row.cancel_asked = state, time.time(), False
    row.reason = event.reason if isinstance(event, (Failed, JobRejected)) else ""
    _add_event(session, event, ends_job=row.id)


_UNNUMBERED = '{"seq":0,'
"""How every stored event begins: its number is the row's, and is put in when it is read."""


def _numbered(body: str, seq: int) -> str:
    assert body.startswith(_UNNUMBERED), body[:40]
    return f'{{"seq":{seq},{body.removeprefix(_UNNUMBERED)}'
