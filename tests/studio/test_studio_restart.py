"""What survives restarts of studio and engine, crashes between file and database, and lost databases."""

import contextlib
import errno
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from engine.storage.workspace import Workspace
from studio.document.edits import ChangeStoryboard
from studio.document.storyboard import Scene, Storyboard
from studio.studio import Studio
from tests.studio.factories import benched, states
from tests.take_files import write_takes

ONE = Scene(id="a", prompt="a red ball in a meadow", duration_s=1)


def test_a_take_that_came_while_no_studio_was_there(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.studio.close()
        bench.engine.release()
        last = bench.engine.submitted[-1].id
        for event in bench.engine.events(0):
            if event.type == "finished" and event.job_id == last:
                break
        bench.restart_studio()
        assert states(bench.until(project.id, lambda board: board.film.up_to_date)) == ["fresh"] * 3


def test_a_studio_that_starts_again_mid_job_shows_it_going_on(tmp_path: Path) -> None:
    with benched(tmp_path, step_s=0.01) as bench:
        project = bench.project()
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        bench.restart_studio()
        board = bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        assert states(board) == ["rendering", "queued", "queued"]
        bench.engine.release()
        bench.until(project.id, lambda board: board.film.up_to_date)


def test_a_crash_between_the_takes_file_and_the_database(tmp_path: Path) -> None:
    """The engine has written the take; the studio died before it heard of it, and the event is gone."""
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        job = bench.studio.rendering.plan(project.id).jobs[0]
        write_takes(bench.workspace, job, 1.0)
        (bench.workspace.takes / f"{'e' * 64}.1a2b.tmp").mkdir()
        assert states(bench.studio.views.board(project.id)) == ["missing"]
        bench.restart_studio()
        board = bench.studio.views.board(project.id)
        assert states(board) == ["fresh"]
        take = board.scenes[0].take
        assert take is not None and bench.studio.projects.media_path(project.id, take.media) is not None


def test_a_damaged_take_file_is_passed_over(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        write_takes(bench.workspace, bench.studio.rendering.plan(project.id).jobs[0], 1.0)
        next(bench.workspace.takes.glob("*/take.json")).write_text('{"id": ')
        bench.restart_studio()
        assert states(bench.studio.views.board(project.id)) == ["missing"]


def test_a_take_whose_file_was_lost_is_rendered_again(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        take = bench.rendered(project.id).scenes[0].take
        assert take is not None
        bench.store.path(take.media).unlink()
        shutil.rmtree(bench.workspace.take_folder(take.recipe))
        bench.restart_studio()
        assert states(bench.studio.views.board(project.id)) == ["missing"]
        assert len(bench.studio.rendering.render(project.id)) == 1
        assert states(bench.until(project.id, lambda board: board.scenes[0].state == "fresh")) == ["fresh"]


def test_a_lost_database_loses_no_take(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        bench.rendered(bench.project().id)
        bench.studio.close()
        for file in tmp_path.glob("workspace/studio.db*"):
            file.unlink()
        bench.restart_studio()
        again = bench.project()
        assert states(bench.studio.views.board(again.id)) == ["fresh"] * 3
        assert bench.studio.rendering.render(again.id) == []


def test_an_engine_that_began_anew_says_so_and_nothing_waits_for_ever(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.rendered(project.id)
        bench.reword(project.id, "a", "a blue ball")
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.new_engine()
        board = bench.until(project.id, lambda board: board.scenes[0].state == "failed")
        assert "no longer knows this job" in board.scenes[0].reason
        bench.rendered(project.id)


def test_an_engine_out_of_reach_is_shown_and_waited_for(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        bench.engine.reachable = False
        board = bench.until(project.id, lambda board: board.engine.state == "unreachable")
        assert "does not answer" in board.render.problem
        bench.engine.reachable = True
        bench.engine.release()
        assert states(bench.until(project.id, lambda board: board.film.up_to_date)) == ["fresh"]


def test_weights_that_change_while_the_studio_runs(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.rendered(project.id)
        bench.engine.weights = "e" * 64
        bench.studio.rendering.render_again(project.id, "a")
        board = bench.until(project.id, lambda board: board.scenes[0].state == "stale")  # at first it is failed
        assert board.scenes[0].reason == "the model's weights changed, seed changed"
        bench.rendered(project.id)


def test_a_project_is_deleted_while_the_engine_is_out_of_reach(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.engine.reachable = False
        bench.studio.projects.delete(project.id)
        assert bench.studio.projects.summaries() == []
        bench.engine.reachable = True
        bench.engine.release()
        bench.studio.projects.restore(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "fresh")


def test_an_engine_elsewhere_sends_its_takes(tmp_path: Path) -> None:
    with benched(tmp_path, apart=True) as bench:
        project = bench.project(ONE)
        take = bench.rendered(project.id).scenes[0].take
        assert take is not None
        path = bench.studio.projects.media_path(project.id, take.media)
        assert path is not None and bench.workspace.root in path.parents
        assert not bench.workspace.take_folder(take.recipe).exists()


def test_a_take_that_cannot_be_stored_is_said_and_tried_again(tmp_path: Path) -> None:
    with benched(tmp_path, apart=True) as bench:
        project = bench.project(ONE)
        bench.engine.fetch_troubles += [OSError(errno.ENOSPC, "No space left on device")] * 3
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: "No space left" in board.render.problem)
        assert board.scenes[0].take is None
        board = bench.until(project.id, lambda board: board.film.up_to_date)
        assert states(board) == ["fresh"]
        bench.until(project.id, lambda board: board.render.problem == "")
        assert len(bench.engine.streams) == 1, "those of before are closed"


def test_a_take_that_comes_while_the_database_is_held_is_not_lost(tmp_path: Path) -> None:
    with benched(tmp_path, busy_timeout_s=1) as bench:
        project = bench.project(ONE)
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
        with contextlib.closing(sqlite3.connect(bench.workspace.studio_database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            bench.engine.release()
            board = bench.until(project.id, lambda board: "database is locked" in board.render.problem)
            assert board.scenes[0].take is None
        assert states(bench.until(project.id, lambda board: board.film.up_to_date)) == ["fresh"]


def test_a_film_that_cannot_be_made_is_said_and_the_old_one_stays(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        before = bench.rendered(project.id)
        take = before.scenes[0].take
        assert take is not None
        bench.edit(project.id, ChangeStoryboard(field="fps", value=12))
        file = bench.store.path(take.media)
        whole = file.read_bytes()
        file.write_bytes(b"damaged")
        bench.studio.rendering.render(project.id)
        board = bench.until(project.id, lambda board: board.film.error != "")
        assert "ffmpeg failed" in board.film.error and board.film.media == before.film.media
        path = bench.studio.rendering.film_path(project.id)
        assert path is not None and path.is_file()
        file.write_bytes(whole)
        bench.studio.rendering.render(project.id)
        bench.until(project.id, lambda board: board.film.up_to_date and board.film.error == "")


def test_without_an_engine_everything_but_rendering_works(tmp_path: Path) -> None:
    studio = Studio(Workspace.at(tmp_path), examples=False)
    try:
        project = studio.projects.create(Storyboard(scenes=(ONE,)))
        board = studio.views.board(project.id)
        assert board.engine.state == "absent" and board.render.problem == "the engine is starting"
        studio.rendering.engine_failed("no torch here")
        assert studio.views.board(project.id).render.problem == "no torch here"
        assert studio.rendering.plan(project.id).scenes[0].scene_id == "a"
    finally:
        studio.close()


def test_a_new_workspace_holds_the_examples_once(tmp_path: Path) -> None:
    for _ in range(2):
        studio = Studio(Workspace.at(tmp_path))
        try:
            titles = [summary.title for summary in studio.projects.summaries()]
            boards = [studio.views.board(summary.id) for summary in studio.projects.summaries()]
        finally:
            studio.close()
        assert titles[0] == "A day in the diorama" and len(titles) == len(set(titles)) == 3
        assert all(card.state != "unplannable" or "cannot be used" in card.reason for b in boards for card in b.scenes)


def test_closing_wakes_everyone_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with benched(tmp_path) as bench:
        bench.rendered(bench.project(ONE).id)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]


@pytest.mark.parametrize("url", ["sqlite:///{folder}/elsewhere.db"])
def test_the_database_may_be_any_sqlalchemy_url(url: str, tmp_path: Path) -> None:
    studio = Studio(Workspace.at(tmp_path / "w"), database_url=url.format(folder=tmp_path), examples=False)
    try:
        studio.projects.create(Storyboard(scenes=(ONE,)))
    finally:
        studio.close()
    assert (tmp_path / "elsewhere.db").exists() and not (tmp_path / "w" / "studio.db").exists()
