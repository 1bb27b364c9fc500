"""An assistant on two real ranks: one answers, the other waits, and films go on between its answers."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from engine.contract import wire
from engine.contract.assistants import AssistantJob, CheckTextRequest, CritiqueRequest, RefineRequest
from engine.contract.events import (
    TERMINAL,
    Answered,
    EngineEvent,
    Event,
    Failed,
    Finished,
    JobCancelled,
    JobEvent,
    JobRejected,
    Stage,
    Step,
)
from engine.models.assistants.chat import ChatAssistant
from engine.runtime.link import ControlFlags
from engine.runtime.loop import run_job
from engine.runtime.memory.model_cache import ModelCache, assistant_key
from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RankContext
from engine.storage.card_files import fingerprint
from engine.storage.hashes import FileHashes
from engine.storage.media import MediaStore
from engine.storage.workspace import Workspace
from tests.engine.factories import an_ask
from tests.engine.models.assistants import tiny
from tests.engine.models.assistants.conftest import Media
from tests.engine.runtime.group import Group, tiny_job


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    root = tmp_path_factory.mktemp("assistant-ranks")
    tiny.write_vision_chat(root / "models/seer")
    (root / "assistants").mkdir()
    card = tiny.card(root, "seer", "vision_chat", ["refiner", "critic"])
    (root / "assistants/seer.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json")))
    with Group(root, 2) as group:
        yield group


def ask(group: Group, request: RefineRequest | CritiqueRequest | CheckTextRequest, job_id: str) -> AssistantJob:
    card = tiny.card(group.root, "seer", "vision_chat", ["refiner", "critic"])
    return an_ask(request, job_id, model="seer", weights=fingerprint(card, group.root / "models", FileHashes()))


def stages(events: list[Event]) -> list[str]:
    return [event.stage for event in events if isinstance(event, Stage)]


def test_an_assistant_between_films(group: Group, media: Media) -> None:
    refine = RefineRequest(prompt="a boat", model="tiny", seed=1)
    answers: list[Event] = []
    for number, expected in enumerate((["load", "write"], ["write"])):
        group.send(wire.RunAssistant(job=ask(group, refine, f"ask{number}"), attempt=1))
        seen = group.until_end()
        assert isinstance(seen[-1], Answered) and stages(seen) == expected, "it stays loaded"
        assert any(isinstance(event, Step) and event.num_steps == 512 for event in seen)
        answers.append(seen[-1])
    assert answers[0].answer == answers[1].answer
    assert isinstance(group.run(tiny_job(group.root))[-1], Finished)
    clip = MediaStore(Workspace.at(group.workspace).media).put_file(media.folder / Media.CLIP)
    group.send(wire.RunAssistant(job=ask(group, CritiqueRequest(media=clip, num_trials=100), "long"), attempt=1))
    while not isinstance(group.next_event(), Step):
        pass
    group.send(wire.CancelJob(job_id="long"))
    assert isinstance(group.until_end()[-1], JobCancelled)
    group.send(wire.RunAssistant(job=ask(group, CheckTextRequest(text="x"), "wrong"), attempt=1))
    refused = group.until_end()[-1]
    assert isinstance(refused, JobRejected) and refused.code == "model" and "seer" in refused.reason
    other = ask(group, refine, "other").model_copy(update={"weights": "0" * 64})
    group.send(wire.RunAssistant(job=other, attempt=1))
    changed = group.until_end()[-1]
    assert isinstance(changed, JobRejected) and changed.code == "weights"


def test_a_fault_of_a_models_code_ends_the_request_alone(group: Group, tmp_path: Path) -> None:
    """A tokenizer that is none, in this process."""
    ranks = Ranks(0, 1, torch.device("cpu"))
    models = ModelCache(ranks, group.root / "cards", group.root / "models")
    workspace, sent = Workspace.at(tmp_path), list[JobEvent | EngineEvent]()
    context = RankContext(ranks, models, workspace, sent.append, ControlFlags())
    job = ask(group, RefineRequest(prompt="a boat", model="tiny"), "ask")
    run_job(job, context)
    assistant = models.assistant(assistant_key(job))
    assert isinstance(assistant, ChatAssistant)
    assistant.chat.tokenizer = None
    run_job(job, context)
    assert [event.type for event in sent if isinstance(event, TERMINAL)] == ["answered", "failed"]
    assert isinstance(sent[-1], Failed) and "seer: failed at this request (AttributeError" in sent[-1].reason


def test_its_memory_is_counted_and_freed(group: Group, tmp_path: Path) -> None:
    """In this process: a film model that needs the room sends the assistant away."""
    ranks = Ranks(0, 1, torch.device("cpu"))
    models = ModelCache(ranks, group.root / "cards", group.root / "models", budget_bytes=10**6)
    context = RankContext(ranks, models, Workspace.at(tmp_path), lambda event: None, ControlFlags())
    job = ask(group, RefineRequest(prompt="a boat", model="tiny"), "ask")
    run_job(job, context)
    key = assistant_key(job)
    assert models.holds(key) and models._kept[key].num_bytes > 10**5
    network = weakref.ref(models._kept[key].components[0])
    models._budget_bytes = 1
    run_job(tiny_job(group.root, num_steps=1), context)
    gc.collect()
    assert not models.holds(key) and network() is None
