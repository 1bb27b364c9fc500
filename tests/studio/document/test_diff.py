"""Differences of storyboards as values: whatever the edit, a diff leads from one version to the next and back."""

from hypothesis import given, settings
from hypothesis import strategies as st

from studio.document.diff import (
    StoryboardDiff,
    Touched,
    apply_diff,
    collisions,
    diff_between,
    reversed_diff,
    touched,
)
from studio.document.storyboard import Scene, Storyboard
from tests.studio.planning.factories import scenes, storyboards

many = settings(deadline=None, max_examples=30)
FIELDS = ("title", "aspect", "look", "negative_look", "seed")
SCENE_FIELDS = ("prompt", "duration_s", "transition", "seed", "notes")


@st.composite
def versions(draw: st.DrawFn, number: int) -> list[Storyboard]:
    """Versions of one storyboard, each with some scenes of a common pool in any order, and a few fields of its own."""
    base, other = draw(storyboards), draw(storyboards)
    pool = draw(st.lists(scenes, min_size=1, max_size=5, unique_by=lambda scene: scene.id))
    values = draw(scenes)
    drawn: list[Storyboard] = []
    for _ in range(number):
        changes = {name: getattr(other, name) for name in draw(st.sets(st.sampled_from(FIELDS), max_size=2))}
        present = draw(st.permutations(pool))[draw(st.integers(0, 1)) :]
        kept = tuple(
            scene.model_copy(
                update={
                    name: getattr(values, name) for name in draw(st.sets(st.sampled_from(SCENE_FIELDS), max_size=1))
                }
            )
            for scene in present
        )
        drawn.append(base.model_copy(update={**changes, "scenes": kept}))
    return drawn


@many
@given(versions(2))
def test_a_diff_leads_to_the_other_version_and_back(both: list[Storyboard]) -> None:
    before, after = both
    diff = diff_between(before, after)
    assert apply_diff(before, diff) == after
    assert apply_diff(after, reversed_diff(diff)) == before
    assert reversed_diff(reversed_diff(diff)) == diff
    assert reversed_diff(diff) == diff_between(after, before)


@many
@given(versions(2))
def test_a_diff_is_empty_where_nothing_changed_and_survives_json(both: list[Storyboard]) -> None:
    before, after = both
    diff = diff_between(before, after)
    assert bool(diff) == (before != after)
    read = StoryboardDiff.model_validate_json(diff.model_dump_json())
    assert apply_diff(before, read) == after


@many
@given(versions(2))
def test_applying_a_diff_twice_changes_nothing_more(both: list[Storyboard]) -> None:
    before, after = both
    assert apply_diff(after, diff_between(before, after)) == after


def without(diff: StoryboardDiff, dropped: set[Touched]) -> StoryboardDiff:
    """The diff with some of what it touches left out."""
    return StoryboardDiff(
        fields={name: pair for name, pair in diff.fields.items() if ("", name) not in dropped},
        scenes={
            scene_id: {name: pair for name, pair in pairs.items() if (scene_id, name) not in dropped}
            for scene_id, pairs in diff.scenes.items()
        },
        removed={scene_id: scene for scene_id, scene in diff.removed.items() if (scene_id, "*") not in dropped},
        added={scene_id: scene for scene_id, scene in diff.added.items() if (scene_id, "*") not in dropped},
        order=diff.order,
    )


@many
@given(versions(3))
def test_diffs_that_touch_different_fields_can_be_applied_in_either_order(three: list[Storyboard]) -> None:
    start, ours, theirs = three
    first, second = diff_between(start, ours), diff_between(start, theirs)
    second = without(second, collisions(touched(second), touched(first)))
    one, other = apply_diff(apply_diff(start, first), second), apply_diff(apply_diff(start, second), first)
    assert one.model_copy(update={"scenes": ()}) == other.model_copy(update={"scenes": ()})
    assert {scene.id: scene for scene in one.scenes} == {scene.id: scene for scene in other.scenes}


@many
@given(versions(3))
def test_collisions_are_the_same_seen_from_either_side(three: list[Storyboard]) -> None:
    start, ours, theirs = three
    first, second = touched(diff_between(start, ours)), touched(diff_between(start, theirs))
    assert bool(collisions(first, second)) == bool(collisions(second, first))
    assert not first or collisions(first, first) == first


def test_a_scene_that_stays_keeps_its_neighbour_when_the_order_is_another_s() -> None:
    """One tab moves c to the front, the other adds x after b: x stays behind b."""
    start = Storyboard(scenes=tuple(Scene(id=name) for name in "abc"))
    moved = start.model_copy(update={"scenes": tuple(Scene(id=name) for name in "cab")})
    added = start.model_copy(update={"scenes": tuple(Scene(id=name) for name in "abxc")})
    merged = apply_diff(added, diff_between(start, moved))
    assert [scene.id for scene in merged.scenes] == ["c", "a", "b", "x"]
