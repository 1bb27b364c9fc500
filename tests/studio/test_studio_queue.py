"""The queue as the author sees it: moving, pausing, no engine, nothing to render, a project that is deleted.

Comes in: a studio with a fake engine. Goes out: boards and jobs. Does not know pixels.
"""

import threading
import time
from pathlib import Path

import pytest

from engine.contract.errors import Rejected, Unreachable
from engine.contract.events import EngineUp
from studio.document.edits import AddScene, DeleteScene
from studio.document.storyboard import Scene
from studio.errors import PlanError
from tests.engine.factories import wait_until
from tests.studio.factories import benched, states

ONE = Scene(id="a", prompt="a red ball in a meadow", duration_s=1)


def test_moves_pause_and_resume(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE, Scene(id="b", prompt="a blue car", duration_s=1))
        bench.studio.rendering.pause()
        assert bench.studio.views.board(project.id).render.paused
        ids = bench.studio.rendering.render(project.id)
        bench.studio.rendering.move(project.id, ids[1], 0)
        with pytest.raises(Rejected, match="does not wait in this project"):
            bench.studio.rendering.move(project.id, "nobody", 0)
        bench.studio.rendering.resume()
        bench.until(project.id, lambda board: board.film.up_to_date)
        assert not bench.studio.views.board(project.id).render.paused


def test_what_the_engine_said_before_it_was_paused_does_not_undo_that(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        arrives = threading.Event()
        bench.engine.late.append(arrives)
        bench.engine._tell(EngineUp, num_ranks=1, device="fake")
        wait_until(lambda: not bench.engine.late, "the studio's question")
        pausing = threading.Thread(target=bench.studio.rendering.pause)
        pausing.start()
        pausing.join(0.3)
        arrives.set()
        pausing.join()
        for number in range(10):
            bench.reword(project.id, "a", f"{number} red balls")  # the board is painted anew
            assert bench.studio.views.board(project.id).render.paused
            time.sleep(0.01)


def test_no_engine_is_said_and_nothing_is_left_waiting(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.engine.reachable = False
        with pytest.raises(Unreachable, match="Start one"):
            bench.studio.rendering.render(project.id)
        assert states(bench.studio.views.board(project.id)) == ["missing"]
        bench.engine.reachable = True
        assert states(bench.rendered(project.id)) == ["fresh"]


def test_an_empty_storyboard(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.edit(project.id, DeleteScene(scene_id="a"))
        board = bench.studio.views.board(project.id)
        assert board.scenes == () and not board.render.can_render and board.render.text == "add a scene to begin"
        with pytest.raises(PlanError, match="Add one"):
            bench.studio.rendering.render(project.id)
        bench.edit(project.id, AddScene(prompt="a ball", duration_s=1))
        assert states(bench.rendered(project.id)) == ["fresh"]


def test_deleting_a_project_stops_its_jobs_and_loses_no_take(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.rendered(project.id)
        bench.reword(project.id, "a", "a blue ball")
        bench.engine.hold()
        bench.studio.rendering.render(project.id)
        bench.studio.projects.delete(project.id)
        bench.engine.release()
        bench.studio.projects.restore(project.id)
        board = bench.until(project.id, lambda board: not board.render.busy)
        assert len(board.scenes[0].takes) == 1


def test_a_watcher_is_told_and_let_go(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        bench.studio.rendering.detach()  # what an engine says of itself is told to every watcher, whenever it comes
        project = bench.project(ONE)
        version = bench.studio.views.board(project.id).version
        assert bench.studio.views.wait_for_change(project.id, version, timeout_s=0.01) == version
        watch = bench.studio.views.changes(project.id, after=0)
        seen = [next(watch)]
        for prompt in ("one", "two"):
            bench.reword(project.id, "a", prompt)
            seen.append(next(watch))
        assert seen == sorted(set(seen))
        bench.studio.close()
        assert list(watch) == []
