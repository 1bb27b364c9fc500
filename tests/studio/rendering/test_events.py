"""Live events: every type of the contract is matched, and another one is an error of the program."""

from pathlib import Path
from typing import Any, get_args

import pytest

from engine.contract.assistants import CheckTextRequest
from engine.contract.events import TERMINAL, Answered, EngineEvent, Event, JobEvent
from studio.errors import DatabaseTrouble
from studio.rendering.engine import Engine
from studio.rendering.job_tracker import AssistantEvent
from studio.rendering.progress import LiveJobs, ProgressEvent
from tests.engine.factories import an_ask, wait_until
from tests.studio.factories import benched
from tests.studio.take_factories import a_take


class Verdict(JobEvent):
    """Of a type that the contract does not have."""

    type: str = "verdict"


def test_the_events_that_do_not_end_a_job_are_all_progress() -> None:
    kinds = set(get_args(get_args(Event)[0]))
    assert set(get_args(ProgressEvent)) == {kind for kind in kinds - set(TERMINAL) if not issubclass(kind, EngineEvent)}


def test_live_jobs_refuse_an_event_of_another_type() -> None:
    jobs, job = LiveJobs(), a_take("a").job
    jobs.put(job, (("p", "a"),))
    event: Any = Verdict(time_s=1.0, job_id=job.id)
    with pytest.raises(AssertionError):
        jobs.apply(event)


def test_the_job_tracker_refuses_an_event_of_another_type(tmp_path: Path) -> None:
    event: Any = Verdict(time_s=1.0, job_id="j")
    with benched(tmp_path) as bench, pytest.raises(AssertionError):
        bench.studio._tracker.handle_event(event, "workspace")


class Asker:
    """Keeps what comes for jobs that are no film's; its first answer finds the database locked."""

    def __init__(self) -> None:
        self.events: list[AssistantEvent] = []
        self.locked = True

    def assistant_event(self, event: AssistantEvent) -> None:
        if isinstance(event, Answered) and self.locked:
            self.locked = False
            raise DatabaseTrouble("locked")
        self.events.append(event)

    def settle(self, engine: Engine) -> None:
        pass


def test_answers_come_to_who_asked_and_disturb_no_film(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        tracker, asker = bench.studio._tracker, Asker()
        tracker.assistants = asker
        job = an_ask(CheckTextRequest(text="a boat"), "ask")
        tracker.ask(job)
        wait_until(lambda: any(isinstance(event, Answered) for event in asker.events), "the answer")
        bench.engine.fail_next("the guard is missing")
        tracker.ask(an_ask(CheckTextRequest(text="a boat"), "ask2"))
        wait_until(lambda: asker.events[-1].type == "failed", "the failure")
        assert {event.job_id for event in asker.events} == {"ask", "ask2"}
        assert tracker.live.of_project("p1") == [] and tracker._takes.live_jobs() == []
        last, name = asker.events[-1].seq, tracker._link.name
        wait_until(lambda: tracker._takes.cursor(name) == last, "the cursor")
