"""Assistants' jobs in the engine's queue: answers, deaths and cancels, with the fake group in a process of its own."""

from engine.client.client import EngineClient
from engine.contract.assistants import CheckTextRequest, CritiqueRequest, Refinement, RefineRequest, Verdict
from engine.contract.events import Answered, JobCancelled, JobRejected
from engine.service.dispatcher import protocol_violation
from engine.service.takes import Takes
from engine.storage.workspace import Workspace
from tests.engine.factories import a_job, an_ask, events_of, milestones


def test_an_assistant_answers_in_the_same_queue(shared: EngineClient) -> None:
    refine, critique = RefineRequest(prompt="a boat", model="diorama"), CritiqueRequest(media="3" * 64)
    asked = an_ask(refine, "ask-boat")
    shared.ask(asked)
    end = events_of(shared, asked.id)[-1]
    assert isinstance(end, Answered) and isinstance(end.answer, Refinement)
    assert end.answer.text.startswith("a boat, ") and shared.assistant_job(asked.id).answer == end.answer
    shared.ask(an_ask(critique, "ask-lost"))
    lost = events_of(shared, "ask-lost")
    assert milestones(lost) == ["queued", "rejected"] and isinstance(lost[-1], JobRejected)
    assert lost[-1].code == "media" and "Send the file" in lost[-1].reason


def test_a_group_that_dies_under_an_assistant_is_tried_again_and_a_cancel_heeded(shared: EngineClient) -> None:
    shared.ask(an_ask(CheckTextRequest(text="die at step 1 on attempt 1"), "ask-dead"))
    assert milestones(events_of(shared, "ask-dead")) == ["queued", "started", "interrupted", "started", "answered"]
    shared.ask(an_ask(CheckTextRequest(text="0.3 s per step"), "ask-slow"))
    shared.cancel_assistant_job("ask-slow")
    assert isinstance(events_of(shared, "ask-slow")[-1], JobCancelled)


def test_an_answer_of_another_kind_is_a_fault_of_the_ranks(workspace: Workspace) -> None:
    answer = Answered(time_s=1, job_id="mine", answer=Verdict(safe=True, source="scribe"))
    for asked in (a_job(job_id="mine"), an_ask(RefineRequest(prompt="a boat", model="diorama"), "mine")):
        violation = protocol_violation(asked, answer, Takes(workspace))
        assert violation == "rank 0 answered job mine with a verdict, for which it was not asked."
