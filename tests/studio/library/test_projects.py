"""Projects, their journal, two tabs at once, and what survives. Does not know takes or the engine."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from studio.document.edits import (
    AddScene,
    ChangeScene,
    ChangeStoryboard,
    ChooseTake,
    DeleteScene,
    DuplicateScene,
    Edit,
    MergeScenes,
    MoveScene,
    SplitScene,
    apply,
)
from studio.document.storyboard import Scene, Storyboard
from studio.errors import DatabaseTrouble, LibraryError, ProjectMissing, RevisionConflict, StoryboardError
from studio.library.database import Database, ProjectRow
from studio.library.projects import Library, Project

WORDS = Storyboard(title="First", scenes=tuple(Scene(id=name, prompt=name.upper()) for name in ("a", "b", "c")))


def library_at(folder: Path) -> Library:
    return Library(Database.file(folder / "studio.db"))


def edited(library: Library, project: Project, edit: Edit, revision: int | None = None) -> Project:
    return library.edit(project.id, revision or project.revision, lambda words: apply(words, edit))


def reworded(scene_id: str, prompt: str) -> ChangeScene:
    return ChangeScene(scene_id=scene_id, field="prompt", value=prompt)


def test_an_id_made_elsewhere_is_taken_once(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    assert library.create(WORDS, "p-0123456789").id == "p-0123456789"
    with pytest.raises(LibraryError, match="p-0123456789: this id is taken"):
        library.create(WORDS, "p-0123456789")
    library.trash("p-0123456789", trashed=True)
    with pytest.raises(LibraryError, match="Make the project with another id"):
        library.create(WORDS, "p-0123456789")


def test_two_projects_of_one_name_are_two_projects(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    first, second = library.create(WORDS), library.create(WORDS)
    edited(library, second, reworded("a", "other"))
    assert first.id != second.id
    assert library.open(first.id).storyboard == WORDS
    assert {summary.id for summary in library.projects()} == {first.id, second.id}


def test_a_project_that_is_not_there_is_said_by_its_id(tmp_path: Path) -> None:
    with pytest.raises(ProjectMissing, match="p-nowhere"):
        library_at(tmp_path).open("p-nowhere")


def test_the_trash_keeps_everything(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = edited(library, library.create(WORDS), reworded("a", "kept"))
    library.trash(project.id, trashed=True)
    assert library.projects() == []
    with pytest.raises(ProjectMissing):
        library.open(project.id)
    library.trash(project.id, trashed=False)
    assert library.open(project.id).storyboard.scene("a").prompt == "kept"
    assert library.undo(project.id).storyboard == WORDS


TWO_TABS: dict[str, tuple[Edit, Edit]] = {
    "two scenes": (reworded("a", "mine"), reworded("b", "yours")),
    "two fields of one scene": (reworded("a", "mine"), ChangeScene(scene_id="a", field="duration_s", value=2.0)),
    "storyboard and scene": (ChangeStoryboard(field="look", value="paper"), reworded("a", "yours")),
    "two new scenes": (AddScene(prompt="mine"), AddScene(prompt="yours")),
    "move and reword": (MoveScene(scene_id="a", position=2), reworded("a", "yours")),
    "two moves": (MoveScene(scene_id="a", position=2), MoveScene(scene_id="b", position=0)),
    "delete and reword another": (DeleteScene(scene_id="a"), reworded("b", "yours")),
    "the same text": (reworded("a", "same"), reworded("a", "same")),
}


@pytest.mark.parametrize("name", TWO_TABS)
def test_two_tabs_both_win_where_they_touch_different_things(name: str, tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.create(WORDS)
    mine, yours = TWO_TABS[name]
    edited(library, project, mine, revision=1)
    after = edited(library, project, yours, revision=1)
    assert after.storyboard == apply(apply(WORDS, mine), yours)


COLLIDING: dict[str, tuple[Edit, Edit]] = {
    "one prompt": (reworded("a", "theirs"), reworded("a", "yours")),
    "one look": (ChangeStoryboard(field="look", value="theirs"), ChangeStoryboard(field="look", value="yours")),
    "deleted elsewhere": (DeleteScene(scene_id="a"), reworded("a", "yours")),
    "reworded elsewhere": (reworded("a", "theirs"), DeleteScene(scene_id="a")),
    "merged elsewhere": (MergeScenes(scene_id="a"), reworded("b", "yours")),
}


@pytest.mark.parametrize("name", COLLIDING)
def test_two_tabs_on_one_thing_are_a_conflict_and_nothing_is_lost(name: str, tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.create(WORDS)
    theirs, yours = COLLIDING[name]
    before = edited(library, project, theirs, revision=1)
    with pytest.raises(RevisionConflict) as caught:
        edited(library, project, yours, revision=1)
    assert caught.value.current == before.revision
    assert library.open(project.id) == before
    assert edited(library, before, AddScene(prompt="goes on")).revision == before.revision + 1


def test_a_conflict_carries_both_texts(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.create(WORDS)
    edited(library, project, reworded("a", "theirs"))
    with pytest.raises(RevisionConflict, match="prompt of a") as caught:
        edited(library, project, reworded("a", "yours"), revision=1)
    assert (caught.value.yours, caught.value.theirs) == ("yours", "theirs")


@pytest.mark.parametrize("revision", [0, -1, 99])
def test_a_revision_that_never_was_is_a_conflict(revision: int, tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.create(WORDS)
    with pytest.raises(RevisionConflict, match="Load the project again"):
        library.edit(project.id, revision, lambda words: apply(words, reworded("a", "x")))


def test_an_edit_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.create(WORDS)
    with pytest.raises(StoryboardError, match="duration_s"):
        edited(library, project, ChangeScene(scene_id="a", field="duration_s", value=-1))
    assert library.open(project.id) == project


def test_many_tabs_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each with a library of its own on one file, as several processes have."""
    project = library_at(tmp_path).create(WORDS)
    problems: list[BaseException] = []

    def write(scene_id: str) -> None:
        try:
            library = library_at(tmp_path)
            for number in range(15):
                edited(library, project, reworded(scene_id, f"{scene_id} {number}"), library.open(project.id).revision)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(scene_id,)) for scene_id in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    after = library_at(tmp_path).open(project.id)
    assert not problems
    assert [scene.prompt for scene in after.storyboard.scenes] == ["a 14", "b 14", "c 14"]
    assert after.revision == 1 + 3 * 15


def test_undo_and_redo_survive_a_restart(tmp_path: Path) -> None:
    project = library_at(tmp_path).create(WORDS)
    for prompt in ("one", "two"):
        library = library_at(tmp_path)
        edited(library, library.open(project.id), reworded("a", prompt))
    assert library_at(tmp_path).undo(project.id).storyboard.scene("a").prompt == "one"
    assert library_at(tmp_path).undo(project.id).storyboard == WORDS
    last = library_at(tmp_path).undo(project.id)
    assert (last.storyboard, last.can_undo, last.can_redo) == (WORDS, False, True)
    assert library_at(tmp_path).redo(project.id).storyboard.scene("a").prompt == "one"
    assert library_at(tmp_path).redo(project.id).storyboard.scene("a").prompt == "two"


def test_a_new_edit_ends_redo(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = edited(library, library.create(WORDS), reworded("a", "one"))
    project = edited(library, library.undo(project.id), reworded("b", "two"))
    assert not project.can_redo
    assert library.redo(project.id) == project


def test_undo_keeps_what_arrived_in_between(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = edited(library, library.create(WORDS), reworded("a", "one"))
    library.amend(project.id, lambda words: apply(words, ChooseTake(scene_id="b", take_id="t")))
    after = library.undo(project.id)
    assert after.storyboard.scene("a").prompt == "A"
    assert after.storyboard.scene("b").chosen_take == "t"
    assert not after.can_undo


def test_what_arrives_is_no_conflict_for_an_author(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.create(WORDS)
    library.amend(project.id, lambda words: apply(words, ChooseTake(scene_id="a", take_id="t")))
    after = edited(library, project, ChooseTake(scene_id="a", take_id="u"), revision=1)
    assert after.storyboard.scene("a").chosen_take == "u"


def test_an_older_schema_in_the_database_is_upgraded(tmp_path: Path) -> None:
    database = Database.file(tmp_path / "studio.db")
    library = Library(database)
    project = library.create(WORDS)
    old = {"schema": "storyboard/0", "title": "Old", "scenes": [{"id": "a", "text": "a ball", "seconds": 2}]}
    with database.write() as session:
        row = session.scalars(select(ProjectRow)).one()
        row.storyboard = json.dumps(old)
    assert library.open(project.id).storyboard.scene("a").prompt == "a ball"


SCENE_IDS = st.sampled_from(["a", "b", "c", "scene-1"])
PROMPTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8)
EDITS = st.one_of(
    st.builds(AddScene, position=st.integers(0, 4), prompt=PROMPTS),
    st.builds(DuplicateScene, scene_id=SCENE_IDS),
    st.builds(DeleteScene, scene_id=SCENE_IDS),
    st.builds(MoveScene, scene_id=SCENE_IDS, position=st.integers(0, 4)),
    st.builds(SplitScene, scene_id=SCENE_IDS, at_s=st.floats(0.5, 2.5)),
    st.builds(MergeScenes, scene_id=SCENE_IDS),
    st.builds(reworded, SCENE_IDS, PROMPTS),
    st.builds(ChangeStoryboard, field=st.just("look"), value=PROMPTS),
    st.builds(ChooseTake, scene_id=SCENE_IDS, take_id=st.sampled_from(["t", "u"]), seed=st.just(7)),
)


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"no database " * 100), Path.mkdir])
def test_a_database_that_cannot_be_used_is_said_in_words(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    make(path)
    with pytest.raises(DatabaseTrouble, match=r"studio\.db: the database cannot be used .* move it away"):
        Database.file(path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(EDITS, max_size=8))
def test_undo_goes_back_through_every_edit_and_redo_forward_again(edits: list[Edit], tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.create(WORDS)
    seen = [WORDS]
    for edit in edits:
        try:
            project = edited(library, project, edit)
        except StoryboardError:
            continue
        if project.storyboard != seen[-1]:
            seen.append(project.storyboard)
    for expected in [*reversed(seen[:-1]), seen[0]]:
        assert library.undo(project.id).storyboard == expected
    for expected in [*seen[1:], seen[-1]]:
        assert library.redo(project.id).storyboard == expected


def test_processes_that_open_a_file_at_once_share_one_project(tmp_path: Path) -> None:
    library_at(tmp_path)
    libraries = [library_at(tmp_path) for _ in range(4)]
    for number in range(25):
        start = threading.Barrier(len(libraries))
        opened: list[str] = []

        def open_file(library: Library, path: str, start: threading.Barrier, opened: list[str]) -> None:
            start.wait()
            opened.append(library.project_of_file(path, WORDS).id)

        path = f"/boats-{number}.yaml"
        threads = [threading.Thread(target=open_file, args=(each, path, start, opened)) for each in libraries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened == [libraries[0].id_of_file(path)] * len(libraries)


def test_a_file_becomes_one_project_however_many_open_it_at_once(tmp_path: Path) -> None:
    databases = [Database.file(tmp_path / "studio.db") for _ in range(4)]
    start, projects = threading.Barrier(len(databases)), list[Project]()

    def open_file(database: Database) -> None:
        start.wait()
        projects.append(Library(database).project_of_file("/films/one.yaml", WORDS))

    threads = [threading.Thread(target=open_file, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(projects) == len(databases) and {project.revision for project in projects} == {1}


def test_a_file_brings_its_project_back_from_the_trash(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    project = library.project_of_file("/films/one.yaml", WORDS)
    library.trash(project.id, trashed=True)
    assert library.project_of_file("/films/one.yaml", WORDS).id == project.id
    assert library.open(project.id).storyboard == WORDS
