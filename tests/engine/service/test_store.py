"""The store: states and events move together, numbers grow, a job ends once, and nothing is lost by a restart."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sql_event
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from engine.contract.assistants import CheckTextRequest, CritiqueRequest, Verdict
from engine.contract.errors import Conflict, EngineError, Rejected
from engine.contract.events import (
    EVENT,
    TERMINAL,
    Answered,
    Event,
    Failed,
    Finished,
    JobCancelled,
    JobRejected,
    Preview,
    Step,
)
from engine.service import store as store_module
from engine.service.store import OutOfTurn, Store
from engine.service.tables import EventRow, JobRow, open_database
from tests.engine.factories import a_job, an_ask, types

JOB = a_job(job_id="j1")
ENDS: list[Event] = [
    Finished(time_s=1, job_id="j1", takes=()),
    Failed(time_s=1, job_id="j1", reason="no"),
    JobRejected(time_s=1, job_id="j1", code="weights", reason="no"),
    JobCancelled(time_s=1, job_id="j1"),
]
STEP = Step(time_s=1, job_id="j1", stage="denoise", step=1, num_steps=4, step_s=0.1, left_s=0.3, memory_bytes=1)


def open_store(folder: Path) -> Store:
    return Store(open_database(f"sqlite:///{folder / 'engine.db'}"), lambda: None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def events(store: Store) -> list[Event]:
    return [EVENT.validate_json(body) for _, body in store.events_after(0, limit=10_000)]


def test_the_same_job_again_is_the_same_job(store: Store) -> None:
    first, is_new = store.submit(JOB)
    again, is_new_again = store.submit(JOB)
    assert (is_new, is_new_again) == (True, False)
    assert first == again
    assert types(events(store)) == ["queued"]


def test_another_body_under_the_same_id_is_a_conflict(store: Store) -> None:
    store.submit(JOB)
    with pytest.raises(Conflict, match="j1"):
        store.submit(a_job("another prompt", job_id="j1"))
    assert [status.job for status in store.jobs()] == [JOB]


@pytest.mark.parametrize("first", ENDS, ids=types(ENDS))
@pytest.mark.parametrize("second", ENDS, ids=types(ENDS))
def test_a_job_ends_once(store: Store, first: Event, second: Event) -> None:
    store.submit(JOB)
    store.start("j1")
    store.record(first)
    with pytest.raises(OutOfTurn):
        store.record(second)
    assert store.job("j1").state == first.type
    assert types(events(store)) == ["queued", "started", first.type]


@pytest.mark.parametrize("state", ["unknown", "queued", "finished"])
def test_only_a_running_job_has_progress(store: Store, state: str) -> None:
    if state != "unknown":
        store.submit(JOB)
    if state == "finished":
        store.start("j1")
        store.record(ENDS[0])
    before = events(store)
    with pytest.raises(EngineError, match="j1"):
        store.record(STEP)
    assert events(store) == before


def test_the_database_itself_refuses_a_second_end(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'engine.db'}")
    with pytest.raises(IntegrityError), Session(database) as session, session.begin():
        for _ in range(2):
            session.add(EventRow(job_id="j1", type="finished", ends_job="j1", body="{}"))


@pytest.mark.parametrize(("position", "order"), [(0, "cabd"), (1, "acbd"), (2, "abcd"), (3, "abdc"), (99, "abdc")])
def test_moving(store: Store, position: int, order: str) -> None:
    for name in "abcd":
        store.submit(a_job(job_id=name))
    assert store.move("c", position).position == order.index("c")
    assert "".join(each.job.id for each in store.waiting()) == order
    assert [status.position for status in store.jobs()] == [0, 1, 2, 3]


def test_assistants_go_before_films_and_critiques_behind_them(store: Store) -> None:
    text, critique = CheckTextRequest(text="x"), CritiqueRequest(media="0" * 64)
    store.submit(a_job(job_id="film1"))
    store.ask(an_ask(text, "ask1"))
    store.ask(an_ask(critique, "critique"))
    store.ask(an_ask(text, "ask2"))
    store.submit(a_job(job_id="film2"))
    assert [each.job.id for each in store.waiting()] == ["ask1", "ask2", "film1", "critique", "film2"]
    assert [status.job.id for status in store.jobs()] == ["film1", "film2"], "studios that know films only read them"
    assert store.assistant_job("critique").position == 3
    with pytest.raises(Rejected, match="ask1"):
        store.job("ask1")


def test_an_answer_is_kept_with_its_job(store: Store) -> None:
    job = an_ask(CheckTextRequest(text="x"), "ask")
    assert store.ask(job)[1] and not store.ask(job)[1]
    store.start("ask")
    store.record(Answered(time_s=1, job_id="ask", answer=Verdict(safe=True, source="scribe")))
    status = store.assistant_job("ask")
    assert (status.job, status.state, status.answer) == (job, "finished", Verdict(safe=True, source="scribe"))


def test_only_waiting_jobs_move(store: Store) -> None:
    store.submit(JOB)
    store.start("j1")
    with pytest.raises(Rejected, match="running"):
        store.move("j1", 0)


def test_cancelling_a_waiting_job_ends_it_at_once(store: Store) -> None:
    store.submit(JOB)
    assert store.cancel("j1").state == "cancelled"
    assert types(events(store)) == ["queued", "cancelled"]


def test_cancelling_a_running_job_is_a_wish(store: Store) -> None:
    store.submit(JOB)
    store.start("j1")
    assert store.cancel("j1").state == "running"
    assert store.cancel_asked("j1")


def test_cancelling_an_ended_job_changes_nothing(store: Store) -> None:
    store.submit(JOB)
    store.start("j1")
    store.record(ENDS[0])
    assert store.cancel("j1").state == "finished"
    assert types(events(store)) == ["queued", "started", "finished"]


def test_a_job_that_was_cancelled_is_not_tried_again(store: Store) -> None:
    store.submit(JOB)
    store.start("j1")
    store.cancel("j1")
    assert not store.interrupt("j1", "the group died")
    assert types(events(store)) == ["queued", "started", "interrupted", "cancelled"]


def test_three_deaths_and_no_more(store: Store) -> None:
    store.submit(JOB)
    again = []
    while store.start("j1"):
        again.append(store.interrupt("j1", "signal 9"))
    assert again == [True, True, False]
    assert types(events(store)) == ["queued"] + ["started", "interrupted"] * 3 + ["failed"]
    assert "signal 9" in store.job("j1").reason


def test_a_clean_stop_costs_no_attempt(store: Store) -> None:
    store.submit(JOB)
    for _ in range(store_module.MAX_FAILURES + 2):
        store.start("j1")
        assert store.interrupt("j1", "stopped", counts=False)
    assert store.job("j1").state == "queued"


def test_an_interrupted_job_is_the_next(store: Store) -> None:
    for name in "abc":
        store.submit(a_job(job_id=name))
    store.move("c", 0)
    store.start("c")
    store.interrupt("c", "died")
    assert [each.job.id for each in store.waiting()] == ["c", "a", "b"]


def test_all_comes_back_after_a_restart(tmp_path: Path) -> None:
    before = open_store(tmp_path)
    for name in "abc":
        before.submit(a_job(job_id=name))
    before.move("c", 0)
    before.start("c")
    before.set_paused(True)
    seen = events(before)
    after = open_store(tmp_path)
    after.recover("the engine ended")
    assert after.paused()
    assert [(each.job.id, each.failures) for each in after.waiting()] == [("c", 1), ("a", 0), ("b", 0)]
    assert events(after)[: len(seen)] == seen
    assert types(events(after)[len(seen) :]) == ["interrupted"]


def test_old_steps_go_and_their_numbers_never_come_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.submit(JOB)
    store.start("j1")
    store.record(STEP, Preview(time_s=1, job_id="j1", step=1))
    store.record(Failed(time_s=1, job_id="j1", reason="no"))
    newest = store.last_seq()
    store.prune()
    assert store.last_seq() == newest, "an ended job keeps its steps for a while, for readers that lag behind"
    with Session(store._database) as session, session.begin():
        session.get_one(JobRow, "j1").changed_s -= store_module.KEEP_STEPS_S + 1
    store.prune()
    assert types(events(store)) == ["queued", "started", "failed"]
    again = open_store(tmp_path)
    again.submit(a_job(job_id="j2"))
    assert again.last_seq() == newest + 1


def test_a_full_disk_leaves_no_half_change(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'engine.db'}")
    store = Store(database, lambda: None)
    store.submit(JOB)
    with database.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    sql_event.listen(database, "checkout", lambda raw, *_: raw.execute(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(OperationalError, match="full"):
        for number in range(200):
            store.submit(a_job(f"{number} " * 2000, job_id=f"big{number}"))
    queued = [event.job_id for event in events(store)]
    assert sorted(queued) == sorted(status.job.id for status in store.jobs())


OPERATIONS = ["submit", "start", "step", "finish", "fail", "interrupt", "cancel", "move", "restart"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.sampled_from("abc")), max_size=25))
def test_whatever_happens_states_and_events_agree(tmp_path_factory: pytest.TempPathFactory, story: list) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = open_store(folder)
    for what, job_id in story:
        if what == "restart":
            store = open_store(folder)
            store.recover("restart")
        else:
            act(store, what, job_id)
    check(store)


def act(store: Store, what: str, job_id: str) -> None:
    actions = {
        "submit": lambda: store.submit(a_job(job_id=job_id)),
        "start": lambda: store.start(job_id),
        "step": lambda: store.record(STEP.model_copy(update={"job_id": job_id})),
        "finish": lambda: store.record(Finished(time_s=1, job_id=job_id, takes=())),
        "fail": lambda: store.record(Failed(time_s=1, job_id=job_id, reason="no")),
        "interrupt": lambda: store.interrupt(job_id, "died"),
        "cancel": lambda: store.cancel(job_id),
        "move": lambda: store.move(job_id, 1),
    }
    try:
        actions[what]()
    except (Rejected, OutOfTurn):
        return  # refused: and so nothing may have changed, which check() sees


def check(store: Store) -> None:
    happened = events(store)
    numbers = [event.seq for event in happened]
    assert numbers == sorted(set(numbers))
    for status in store.jobs():
        own = [event for event in happened if getattr(event, "job_id", "") == status.job.id]
        ended = [event.type for event in own if isinstance(event, TERMINAL)]
        assert own[0].type == "queued" and types(own).count("queued") == 1
        assert ended == ([status.state] if status.state not in ("queued", "running") else [])
        assert status.attempt == types(own).count("started")
