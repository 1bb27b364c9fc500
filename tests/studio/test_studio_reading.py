"""Reading never writes: boards, plans and media are shown without a change of the database.

Takes that another project rendered are shown at once, and recorded when takes arrive and when the storyboard changes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, event

from studio.document.storyboard import Scene
from tests.studio.factories import Bench, benched, states

ONE = Scene(id="a", prompt="a red ball in a meadow", duration_s=1)


@contextmanager
def counted_writes(bench: Bench) -> Iterator[list[str]]:
    """One entry for each transaction that was begun as a writer."""
    writes: list[str] = []
    engine = bench.studio._database._engine

    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            writes.append("write")

    event.listen(engine, "begin", begun)
    try:
        yield writes
    finally:
        event.remove(engine, "begin", begun)


def test_the_count_sees_an_edit(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        with counted_writes(bench) as writes:
            bench.reword(project.id, "a", "a blue ball")
        assert writes


def test_a_take_of_another_project_is_shown_without_a_write(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        first, second = bench.project(ONE), bench.project(ONE)
        take = bench.rendered(first.id).scenes[0].take
        bench.restart_studio()  # the second project is not looked at before
        bench.studio.rendering.detach()
        assert take is not None and take.poster is not None
        with counted_writes(bench) as writes:
            for project in (first, second):
                assert states(bench.studio.views.board(project.id)) == ["fresh"]
                assert bench.studio.rendering.plan(project.id).jobs == ()
                for sha256, kind in ((take.media, "video/mp4"), (take.poster, "image/webp")):
                    file = bench.studio.projects.media_file(project.id, sha256)
                    assert file is not None and file.content_type == kind
            assert bench.studio.projects.media_file(second.id, "0" * 64) is None
        assert writes == []


def test_what_was_shown_stays_a_take_when_the_prompt_changes(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        first, second = bench.project(ONE), bench.project(ONE)
        bench.rendered(first.id)
        bench.restart_studio()
        assert states(bench.studio.views.board(second.id)) == ["fresh"]
        bench.reword(second.id, "a", "a blue ball")
        board = bench.studio.views.board(second.id)
        assert states(board) == ["stale"] and len(board.scenes[0].takes) == 1


def test_a_project_that_is_open_gets_a_take_when_it_arrives_for_another(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        first, second = bench.project(ONE), bench.project(ONE)
        assert states(bench.studio.views.board(second.id)) == ["missing"]
        bench.rendered(first.id)
        bench.until(second.id, lambda board: states(board) == ["fresh"])
        assert bench.studio._states.state(second.id).shared == (), "it is recorded"
