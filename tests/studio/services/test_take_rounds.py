"""Several takes of a scene at once: their jobs, their scores, and which one is shown."""

from pathlib import Path

import pytest

from engine.contract.assistant_cards import AssistantStatus
from engine.contract.assistants import Critique, CritiqueRequest
from engine.contract.jobs import FromTake
from studio.document.edits import ChangeScene, ChooseTake
from studio.document.storyboard import Scene
from studio.errors import PlanError
from studio.library.critiques import BUILT_IN, CritiqueRepository
from studio.library.database import Database
from studio.library.takes import StoredTake
from studio.planning.presets import load_assistants
from studio.services.assistants.settings import AssistantSetting, AssistantSettings
from studio.services.take_rounds import best_seed, seeds_from
from studio.views.types import BoardView
from tests.fake_endpoint import FakeEndpoint
from tests.studio.factories import Bench, benched, states
from tests.studio.take_factories import a_take

ONE = Scene(id="a", prompt="a red ball in a meadow", duration_s=1)


def made(bench: Bench, project_id: str, num_takes: int, scene_ids: list[str] | None = None) -> BoardView:
    bench.studio.rendering.render_takes(project_id, num_takes, scene_ids)
    return bench.until(project_id, lambda board: not board.render.busy)


def test_every_seed_is_a_job_and_the_best_take_is_shown_also_after_a_restart(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        card = made(bench, project.id, 3).scenes[0]
        assert card.state == "fresh" and card.round_text == ""
        assert len({take.seed for take in card.takes}) == len(bench.engine.submitted) == 3
        assert all(
            take.critique and take.critique.source == "built in" and take.critique.reasons for take in card.takes
        )
        best = next(take for take in card.takes if take.rank == 1)
        assert sorted(take.rank or 0 for take in card.takes) == [1, 2, 3]
        assert card.take is not None and card.take.matches
        scores = [take.critique.score for take in card.takes if take.critique]
        assert card.take == best and best.critique and best.critique.score == pytest.approx(max(scores), abs=0.05)
        assert bench.studio.projects.open(project.id).storyboard.scenes[0].chosen_take is None
        assert not bench.studio.projects.open(project.id).can_undo
        bench.restart_studio()
        assert bench.studio.views.board(project.id).scenes[0].takes == card.takes


def test_the_authors_choice_stays(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        take = bench.rendered(project.id).scenes[0].take
        assert take is not None
        bench.edit(project.id, ChooseTake(scene_id="a", take_id=take.id, seed=take.seed))
        card = made(bench, project.id, 3).scenes[0]
        assert len(card.takes) == 3
        assert card.take is not None and card.take.id == take.id
        assert bench.studio.projects.open(project.id).storyboard.scenes[0].chosen_take == take.id


def test_a_scene_that_continues_waits_for_the_best_take_before_it(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        board = made(bench, project.id, 2)
        assert states(board) == ["fresh"] * 3 and [len(card.takes) for card in board.scenes] == [2, 2, 2]
        shown = board.scenes[0].take
        starts = {job.conditioning.recipe for job in bench.engine.submitted if isinstance(job.conditioning, FromTake)}
        assert shown is not None and starts == {shown.recipe}


def test_the_same_takes_are_not_made_twice(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        first = bench.studio.projects.open(project.id).storyboard
        made(bench, project.id, 2)
        other = bench.studio.projects.create(first).id
        card = made(bench, other, 2).scenes[0]
        assert len(card.takes) == len(bench.engine.submitted) == 2


def test_a_job_that_fails_leaves_the_others(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.fail_next("no more memory")
        card = made(bench, project.id, 3).scenes[0]
        assert card.state == "fresh" and len(card.takes) == 2


def test_stop_ends_the_round_and_keeps_what_is_there(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render_takes(project.id, 3)
        card = bench.until(project.id, lambda board: board.scenes[0].state == "rendering").scenes[0]
        assert card.round_text == card.reason == "0 of 3 takes"
        bench.studio.rendering.stop(project.id)
        bench.engine.release()
        board = bench.until(project.id, lambda board: not board.render.busy)
        assert board.scenes[0].state == "missing"


def test_a_critic_in_the_engine_is_asked_about_every_take(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        name = "cosmos-reason1-7b"
        status = AssistantStatus(card=load_assistants()[name], fingerprint="e" * 64, available=True)
        bench.engine.assistant_statuses = [status]
        bench.studio.assistants.host.settings = AssistantSettings(critic=AssistantSetting(use=name))
        card = made(bench, bench.project(ONE).id, 2).scenes[0]
        assert [take.critique.source for take in card.takes if take.critique] == [name] * 2
        asked = [status.job.request for status in bench.engine.asked.values()]
        assert all(isinstance(request, CritiqueRequest) and request.prompt == ONE.prompt for request in asked)
        assert {take.media for take in card.takes} == {status.job.media for status in bench.engine.asked.values()}


def test_a_model_counts_more_than_the_built_in_critic_whoever_is_first(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        [take] = bench.rendered(project.id).scenes[0].takes
        critiques = CritiqueRepository(Database.file(bench.workspace.studio_database))
        for source in ("cosmos-reason1-7b", BUILT_IN):
            critiques.keep(take.id, Critique(score=0.5, source=source))
        assert critiques.of_project(project.id)[take.id].critique.source == "cosmos-reason1-7b"


def test_a_seed_that_is_written_meanwhile_stays(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render_takes(project.id, 2)
        bench.edit(project.id, ChangeScene(scene_id="a", field="seed", value=5))
        bench.engine.release()
        board = bench.until(project.id, lambda board: not board.render.busy)
        assert board.scenes[0].seed == 5 and len(board.scenes[0].takes) == 2


def test_a_number_that_is_none_and_an_empty_prompt_are_refused(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(Scene(id="a", prompt=" "))
        with pytest.raises(PlanError, match="1 to 64"):
            bench.studio.rendering.render_takes(project.id, 0)
        with pytest.raises(PlanError, match="has no prompt"):
            bench.studio.rendering.render_takes(project.id, 2)
        assert not bench.studio.views.board(project.id).render.busy


def test_a_critic_behind_an_endpoint_decides_and_one_that_fails_decides_nothing(
    tmp_path: Path, fake_endpoint: FakeEndpoint
) -> None:
    with benched(tmp_path) as bench:
        use = AssistantSetting(use=fake_endpoint.url)
        bench.studio.assistants.host.settings = AssistantSettings(critic=use)
        project = bench.project(ONE)
        answers = ["<answer>Yes</answer>"] * 5 + ["<answer>No</answer>"] * 5
        fake_endpoint.answer = lambda body: answers[len(fake_endpoint.asked) - 1]
        card = made(bench, project.id, 2).scenes[0]
        assert sorted(take.critique.score for take in card.takes if take.critique) == [0, 1]
        assert card.take and card.take.critique and card.take.critique.score == 1 and card.take.rank == 1
        assert all(take.critique and take.critique.source != "built in" for take in card.takes)
        seed = card.take.seed
        fake_endpoint.reset(fault="html")
        card = made(bench, project.id, 3).scenes[0]
        assert len(card.takes) == 4 and card.take and card.take.seed == seed


def test_seeds_follow_from_the_scenes_own() -> None:
    assert list(seeds_from(7, 3))[0] == 7
    assert len(set(seeds_from(7, 64))) == 64
    assert list(seeds_from(7, 3)) == list(seeds_from(7, 4))[:3]


def test_the_best_seed_is_the_best_mean_over_all_scenes() -> None:
    takes = {name: StoredTake(a_take(name), None, 0) for name in ("1a", "1b", "2a", "2b", "3a")}
    recipes = {seed: {scene: f"{seed}{scene}" for scene in "ab"} for seed in (1, 2, 3)}
    scores = {"1a": 0.2, "1b": 0.9, "2a": 0.6, "2b": 0.6, "3a": 1.0}
    assert best_seed(recipes, takes, {takes[name].take.id: score for name, score in scores.items()}) == 2
    assert best_seed(recipes, {}, {}) is None
