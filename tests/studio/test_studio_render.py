"""From words to a film over a studio and an engine in this process: what is shown meanwhile, and what goes wrong."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract.jobs import FromTake
from engine.storage.workspace import Workspace
from studio.document.edits import AddScene, ChangeScene, ChangeStoryboard, ChooseTake, DeleteScene
from studio.document.formats.yaml_file import from_text
from studio.document.storyboard import Scene
from studio.errors import FilmError, PlanError
from studio.film.assembly import Assembly, FilmSource
from studio.film.film import read_film_metadata
from studio.library.database import Database
from studio.library.takes import KnownJob, TakeRepository
from tests.studio.factories import benched, states

ONE = Scene(id="a", prompt="a red ball in a meadow", duration_s=1)


def test_three_scenes_become_a_film(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        before = bench.studio.views.board(project.id)
        assert states(before) == ["missing"] * 3
        assert before.render.text == "renders all scenes"
        assert before.render.estimate_text == "not measured yet"
        board = bench.rendered(project.id)
        assert states(board) == ["fresh"] * 3
        assert board.film.media is not None and board.film.duration_s == 3.0
        assert all(card.take and card.take.poster and card.take.chosen and card.take.matches for card in board.scenes)
        assert board.render.text == "nothing to render: every scene is fresh"
        path = bench.studio.rendering.film_path(project.id)
        assert path is not None
        metadata = read_film_metadata(path)
        assert from_text(metadata["storyboard"]) == bench.studio.projects.open(project.id).storyboard
        assert [take["recipe"] for take in metadata["takes"]] == [
            card.take.recipe for card in board.scenes if card.take
        ]


def test_jobs_go_in_the_order_of_the_story_and_continue_the_take_before(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        bench.rendered(bench.project().id)
        jobs = bench.engine.submitted
        assert [job.scene_ids for job in jobs] == [("a",), ("b",), ("c",)]
        assert jobs[1].conditioning == FromTake(recipe=jobs[0].recipe, num_frames=5)


def test_steps_and_previews_are_seen_as_they_come(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        waiting = bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        assert waiting.render.busy and waiting.scenes[0].preview is None
        bench.engine.hold(at_step=10)
        board = bench.until(project.id, lambda board: board.scenes[0].preview is not None)
        card = board.scenes[0]
        assert card.progress is not None and 0 < card.progress.step <= card.progress.num_steps == 20
        assert card.job_id is not None and card.preview is not None and card.preview.startswith(card.job_id)
        picture = bench.studio.rendering.preview(project.id, card.job_id)
        assert picture is not None and picture[8:12] == b"WEBP"
        other = bench.project(ONE)
        assert bench.studio.rendering.preview(other.id, card.job_id) is None
        bench.engine.release()
        after = bench.until(project.id, lambda board: board.scenes[0].state == "fresh")
        assert after.scenes[0].progress is None and after.version > board.version


def test_what_is_rendered_is_not_rendered_again(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        bench.rendered(project.id)
        assert bench.studio.rendering.render(project.id) == []
        assert len(bench.engine.submitted) == 3


def test_a_changed_scene_and_what_continues_from_it_are_rendered_alone(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        old_film = bench.rendered(project.id).film.media
        bench.reword(project.id, "a", "a green ball in a meadow")
        board = bench.studio.views.board(project.id)
        assert states(board) == ["stale", "stale", "fresh"]
        assert board.render.why == ("scene 1: prompt changed", "scene 2: continues scene 1, which is stale")
        assert board.film.stale == (1, 2) and not board.film.up_to_date and board.film.media == old_film
        assert board.render.estimate_s is not None
        board = bench.rendered(project.id)
        assert len(bench.engine.submitted) == 5
        assert [len(card.takes) for card in board.scenes] == [2, 2, 1]
        assert board.film.media != old_film


def test_undo_brings_the_take_back_without_rendering(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        film = bench.rendered(project.id).film.media
        bench.reword(project.id, "a", "a green ball in a meadow")
        bench.rendered(project.id)
        bench.studio.projects.undo(project.id)
        assert states(bench.studio.views.board(project.id)) == ["fresh"] * 3
        assert bench.studio.rendering.render(project.id) == []
        board = bench.until(project.id, lambda board: board.film.up_to_date)
        assert board.film.media == film


def test_a_take_that_arrives_is_not_undone(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.rendered(project.id)
        assert not bench.studio.projects.open(project.id).can_undo
        bench.studio.projects.undo(project.id)
        assert bench.studio.views.board(project.id).scenes[0].take is not None


def test_a_new_scene_does_not_inherit_the_take_of_one_that_is_gone(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(Scene(id="scene-1", prompt="a red ball in a meadow", duration_s=1))
        bench.rendered(project.id)
        bench.edit(project.id, DeleteScene(scene_id="scene-1"))
        bench.edit(project.id, AddScene(prompt="a red ball in a meadow, too"))
        (card,) = bench.studio.views.board(project.id).scenes
        assert card.id != "scene-1" and card.state == "missing" and not card.takes


def test_an_older_take_can_be_chosen_and_left_again(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        first = bench.rendered(project.id).scenes[0].take
        bench.reword(project.id, "a", "a green ball in a meadow")
        second = bench.rendered(project.id).scenes[0].take
        assert first and second and first.id != second.id
        bench.edit(project.id, ChooseTake(scene_id="a", take_id=first.id))
        board = bench.studio.views.board(project.id)
        assert board.scenes[0].take and board.scenes[0].take.id == first.id
        assert board.scenes[0].state == "stale" and "chosen take" in board.scenes[0].reason
        assert board.render.num_scenes == 1
        assert bench.studio.rendering.render(project.id) == []
        board = bench.until(project.id, lambda board: board.film.up_to_date)
        assert board.scenes[0].take and board.scenes[0].take.id == second.id


def test_another_take_of_one_scene(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        bench.rendered(project.id)
        bench.studio.rendering.render_again(project.id, "c")
        board = bench.until(project.id, lambda board: len(board.scenes[2].takes) == 2)
        newest, older = board.scenes[2].takes
        assert newest.chosen and not older.chosen and newest.seed == board.scenes[2].seed != older.seed
        assert bench.studio.projects.open(project.id).can_undo


def test_only_the_scenes_asked_for_and_what_they_continue_from(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        assert len(bench.studio.rendering.render(project.id, ["b"])) == 2
        board = bench.until(project.id, lambda board: not board.render.busy)
        assert states(board) == ["fresh", "fresh", "missing"]
        assert board.film.media is None and board.film.missing == (3,)


def test_a_failed_job_says_why_and_can_be_rendered_again(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.fail_next("out of memory: choose a smaller size.")
        first = bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: board.scenes[0].state == "failed")
        assert board.scenes[0].reason == "out of memory: choose a smaller size."
        assert not board.render.busy and board.render.can_render
        second = bench.studio.rendering.render(project.id)
        assert second == [f"{first[0]}.1"]
        assert states(bench.until(project.id, lambda board: board.film.up_to_date)) == ["fresh"]


def test_what_continues_a_failed_scene_says_so_and_the_rest_goes_on(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        bench.engine.fail_next("broken")
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: not board.render.busy)
        assert states(board) == ["failed", "failed", "fresh"]
        assert "continues is not there" in board.scenes[1].reason


def test_a_group_that_dies_under_a_job_is_shown_and_the_film_comes(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.interrupt_next("rank 0 was killed (signal 9)")
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.engine.release()
        assert states(bench.until(project.id, lambda board: board.film.up_to_date)) == ["fresh"]


def test_stop_mid_step_and_render_again(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        bench.engine.hold()
        ids = bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        assert set(bench.studio.rendering.stop(project.id)) == set(ids)
        board = bench.until(project.id, lambda board: not board.render.busy)
        assert states(board) == ["missing"] * 3
        bench.engine.release()
        again = bench.studio.rendering.render(project.id)
        assert again == [f"{job_id}.1" for job_id in ids]
        bench.until(project.id, lambda board: board.film.up_to_date)


def test_what_is_stopped_and_wanted_again_before_it_ended_is_rendered(tmp_path: Path) -> None:
    """A step of a large model takes long: until its end the engine works on a job that nobody wants any more."""
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold(deaf=True)
        ids = bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        bench.studio.rendering.stop(project.id)
        assert bench.studio.rendering.render(project.id) == [f"{ids[0]}.1"]
        assert bench.studio.rendering.render(project.id) == [f"{ids[0]}.1"], "this one is waited for"
        bench.engine.release()
        bench.until(project.id, lambda board: board.film.up_to_date)


class LateShelf(TakeRepository):
    """Its first answer about a recipe's jobs is old when it comes: something happened ``meanwhile``."""

    def __init__(self, database: Database, meanwhile: Callable[[], None]) -> None:
        super().__init__(database)
        self.meanwhile: Callable[[], None] | None = meanwhile

    def jobs_of_recipe(self, recipe: str) -> list[KnownJob]:
        found = super().jobs_of_recipe(recipe)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return found


def test_a_job_that_ends_while_another_project_joins_it_is_not_waited_for(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        first, second = bench.project(ONE), bench.project(ONE)
        bench.engine.hold()
        ids = bench.studio.rendering.render(first.id)
        bench.until(first.id, lambda board: board.scenes[0].state == "rendering")

        def stop() -> None:
            bench.studio.rendering.stop(first.id)
            bench.until(first.id, lambda board: not board.render.busy)

        bench.studio._tracker._takes = LateShelf(bench.studio._database, stop)
        assert bench.studio.rendering.render(second.id) != ids
        bench.engine.release()
        bench.until(second.id, lambda board: board.film.up_to_date)


def test_a_scene_changed_while_it_renders(tmp_path: Path) -> None:
    """The take of the words before arrives and is shown; rendering again stops what nobody wants any more."""
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        bench.reword(project.id, "a", "a blue ball")
        assert "words before" in bench.studio.views.board(project.id).scenes[0].reason
        bench.engine.release()
        board = bench.until(project.id, lambda board: not board.render.busy)
        assert states(board) == ["stale"] and board.scenes[0].take is not None
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.reword(project.id, "a", "a purple ball")
        bench.studio.rendering.render(project.id)
        bench.engine.release()
        bench.until(project.id, lambda board: board.film.up_to_date)
        assert len(bench.studio.views.board(project.id).scenes[0].takes) == 2


def test_two_projects_that_ask_for_the_same_pixels_share_one_job(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        first, second = bench.project(ONE), bench.project(ONE)
        bench.engine.hold()
        assert bench.studio.rendering.render(first.id) == bench.studio.rendering.render(second.id)
        bench.studio.rendering.stop(first.id)
        bench.engine.release()
        bench.until(second.id, lambda board: board.film.up_to_date)
        assert len(bench.engine.submitted) == 1
        third = bench.project(ONE)
        assert states(bench.studio.views.board(third.id)) == ["fresh"]


def test_a_scene_that_waits_no_more_is_left_alone_by_a_take_of_its_old_words(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.studio.rendering.stop(project.id)
        bench.until(project.id, lambda board: not board.render.busy)
        bench.engine.release()
        bench.reword(project.id, "a", "a green ball")
        bench.rendered(project.id)
        bench.rendered(bench.project(ONE, title="Other").id)
        assert len(bench.studio.views.board(project.id).scenes[0].takes) == 1


def test_a_duplicate_has_the_same_takes(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.rendered(project.id)
        copy = bench.studio.projects.duplicate(project.id)
        board = bench.studio.views.board(copy.id)
        assert copy.id != project.id and board.title == "Test (copy)" and states(board) == ["fresh"]
        take = board.scenes[0].take
        assert take is not None and bench.studio.projects.media_path(copy.id, take.media) is not None


def test_scenes_that_cannot_be_rendered_do_not_hold_the_others_up(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE, Scene(id="b", prompt=" "))
        board = bench.studio.views.board(project.id)
        assert states(board) == ["missing", "unplannable"] and "no prompt" in board.scenes[1].reason
        assert board.render.text == "renders scene 1; scene 2 cannot be rendered"
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: states(board) == ["fresh", "unplannable"])
        with pytest.raises(PlanError, match="scene 2: has no prompt"):
            bench.studio.rendering.render(project.id)
        with pytest.raises(FilmError, match="scene 2: not rendered yet"):
            bench.studio.rendering.assemble(project.id)


@pytest.mark.parametrize("field", ["model", "preset"])
def test_an_unknown_model_or_preset_is_said_on_the_board(field: str, tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.edit(project.id, ChangeStoryboard(field=field, value="no-such"))
        board = bench.studio.views.board(project.id)
        assert "no-such" in board.problem and states(board) == ["unplannable"] and not board.render.can_render
        with pytest.raises(PlanError, match="no-such"):
            bench.studio.rendering.render(project.id)


def test_a_new_join_needs_a_new_film_and_no_take(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE, Scene(id="b", prompt="a blue car", duration_s=1))
        bench.rendered(project.id)
        bench.edit(project.id, ChangeScene(scene_id="b", field="transition", value="crossfade"))
        board = bench.studio.views.board(project.id)
        assert states(board) == ["fresh", "fresh"] and not board.film.up_to_date
        assert bench.studio.rendering.render(project.id) == []
        board = bench.until(project.id, lambda board: board.film.up_to_date)
        assert board.film.duration_s == 1.5


def test_a_film_wished_for_while_one_is_made_is_made_after_it(tmp_path: Path) -> None:
    workspace, asked, again = Workspace.at(tmp_path), list[str](), threading.Event()

    def reel_of(project_id: str) -> FilmSource:
        asked.append(project_id)
        if len(asked) == 1:
            assembly.want(project_id)
        else:
            again.set()
        raise FilmError("scene 1: not rendered yet.")

    assembly = Assembly(workspace, TakeRepository(Database.file(workspace.studio_database)), reel_of, lambda _: None)
    assembly.want("p-1")
    try:
        assert again.wait(10)
    finally:
        assembly.close()
    assert assembly.state("p-1") == (False, "scene 1: not rendered yet.")


def test_the_film_of_a_scene_deleted_is_the_others(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        bench.rendered(project.id)
        bench.edit(project.id, DeleteScene(scene_id="c"))
        assert bench.studio.rendering.assemble(project.id).is_file()
        assert bench.studio.views.board(project.id).film.duration_s == 2.0
