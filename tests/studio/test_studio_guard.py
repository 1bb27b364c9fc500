"""Prompts are judged before they reach the engine: what is refused, what waits, what follows where nobody answers."""

from pathlib import Path
from typing import Any

import pytest

from engine.contract.assistant_cards import AssistantStatus
from engine.contract.assistants import Finding
from engine.storage.workspace import Workspace
from studio.cli.flags import WRONG
from studio.cli.main import main
from studio.document.formats.yaml_file import to_text
from studio.document.storyboard import Scene, Storyboard
from studio.errors import FilmError, PlanError, PresetError
from studio.planning.presets import load_assistants, load_cards
from studio.services.assistants.settings import AssistantSettings, with_flags
from studio.services.identity import LOCAL_USER, Identity
from studio.studio import Studio
from studio.views.visitors import for_visitor
from tests.fake_endpoint import FakeEndpoint, texts_of
from tests.studio.factories import Bench, benched, states

GOOD = Scene(id="good", prompt="a red ball in a meadow", duration_s=1)
BAD = Scene(id="bad", prompt="a king is beheaded", duration_s=1)
AFTER = Scene(id="after", prompt="a blue ball in a meadow", duration_s=1, transition="continue")
SAFE, UNSAFE = "Safety: Safe\nCategories: None", "Safety: Unsafe\nCategories: Violent"


def settings(endpoint: FakeEndpoint | None = None, **guard: Any) -> AssistantSettings:
    where = {"use": endpoint.url, "model": "tiny-chat"} if endpoint else {}
    return AssistantSettings.model_validate({"guard": {**where, **guard}})


def submitted(bench: Bench) -> list[str]:
    return [job.scene_ids[0] for job in bench.engine.submitted]


def test_a_refused_scene_is_not_rendered_and_the_others_are(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(GOOD, BAD, AFTER)
        before = bench.studio.views.board(project.id)
        assert states(before) == ["missing", "unplannable", "unplannable"]
        assert before.scenes[1].reason == (
            'the guard (block list) refuses the prompt: "beheaded" (violence against persons). Say it in other words'
        )
        assert before.scenes[2].reason == "goes on from scene 2, which the guard refuses"
        assert before.render.text == "renders scene 1; scenes 2, 3 cannot be rendered"
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: not board.render.busy and board.scenes[0].state == "fresh")
        assert submitted(bench) == ["good"]
        with pytest.raises(PlanError, match="scene 2: the guard"):
            bench.studio.rendering.render(project.id, ["bad"])
        bench.reword(project.id, "bad", "a king is crowned")
        assert states(bench.rendered(project.id)) == ["fresh"] * 3


def test_every_text_is_judged_the_negative_ones_and_the_look_too(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        scenes = (
            GOOD.model_copy(update={"id": "a", "negative_prompt": "torture"}),
            GOOD.model_copy(update={"id": "b", "duration_s": 6.0, "chunk_prompts": ("it stops", "斩首")}),
        )
        board = bench.studio.views.board(bench.project(*scenes).id)
        assert "refuses the negative prompt" in board.scenes[0].reason
        assert "part" in board.scenes[1].reason and "斩首" in board.scenes[1].reason
        looked = bench.studio.views.board(bench.project(GOOD, look="like a snuff film").id)
        assert "snuff film" in looked.scenes[0].reason


def test_a_model_judges_in_the_background_and_once(tmp_path: Path, fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset(lambda body: UNSAFE if "blue" in texts_of(body) else SAFE, fault="slow", faults_left=0)
    with benched(tmp_path, assistants=settings(fake_endpoint)) as bench:
        project = bench.project(GOOD, AFTER)
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: not board.render.busy and board.scenes[0].state == "fresh")
        assert states(board) == ["fresh", "unplannable"] and submitted(bench) == ["good"]
        assert "tiny-chat" in board.scenes[1].reason and "violence" in board.scenes[1].reason
        num_asked = len(fake_endpoint.asked)
        bench.restart_studio()
        assert states(bench.studio.views.board(project.id)) == ["fresh", "unplannable"]
        assert len(fake_endpoint.asked) == num_asked, "verdicts are kept"


def test_what_waits_for_a_guard_survives_a_restart_and_can_be_stopped(
    tmp_path: Path, fake_endpoint: FakeEndpoint
) -> None:
    fake_endpoint.reset(SAFE, fault="slow")
    with benched(tmp_path, assistants=settings(fake_endpoint)) as bench:
        project = bench.project(GOOD)
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: board.scenes[0].state == "checking")
        assert board.render.busy and not bench.engine.submitted
        fake_endpoint.fault = ""
        bench.restart_studio()
        bench.until(project.id, lambda board: board.scenes[0].state == "fresh")
        assert submitted(bench) == ["good"]
        fake_endpoint.fault = "slow"
        bench.reword(project.id, "good", "a green ball")
        bench.studio.rendering.render(project.id)
        bench.studio.rendering.stop(project.id)
        assert bench.until(project.id, lambda board: not board.render.busy).scenes[0].state == "stale"
        fake_endpoint.go_on.set()
    assert submitted(bench) == ["good"]


@pytest.mark.parametrize("required", ["always", "auto"])
def test_a_guard_that_cannot_be_asked_is_closed_where_it_is_required_and_open_with_a_note_elsewhere(
    tmp_path: Path, fake_endpoint: FakeEndpoint, required: str
) -> None:
    fake_endpoint.reset("no idea")
    with benched(tmp_path, assistants=settings(fake_endpoint, required=required)) as bench:
        project = bench.project(GOOD)
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: board.scenes[0].state in ("failed", "fresh"))
        if required == "auto":
            assert board.scenes[0].take is not None and "no verdict" in board.scenes[0].take.guard.text
            return
        assert board.scenes[0].state == "failed" and not bench.engine.submitted
        assert "could not be asked" in board.scenes[0].reason and "this host demands a guard" in board.scenes[0].reason
        fake_endpoint.reset(SAFE)
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "fresh")


def test_a_licence_that_asks_for_a_guard(tmp_path: Path) -> None:
    name = "cosmos-predict2-2b-video2world-720p-16fps"
    assert [card.asks_for_guard for card in load_cards().values() if card.name.startswith("cosmos-")].count(False) == 0
    for use, state in (("off", "unplannable"), ("auto", "missing")):
        with benched(tmp_path / use, assistants=settings(use=use)) as bench:
            board = bench.studio.views.board(bench.project(GOOD, model=name).id)
            assert board.scenes[0].state == state
            assert ("asks for a guard" in board.scenes[0].reason) == (use == "off")
            assert not board.guard.can_switch and "asks for a guard" in board.guard.text
            other = bench.studio.views.board(bench.project(BAD).id)
            assert other.scenes[0].state == ("missing" if use == "off" else "unplannable")
    with benched(tmp_path / "never", assistants=settings(use="off", required="never")) as bench:
        assert bench.studio.views.board(bench.project(GOOD, model=name).id).scenes[0].state == "missing"


def test_the_author_may_switch_it_off_where_the_host_allows_it(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(BAD)
        assert bench.studio.views.board(project.id).guard.can_switch
        bench.studio.assistants.guards.switch(project.id, "diorama", on=False)
        board = bench.studio.views.board(project.id)
        assert not board.guard.on and board.scenes[0].state == "missing"
        bench.restart_studio()
        assert not bench.studio.views.board(project.id).guard.on
    with benched(tmp_path / "strict", assistants=settings(switch=False)) as bench:
        project = bench.project(BAD)
        assert not bench.studio.views.board(project.id).guard.can_switch
        with pytest.raises(PlanError, match="does not let"):
            bench.studio.assistants.guards.switch(project.id, "diorama", on=False)
    with pytest.raises(PresetError, match="does not let"):
        with_flags(settings(switch=False), {"guard": "off"})


GUARD, CLASSIFIER = "qwen3guard-gen-0.6b", "cosmos-frame-classifier"
VISITOR = Identity("guest")


def statuses(available: bool = True) -> list[AssistantStatus]:
    cards = load_assistants()
    fingerprint = "a" * 64 if available else ""
    return [
        AssistantStatus(card=cards[name], fingerprint=fingerprint, available=available) for name in (GUARD, CLASSIFIER)
    ]


def test_a_model_of_the_engine_judges_texts(tmp_path: Path) -> None:
    with benched(tmp_path, assistants=settings(use=GUARD)) as bench:
        bench.engine.assistant_statuses = statuses()
        project = bench.project(GOOD, Scene(id="odd", prompt="an unsafe bridge", duration_s=1))
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: not board.render.busy and board.scenes[0].state == "fresh")
        assert states(board) == ["fresh", "unplannable"] and GUARD in board.scenes[1].reason


@pytest.mark.parametrize("required", ["always", "auto"])
def test_a_guard_whose_weights_are_missing(tmp_path: Path, required: str) -> None:
    with benched(tmp_path, assistants=settings(use=GUARD, required=required)) as bench:
        bench.engine.assistant_statuses = statuses(available=False)
        project = bench.project(GOOD)
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: board.scenes[0].state in ("failed", "fresh"))
        assert board.scenes[0].state == ("failed" if required == "always" else "fresh")
        said = board.scenes[0].reason if required == "always" else board.scenes[0].takes[0].guard.text
        assert "Qwen3Guard" in said and "cannot be used" in said


@pytest.mark.parametrize("video", ["advise", "withhold"])
def test_what_a_classifier_sees_is_advice_or_withheld_from_visitors(tmp_path: Path, video: str) -> None:
    with benched(tmp_path, assistants=settings(video=video, video_model=CLASSIFIER)) as bench:
        bench.engine.assistant_statuses = statuses()
        bench.engine.sees = Finding(category="Violence", detail="seen in 3 of 8 frames", frame=2)
        project = bench.project(GOOD)
        bench.studio.rendering.render(project.id)
        board = bench.until(
            project.id, lambda board: any("violence" in take.guard.text for take in board.scenes[0].takes)
        )
        (take,) = board.scenes[0].takes
        media = bench.studio.projects.media_file
        assert media(project.id, take.media) is not None, "the owner of the machine sees it"
        if video == "advise":
            assert take.guard.state == "advised" and media(project.id, take.media, VISITOR) is not None
            bench.until(project.id, lambda board: board.film.up_to_date)
            return
        assert take.guard.state == "withheld"
        for file in (take.media, take.poster):
            with pytest.raises(PlanError, match="withholds"):
                media(project.id, str(file), VISITOR)
        seen = for_visitor(board).scenes[0]
        assert seen.takes[0].media == "" and seen.take is not None and seen.take.poster is None
        with pytest.raises(FilmError, match="scene 1: its take is withheld"):
            bench.studio.rendering.assemble(project.id)
        guards = bench.studio.assistants.guards
        with pytest.raises(PlanError, match="only the owner"):
            guards.release(VISITOR, take.media)
        guards.release(LOCAL_USER, take.media)
        bench.until(project.id, lambda board: board.film.up_to_date)
        assert media(project.id, take.media, VISITOR) is not None


def test_takes_that_could_not_be_judged_are_tried_again(tmp_path: Path) -> None:
    with benched(tmp_path, assistants=settings(video="withhold", video_model=CLASSIFIER, required="always")) as bench:
        project = bench.project(GOOD)
        bench.studio.rendering.render(project.id)
        board = bench.until(
            project.id, lambda board: any("could not look" in take.guard.text for take in board.scenes[0].takes)
        )
        assert board.scenes[0].takes[0].guard.state == "withheld", "this host demands a guard"
        bench.engine.assistant_statuses = statuses()
        bench.restart_studio()
        bench.until(project.id, lambda board: board.scenes[0].takes[0].guard.state == "" and board.film.up_to_date)


def test_refused_words_are_not_sent_to_a_refiner(tmp_path: Path, fake_endpoint: FakeEndpoint) -> None:
    refiner = {"use": fake_endpoint.url, "model": "tiny-chat"}
    with benched(tmp_path, assistants=AssistantSettings.model_validate({"refiner": refiner})) as bench:
        project = bench.project(BAD, model="cosmos-predict2-2b-video2world-720p-16fps")
        bench.studio.assistants.refiner.refine(project.id, ["bad"], False)
        board = bench.until(project.id, lambda board: bool(board.scenes[0].refinement.failure))
        assert "beheaded" in board.scenes[0].refinement.failure and not fake_endpoint.asked


def test_check_names_the_words_that_would_be_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(to_text(Storyboard(scenes=(GOOD, BAD))))
    assert main(["check", str(path), "--workspace", str(tmp_path / "workspace")]) == WRONG
    shown = capsys.readouterr().out
    assert 'error: scene 2: the guard (block list) refuses the prompt: "beheaded"' in shown
    assert "1 of 2 scenes cannot be rendered" in shown


def test_several_takes_wait_for_a_guard_too(tmp_path: Path, fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset(lambda body: UNSAFE if "green" in texts_of(body) else SAFE)
    with benched(tmp_path, assistants=settings(fake_endpoint)) as bench:
        project = bench.project(GOOD, Scene(id="green", prompt="a green ball", duration_s=1))
        bench.studio.rendering.render_takes(project.id, 2)
        board = bench.until(project.id, lambda board: len(board.scenes[0].takes) == 2 and not board.render.busy)
        assert board.scenes[1].state == "unplannable" and not board.scenes[1].takes
        assert bench.until(project.id, lambda board: not board.scenes[0].round_text)


def test_a_wrong_card_of_a_guard_is_a_failure_and_no_broken_page(tmp_path: Path) -> None:
    (tmp_path / "models" / "cards" / "assistants").mkdir(parents=True)
    (tmp_path / "models" / "cards" / "assistants" / "mine.yaml").write_text("title: 1\n")
    studio = Studio(Workspace.at(tmp_path / "workspace"), models_root=tmp_path / "models", examples=False)
    try:
        project = studio.projects.create(Storyboard(scenes=(GOOD, BAD)))
        assert states(studio.views.board(project.id)) == ["missing", "unplannable"]
        outcome = studio.assistants.guards.prompts.texts.ask(GOOD.prompt)
        assert outcome.kind == "failed" and "mine.yaml" in outcome.reason
    finally:
        studio.close()
