"""A studio over a real engine process (a fake group): killed, restarted, elsewhere; and the benchmark's own way."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import film as benchmark
from engine.service.launch import stop_engine
from engine.storage.workspace import Workspace
from studio.cli.engine_supervisor import EngineSession, EngineSource, EngineSupervisor
from studio.cli.render import DONE, Delivery, RenderFile
from studio.document.formats.yaml_file import to_text
from studio.document.storyboard import Scene, Storyboard
from studio.studio import Studio
from studio.views.types import BoardView
from tests.engine.in_process import EngineThread
from tests.studio.factories import PATIENCE_S

STALLED = Scene(id="a", prompt="a red ball, stall at step 4 on attempt 1", duration_s=1)
"""Stands still after three steps, so that it is killed there however busy the machine is; then it goes on."""
QUICK = Scene(id="b", prompt="a blue car", duration_s=1, transition="continue")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(Workspace.at(tmp_path / "workspace"), examples=False)
    yield studio
    studio.close()


@pytest.fixture
def keeper(studio: Studio) -> Iterator[EngineSupervisor]:
    keeper = EngineSupervisor(studio, EngineSource(studio.workspace, ranks=1, group="fake"))
    keeper.start()
    yield keeper
    keeper.close()
    stop_engine(studio.workspace)


def until(studio: Studio, project_id: str, state: str) -> BoardView:
    deadline_s, version = time.monotonic() + PATIENCE_S, 0
    while time.monotonic() < deadline_s:
        version = studio.views.wait_for_change(project_id, version, 1.0)
        board = studio.views.board(project_id)
        assert not [card for card in board.scenes if card.state == "failed"], board
        if state == "film" and board.film.up_to_date and not board.render.busy:
            return board
        if state == "ready" and board.engine.state == "ready" and board.render.can_render:
            return board
        if state == "mid-step" and any(card.progress and card.progress.step > 2 for card in board.scenes):
            return board
    raise AssertionError(f"never {state}: {board}")


def kill_service(workspace: Workspace) -> int:
    pid = int(json.loads(workspace.engine_address.read_text())["pid"])
    os.kill(pid, signal.SIGKILL)
    return pid


def test_the_service_is_killed_mid_job_and_the_film_still_comes(studio: Studio, keeper: EngineSupervisor) -> None:
    project = studio.projects.create(Storyboard(scenes=(STALLED, QUICK)))
    until(studio, project.id, "ready")
    studio.rendering.render(project.id)
    until(studio, project.id, "mid-step")
    killed = kill_service(studio.workspace)
    board = until(studio, project.id, "film")
    assert [len(card.takes) for card in board.scenes] == [1, 1]
    assert json.loads(studio.workspace.engine_address.read_text())["pid"] != killed


def test_the_command_line_brings_an_engine_back_that_was_killed_under_its_film(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out, codes = tmp_path / "slow.yaml", tmp_path / "slow.mp4", list[int]()
    storyboard = Storyboard(scenes=(STALLED, QUICK))
    path.write_text(to_text(storyboard))
    project = studio.projects.open_file(path, storyboard)
    file = RenderFile(studio, path, True, EngineSession(studio, EngineSource(studio.workspace, ranks=1, group="fake")))
    making = threading.Thread(target=lambda: codes.append(file.run(storyboard, Delivery(out))), daemon=True)
    making.start()
    try:
        until(studio, project.id, "mid-step")
        killed = kill_service(studio.workspace)
        making.join(timeout=120)
        assert codes == [DONE] and out.is_file()
        assert json.loads(studio.workspace.engine_address.read_text())["pid"] != killed
        assert "it is started again" in capsys.readouterr().err
    finally:
        stop_engine(studio.workspace)


def test_an_engine_elsewhere_with_its_own_workspace(studio: Studio, tmp_path: Path) -> None:
    elsewhere = Workspace.at(tmp_path / "elsewhere")
    with EngineThread(elsewhere) as client:
        studio.rendering.attach(client, name=client.url)
        project = studio.projects.create(Storyboard(scenes=(QUICK.model_copy(update={"transition": "cut"}),)))
        until(studio, project.id, "ready")
        studio.rendering.render(project.id)
        take = until(studio, project.id, "film").scenes[0].take
        assert take is not None
        assert studio.projects.media_path(project.id, take.media) is not None
        assert not studio.workspace.take_folder(take.recipe).exists()
        studio.rendering.detach()


def test_an_engine_that_cannot_start_is_said_on_the_board(studio: Studio) -> None:
    studio.workspace.engine_database.mkdir()  # no database can be opened there
    keeper = EngineSupervisor(studio, EngineSource(studio.workspace, ranks=1, group="fake"))
    project = studio.projects.create()
    keeper.start()
    try:
        for _ in studio.views.changes(project.id):
            problem = studio.views.board(project.id).render.problem
            if problem != "the engine is starting":
                break
        assert "did not start" in problem
    finally:
        keeper.close()
        stop_engine(studio.workspace)


def test_the_benchmark_says_its_numbers_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--json", "--presets"])
    numbers = json.loads(capsys.readouterr().out)
    print(numbers)
    assert numbers["benchmark"] == "film" and numbers["plan_60_scenes_s"] > 0
    assert numbers["limits_s"]["plan_60_scenes_s"] == benchmark.PLAN_LIMIT_S
