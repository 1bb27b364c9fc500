"""Edits one by one, as stored values, and undone: hypothesis draws storyboards and long runs of edits."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from studio.document import edits
from studio.document.edits import (
    EDIT,
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
from studio.document.storyboard import Scene, Storyboard, read_document
from studio.errors import StoryboardError
from tests.studio.planning.factories import board, planned, storyboards, take_of, words


def three() -> Storyboard:
    return board({"prompt": "a"}, {"prompt": "b", "seed": 5, "transition": "continue"}, {"prompt": "c"})


def ids(storyboard: Storyboard) -> list[str]:
    return [scene.id for scene in storyboard.scenes]


def test_a_scene_is_added_at_its_place_with_the_next_free_id() -> None:
    assert ids(edits.add_scene(three())) == ["scene-1", "scene-2", "scene-3", "scene-4"]
    assert ids(edits.add_scene(three(), 0, "intro", prompt="x")) == ["intro", "scene-1", "scene-2", "scene-3"]
    assert ids(edits.add_scene(three(), 99))[-1] == "scene-4"


def test_a_new_scene_may_be_empty_but_not_twice_the_same() -> None:
    assert edits.add_scene(three()).scenes[-1].prompt == ""
    with pytest.raises(StoryboardError, match="each its own"):
        edits.add_scene(three(), scene_id="scene-1")


def test_a_copy_stands_behind_with_the_same_words_and_no_take() -> None:
    chosen = edits.change_scene(three(), "scene-2", "notes", "n")
    copy = edits.duplicate_scene(chosen, "scene-2").scenes[2]
    assert (copy.id, copy.prompt, copy.seed, copy.notes, copy.chosen_take) == ("scene-4", "b", 5, "n", None)


def test_deleting_leaves_the_others_as_they_are() -> None:
    assert edits.delete_scene(three(), "scene-2").scenes == (three().scenes[0], three().scenes[2])


@pytest.mark.parametrize("position, order", [(0, "312"), (1, "132"), (2, "123"), (99, "123"), (-5, "312")])
def test_moving_counts_places_without_the_moved_scene(position: int, order: str) -> None:
    assert ids(edits.move_scene(three(), "scene-3", position)) == [f"scene-{n}" for n in order]


def test_a_split_gives_two_scenes_of_which_the_second_continues() -> None:
    start = edits.change_scene(three(), "scene-1", "conditioning", {"media": "a.png"})
    first, second = edits.split_scene(start, "scene-1", 1.25).scenes[:2]
    assert first.conditioning is not None
    assert (first.duration_s, second.duration_s, second.id) == (1.25, 1.75, "scene-4")
    assert (second.transition, second.prompt, second.seed, second.conditioning) == ("continue", "a", None, None)


@pytest.mark.parametrize("at_s", [0, -1, 3.0, 99, math.nan])
def test_a_split_outside_the_scene_is_refused(at_s: float) -> None:
    with pytest.raises(StoryboardError, match="between 0 and 3 s"):
        edits.split_scene(three(), "scene-1", at_s)


def test_merging_joins_words_and_adds_durations() -> None:
    merged = edits.merge_scenes(three(), "scene-1").scenes[0]
    assert (merged.id, merged.prompt, merged.duration_s) == ("scene-1", "a b", 6.0)


@pytest.mark.parametrize(
    "first, second, both",
    [(("x",), ("y",), ("x", "y")), (("x",), (), ("x",)), ((), ("y",), ("y",)), (("x",), ("x",), ("x",))],
)
def test_merging_loses_no_words_of_chunks(first: Any, second: Any, both: Any) -> None:
    start = edits.change_scene(three(), "scene-1", "chunk_prompts", first)
    start = edits.change_scene(start, "scene-2", "chunk_prompts", second)
    assert edits.merge_scenes(start, "scene-1").scenes[0].chunk_prompts == both


def test_a_split_scene_s_rest_has_no_first_frame_of_its_own() -> None:
    start = edits.change_scene(three(), "scene-1", "first_frame", {"prompt": "x", "seed": 3})
    first, second = edits.split_scene(start, "scene-1", 1.25).scenes[:2]
    assert (first.first_frame.seed, second.first_frame.seed, second.first_frame.prompt) == (3, None, "")


def test_a_size_of_one_s_own_is_set_and_taken_away() -> None:
    sized = edits.change_storyboard(three(), "size_px", [1280, 704])
    assert sized.size_px == (1280, 704)
    assert edits.change_storyboard(sized, "size_px", None) == three()


def test_the_last_scene_has_nothing_to_merge_with() -> None:
    with pytest.raises(StoryboardError, match="last scene"):
        edits.merge_scenes(three(), "scene-3")


def test_merging_past_the_longest_scene_is_refused_at_its_field() -> None:
    long = edits.change_scene(three(), "scene-1", "duration_s", 599.0)
    with pytest.raises(StoryboardError) as caught:
        edits.merge_scenes(long, "scene-1")
    assert caught.value.field == "scenes[0].duration_s"


CHANGES: list[tuple[str, object, Callable[[Scene], Any]]] = [
    ("prompt", "new", lambda scene: scene.prompt),
    ("duration_s", 2, lambda scene: scene.duration_s),
    ("transition", "crossfade", lambda scene: scene.transition),
    ("seed", None, lambda scene: scene.seed),
    ("conditioning.media", "a.png", lambda scene: scene.conditioning and scene.conditioning.media),
    ("overrides.num_steps", 9, lambda scene: scene.overrides.num_steps),
    ("chunk_prompts", ("x", ""), lambda scene: scene.chunk_prompts),
    ("first_frame.seed", 9, lambda scene: scene.first_frame.seed),
    ("first_frame.prompt", "x", lambda scene: scene.first_frame.prompt),
]


@pytest.mark.parametrize("field, value, read", CHANGES, ids=[change[0] for change in CHANGES])
def test_one_field_changes_and_nothing_else(field: str, value: object, read: Callable[[Scene], Any]) -> None:
    changed = edits.change_scene(three(), "scene-2", field, value)
    assert read(changed.scene("scene-2")) == value
    assert (changed.scenes[0], changed.scenes[2]) == (three().scenes[0], three().scenes[2])


def test_conditioning_is_taken_away_with_its_media() -> None:
    given_one = edits.change_scene(three(), "scene-1", "conditioning", {"media": "a.png", "num_frames": 5})
    assert edits.change_scene(given_one, "scene-1", "conditioning.num_frames", 1).scenes[0].conditioning is not None
    assert edits.change_scene(given_one, "scene-1", "conditioning.media", None).scenes[0].conditioning is None


REFUSED = [
    ("id", "x", "scenes[1].id", "cannot be changed like a field"),
    ("chosen_take", "x", "scenes[1].chosen_take", "choose a take instead"),
    ("promt", "x", "scenes[1].promt", "did you mean prompt?"),
    ("prompt.x", "x", "scenes[1].prompt.x", "is one value"),
    ("seed", -1, "scenes[1].seed", "0 or more"),
    ("duration_s", math.nan, "scenes[1].duration_s", "finite"),
    ("overrides.num_step", 3, "scenes[1].overrides.num_step", "did you mean num_steps?"),
    ("conditioning.num_frames", 5, "scenes[1].conditioning.media", "is missing"),
    ("prompt", None, "scenes[1].prompt", "must be text"),
]


@pytest.mark.parametrize("field, value, where, said", REFUSED, ids=[case[0] for case in REFUSED])
def test_a_wrong_change_is_refused_at_its_field(field: str, value: object, where: str, said: str) -> None:
    with pytest.raises(StoryboardError) as caught:
        edits.change_scene(three(), "scene-2", field, value)
    assert caught.value.field == where
    assert said in str(caught.value)


def test_the_storyboard_s_own_fields_change_but_not_its_scenes() -> None:
    assert edits.change_storyboard(three(), "look", "papercut").look == "papercut"
    with pytest.raises(StoryboardError, match="change a scene instead"):
        edits.change_storyboard(three(), "scenes", [])
    with pytest.raises(StoryboardError, match="did you mean title"):
        edits.change_storyboard(three(), "titel", "x")


def test_what_is_chosen_is_what_would_be_rendered() -> None:
    start = three()
    take = take_of(planned(edits.change_scene(start, "scene-1", "seed", 77)).jobs[0])
    chosen = edits.choose_take(start, "scene-1", take.id, take.seed)
    assert (chosen.scenes[0].chosen_take, chosen.scenes[0].seed) == (take.id, 77)
    assert planned(chosen, takes=[take]).scenes[0].state == "fresh"
    cleared = apply(chosen, ChooseTake(scene_id="scene-1", take_id=None))
    assert (cleared.scenes[0].chosen_take, cleared.scenes[0].seed) == (None, 77)


@pytest.mark.parametrize("edit", [DeleteScene(scene_id="none"), MoveScene(scene_id="none", position=0)])
def test_a_scene_that_is_not_there_cannot_be_edited(edit: Edit) -> None:
    with pytest.raises(StoryboardError, match='no scene has the id "none"'):
        apply(three(), edit)


def test_a_new_scene_follows_the_one_it_was_made_after_wherever_that_is() -> None:
    first, *others = ids(three())
    added = AddScene(scene_id="new", position=0, after=first)
    assert ids(apply(three(), added)) == [first, "new", *others]
    assert ids(apply(three(), added.model_copy(update={"after": "gone"}))) == ["new", first, *others]


def test_a_new_scene_never_inherits_the_takes_of_one_that_is_gone() -> None:
    gone = edits.delete_scene(three(), "scene-3")
    assert ids(apply(gone, AddScene()))[-1] == "scene-3"
    assert ids(apply(gone, AddScene(), reserved_ids={"scene-3", "intro"}))[-1] == "scene-4"
    assert ids(apply(gone, DuplicateScene(scene_id="scene-2"), reserved_ids=["scene-7"]))[-1] == "scene-8"
    assert ids(apply(gone, SplitScene(scene_id="scene-2", at_s=1), reserved_ids=["scene-7"]))[-1] == "scene-8"


def test_an_unknown_edit_is_refused() -> None:
    with pytest.raises(ValidationError):
        EDIT.validate_python({"kind": "explode", "scene_id": "scene-1"})


@st.composite
def some_edits(draw: st.DrawFn, positions: st.SearchStrategy[int] = st.integers(0, 6)) -> Edit:  # noqa: B008
    scene_id = f"scene-{draw(positions)}"
    fields = st.sampled_from(["prompt", "duration_s", "seed", "transition", "notes", "overrides.num_steps"])
    values = st.none() | words | st.integers(-1, 50) | st.sampled_from(["cut", "continue"])
    kinds: list[st.SearchStrategy[Edit]] = [
        st.builds(AddScene, position=positions, prompt=words),
        st.just(DuplicateScene(scene_id=scene_id)),
        st.just(DeleteScene(scene_id=scene_id)),
        st.builds(MoveScene, scene_id=st.just(scene_id), position=positions),
        st.builds(SplitScene, scene_id=st.just(scene_id), at_s=st.floats(0.1, 5)),
        st.just(MergeScenes(scene_id=scene_id)),
        st.builds(ChangeScene, scene_id=st.just(scene_id), field=fields, value=values),
        st.builds(ChangeStoryboard, field=st.sampled_from(["title", "look", "seed"]), value=values),
        st.builds(ChooseTake, scene_id=st.just(scene_id), take_id=st.just("take-1"), seed=st.integers(0, 9)),
    ]
    return draw(st.one_of(kinds))


def after(start: Storyboard, many: list[Edit]) -> list[Storyboard]:
    """Every storyboard on the way, refused edits left out."""
    boards = [start]
    for edit in many:
        try:
            boards.append(edits.apply(boards[-1], edit))
        except StoryboardError:
            continue
    return boards


@settings(deadline=None, max_examples=80)
@given(st.lists(some_edits(), max_size=8))
def test_every_storyboard_on_the_way_is_a_whole_document(many: list[Edit]) -> None:
    for storyboard in after(three(), many):
        assert read_document(storyboard.model_dump(mode="json")) == storyboard


@settings(deadline=None, max_examples=80)
@given(some_edits())
def test_an_edit_survives_the_journal(edit: Edit) -> None:
    assert EDIT.validate_json(EDIT.dump_json(edit)) == edit


@settings(deadline=None, max_examples=60)
@given(storyboards.filter(lambda drawn: len(drawn.scenes) > 0), st.floats(0.05, 0.95))
def test_a_split_that_is_merged_again_changes_no_words_and_no_length(start: Storyboard, part: float) -> None:
    scene = start.scenes[0]
    split = edits.split_scene(start, scene.id, scene.duration_s * part)
    merged = edits.merge_scenes(split, scene.id)
    whole = scene.model_copy(update={"duration_s": merged.scenes[0].duration_s})
    assert merged.scenes == (whole, *start.scenes[1:])
    assert merged.scenes[0].duration_s == pytest.approx(scene.duration_s, abs=2e-6)
