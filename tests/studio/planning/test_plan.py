"""The plan: goldens read as text, states and their reasons, stable recipes and seeds, partial renders, cost.

Goldens are made again with ``pytest tests/studio --regenerate-goldens``.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.cards import ModelStatus
from engine.contract.jobs import FromTake
from studio.document.edits import (
    change_scene,
    change_storyboard,
    choose_take,
    delete_scene,
    duplicate_scene,
    move_scene,
)
from studio.document.formats.yaml_file import read_file
from studio.document.storyboard import Scene, Storyboard
from studio.errors import PlanError
from studio.planning.groups import derived_seed
from studio.planning.plan import Plan, with_new_id
from tests.studio.planning.factories import (
    CARD,
    CLIP,
    MEDIA,
    MODELS,
    PICTURE,
    board,
    planned,
    rendered,
    storyboards,
    take_of,
)

GOLDENS = Path(__file__).parent / "goldens" / "plan"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDENS.glob("*.yaml")))
def test_the_plan_is_the_one_that_was_reviewed(name: str, regenerate_goldens: bool) -> None:
    plan = planned(read_file(GOLDENS / f"{name}.yaml"))
    golden = GOLDENS / f"{name}.json"
    if regenerate_goldens:
        made_by = "pytest tests/studio/planning/test_plan.py --regenerate-goldens"
        golden.write_text(json.dumps({"made_by": made_by, "plan": plan.model_dump(mode="json")}, indent=1) + "\n")
    assert plan.model_dump(mode="json") == json.loads(golden.read_text())["plan"]
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def chain() -> Storyboard:
    """Scene 2 continues scene 1, scene 3 continues scene 2, scene 4 stands alone."""
    return board({}, {"transition": "continue"}, {"transition": "continue"}, {"prompt": "a boat"}, look="papercut")


def states(plan: Plan) -> list[str]:
    return [scene.state for scene in plan.scenes]


def job_scenes(plan: Plan) -> list[str]:
    return [job.scene_ids[0] for job in plan.jobs]


def test_nothing_rendered_yet_is_all_missing() -> None:
    plan = planned(chain())
    assert states(plan) == ["missing"] * 4
    assert {scene.reason for scene in plan.scenes} == {"not rendered yet"}
    assert job_scenes(plan) == ["scene-1", "scene-2", "scene-3", "scene-4"]


def test_what_is_rendered_is_not_rendered_again() -> None:
    takes = rendered(chain())
    plan = planned(chain(), takes=takes)
    assert (states(plan), plan.jobs, plan.cost.num_evaluations) == (["fresh"] * 4, (), 0)
    assert [scene.take_id for scene in plan.scenes] == [take.id for take in takes]
    assert all(scene.reason == "" for scene in plan.scenes)


def test_a_change_goes_on_through_what_continues_from_it() -> None:
    plan = planned(change_scene(chain(), "scene-2", "prompt", "a blue ball"), takes=rendered(chain()))
    assert states(plan) == ["fresh", "stale", "stale", "fresh"]
    assert [scene.reason for scene in plan.scenes[1:3]] == ["prompt changed", "continues scene 2, which is stale"]
    assert job_scenes(plan) == ["scene-2", "scene-3"]


def test_a_continued_job_names_the_recipe_before_it_and_overlaps_it() -> None:
    jobs = planned(chain()).jobs
    assert jobs[1].conditioning == FromTake(recipe=jobs[0].recipe, num_frames=5)
    assert jobs[1].segments[0].num_overlap_frames == 5
    assert jobs[0].segments[0].num_overlap_frames == 0


REASONS: list[tuple[Any, list[str]]] = [
    (lambda b: change_scene(b, "scene-4", "prompt", "a fox"), ["prompt changed"]),
    (lambda b: change_scene(b, "scene-4", "negative_prompt", "x"), ["negative prompt changed"]),
    (lambda b: change_storyboard(b, "look", "woodcut"), ["look changed"]),
    (lambda b: change_storyboard(b, "look", ""), ["prompt or look changed"]),
    (lambda b: change_storyboard(b, "negative_look", "x"), ["negative look changed"]),
    (lambda b: change_scene(b, "scene-4", "prompt", "a boat, blue"), ["prompt changed"]),
    (lambda b: change_scene(b, "scene-4", "prompt", "a"), ["prompt changed"]),
    (lambda b: change_storyboard(b, "preset", "draft"), ["preset changed (balanced -> draft)"]),
    (lambda b: change_scene(b, "scene-4", "duration_s", 2.0), ["duration changed (3 s -> 2 s)"]),
    (lambda b: change_scene(b, "scene-4", "seed", 5), ["seed changed"]),
    (lambda b: change_storyboard(b, "seed", 5), ["seed changed"]),
    (lambda b: change_storyboard(b, "aspect", "1:1"), ["size changed (96 x 64 -> 64 x 64)"]),
    (lambda b: change_scene(b, "scene-4", "overrides.num_steps", 9), ["steps changed (20 -> 9)"]),
    (lambda b: change_scene(b, "scene-4", "overrides.guidance_scale", 1.5), ["guidance changed (3 -> 1.5)"]),
    (lambda b: change_scene(b, "scene-4", "overrides.sampler", "heun"), ["sampler changed (res_2ab -> heun)"]),
    (lambda b: change_scene(b, "scene-4", "conditioning", {"media": "picture.png"}), ["picture added"]),
    (lambda b: change_scene(b, "scene-4", "conditioning", {"media": "clip.mp4"}), ["clip added"]),
    (lambda b: change_scene(b, "scene-4", "transition", "continue"), ["continues scene 3 now"]),
    (
        lambda b: change_scene(change_scene(b, "scene-4", "prompt", "x"), "scene-4", "seed", 1),
        ["prompt changed", "seed changed"],
    ),
]


@pytest.mark.parametrize("change, expected", REASONS, ids=[", ".join(words) for _, words in REASONS])
def test_a_stale_scene_says_why(change: Any, expected: list[str]) -> None:
    plan = planned(change(chain()), takes=rendered(chain()))
    assert (plan.scenes[3].state, plan.scenes[3].reason) == ("stale", ", ".join(expected))


@pytest.mark.parametrize(
    "field, value, reason",
    [
        ("transition", "cut", "no longer continues the scene before it"),
        ("conditioning", {"media": "picture.png"}, ""),
    ],
)
def test_a_continuing_scene_says_why(field: str, value: object, reason: str) -> None:
    plan = planned(change_scene(chain(), "scene-2", field, value), takes=rendered(chain()))
    assert plan.scenes[1].reason == reason


def test_a_scene_moved_to_the_front_starts_anew_and_says_so() -> None:
    plan = planned(move_scene(chain(), "scene-2", 0), takes=rendered(chain()))
    assert plan.scenes[0].reason == "no longer continues the scene before it"
    assert plan.jobs[0].conditioning is None
    assert [(note.scene_id, note.level) for note in plan.notes if note.scene_id] == [("scene-2", "warn")]
    back = planned(move_scene(move_scene(chain(), "scene-2", 0), "scene-2", 1), takes=rendered(chain()))
    assert states(back) == ["fresh"] * 4


def test_a_picture_taken_away_or_changed_is_said() -> None:
    with_picture = change_scene(chain(), "scene-4", "conditioning", {"media": "picture.png"})
    takes = rendered(with_picture)
    assert planned(chain(), takes=takes).scenes[3].reason == "picture taken away"
    other = {**MEDIA, "picture.png": PICTURE.model_copy(update={"sha256": "e" * 64})}
    assert planned(with_picture, takes=takes, media=other).scenes[3].reason == "picture changed"


def test_other_weights_make_everything_stale() -> None:
    other = {"tiny": ModelStatus(card=CARD, fingerprint="e" * 64, available=True)}
    plan = planned(board({}), takes=rendered(board({})), models=other)
    assert plan.scenes[0].reason == "the model's weights changed"


def test_another_model_is_named() -> None:
    other = CARD.model_copy(update={"name": "other"})
    models = {**MODELS, "other": ModelStatus(card=other, fingerprint="e" * 64, available=True)}
    plan = planned(change_storyboard(board({}), "model", "other"), takes=rendered(board({})), models=models)
    assert plan.scenes[0].reason == "model changed (tiny -> other)"


def test_another_noise_schedule_is_said() -> None:
    sampler = CARD.sampler.model_copy(update={"sigma_max": 40.0})
    models = {"tiny": MODELS["tiny"].model_copy(update={"card": CARD.model_copy(update={"sampler": sampler})})}
    assert planned(board({}), takes=rendered(board({})), models=models).scenes[0].reason == (
        "the model's noise levels changed"
    )


def test_another_take_chosen_before_it_makes_the_next_scene_stale() -> None:
    start = board({}, {"transition": "continue"})
    takes = rendered(start)
    again = take_of(planned(change_scene(start, "scene-1", "seed", 3)).jobs[0])
    plan = planned(choose_take(start, "scene-1", again.id, again.seed), takes=[*takes, again])
    assert states(plan) == ["fresh", "stale"]
    assert plan.scenes[0].take_id == again.id
    assert plan.scenes[1].reason == "continues scene 1, which changed"


def test_a_stale_scene_shows_its_chosen_take_and_is_compared_with_it() -> None:
    start = board({})
    first = take_of(planned(start).jobs[0], "first")
    second = take_of(planned(change_scene(start, "scene-1", "prompt", "a boat")).jobs[0], "second")
    changed = change_scene(choose_take(start, "scene-1", first.id, first.seed), "scene-1", "duration_s", 2.0)
    plan = planned(changed, takes=[first, second])
    assert plan.scenes[0].take_id == "first"
    assert "prompt changed" not in plan.scenes[0].reason
    newest = planned(change_scene(start, "scene-1", "duration_s", 2.0), takes=[first, second])
    assert newest.scenes[0].take_id == "second"
    assert newest.scenes[0].reason == "prompt changed, duration changed (3 s -> 2 s)"


def test_among_equal_takes_the_chosen_one_is_shown() -> None:
    job = planned(board({})).jobs[0]
    takes = [take_of(job, "one"), take_of(job, "two")]
    assert planned(board({}), takes=takes).scenes[0].take_id == "two"
    chosen = board({"chosen_take": "one", "seed": job.seed})
    assert planned(chosen, takes=takes).scenes[0].take_id == "one"


def test_moving_renders_nothing_again_where_nothing_continues() -> None:
    start = board({}, {"prompt": "b"}, {"prompt": "c"})
    assert states(planned(move_scene(start, "scene-3", 0), takes=rendered(start))) == ["fresh"] * 3


def test_deleting_makes_only_what_continued_it_stale() -> None:
    plan = planned(delete_scene(chain(), "scene-2"), takes=rendered(chain()))
    assert states(plan) == ["fresh", "stale", "fresh"]
    assert plan.scenes[1].reason == "continues scene 1, which changed"


def test_two_scenes_of_one_recipe_are_rendered_once() -> None:
    twice = duplicate_scene(board({"seed": 4}), "scene-1")
    plan = planned(twice)
    assert states(plan) == ["missing", "missing"] and len(plan.jobs) == 1
    assert states(planned(twice, takes=[take_of(plan.jobs[0])])) == ["fresh", "fresh"]


def test_names_and_notes_change_no_recipe() -> None:
    start = board({"seed": 4})
    recipe = planned(start).jobs[0].recipe
    renamed = change_storyboard(change_scene(start, "scene-1", "notes", "n"), "title", "t")
    assert planned(renamed, project_id="other").jobs[0].recipe == recipe
    assert planned(board({"seed": 4, "id": "other"})).jobs[0].recipe == recipe


def test_jobs_of_two_projects_never_share_an_id() -> None:
    first, second = planned(board({})).jobs[0], planned(board({}), project_id="other").jobs[0]
    assert first.recipe == second.recipe and first.id != second.id


def test_a_job_tried_again_keeps_its_recipe_under_another_id() -> None:
    job = planned(board({})).jobs[0]
    again, third = with_new_id(job, 2), with_new_id(with_new_id(job, 2), 3)
    assert len({job.id, again.id, third.id}) == 3
    assert again.recipe == third.recipe == job.recipe
    assert third.id == f"{job.id}.3"


def test_recipes_and_seeds_never_change_by_accident() -> None:
    """A change here renders every film again: raise PIPELINE_VERSION or the weights instead."""
    assert derived_seed(7, "dawn") == 3110562322
    assert planned(board({})).jobs[0].recipe.startswith("1a3d48042052")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.text(max_size=20))
def test_a_derived_seed_is_one_a_job_takes(seed: int, scene_id: str) -> None:
    assert 0 <= derived_seed(seed, scene_id) < 2**32


def test_a_partial_render_brings_what_it_continues_from() -> None:
    assert job_scenes(planned(chain(), scene_ids=["scene-2"])) == ["scene-1", "scene-2"]
    assert job_scenes(planned(chain(), scene_ids=["scene-4"])) == ["scene-4"]
    fresh_first = rendered(chain(), scene_ids=["scene-1"])
    assert job_scenes(planned(chain(), scene_ids=["scene-3"], takes=fresh_first)) == ["scene-2", "scene-3"]
    assert len(planned(chain(), scene_ids=[]).jobs) == 0


def test_a_fresh_scene_asked_for_brings_nothing_even_where_the_take_before_it_is_gone() -> None:
    second = rendered(chain())[1]
    plan = planned(chain(), scene_ids=["scene-2"], takes=[second])
    assert (states(plan)[:2], plan.jobs) == (["missing", "fresh"], ())


def test_a_chosen_take_that_is_gone_gives_way_to_the_newest() -> None:
    start = board({})
    first = take_of(planned(start).jobs[0], "first")
    second = take_of(planned(change_scene(start, "scene-1", "prompt", "a boat")).jobs[0], "second")
    gone = board({"chosen_take": "gone", "duration_s": 1.0})
    assert planned(gone, takes=[first, second]).scenes[0].take_id == "second"


def test_a_scene_that_is_not_there_cannot_be_rendered() -> None:
    with pytest.raises(PlanError, match="no scene has the id") as caught:
        planned(chain(), scene_ids=["none"])
    assert caught.value.scene_id == "none"


@pytest.mark.parametrize("field, words", [("preset", "did you mean balanced"), ("model", "known are tiny")])
def test_an_unknown_preset_or_model_is_refused_in_words(field: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        planned(change_storyboard(board({}), field, "balancd"))


def test_a_model_whose_weights_are_not_here_makes_all_scenes_unplannable() -> None:
    missing = {"tiny": ModelStatus(card=CARD, fingerprint="", available=False, reason="tiny/: no weights here")}
    plan = planned(chain(), models=missing)
    assert states(plan) == ["unplannable"] * 4 and plan.jobs == ()
    assert plan.notes[0].level == "error" and "tiny/: no weights here" in plan.notes[0].text


CAPABILITIES = [
    ("continue", {"transition": "continue"}, "Join it by a cut"),
    ("image", {"conditioning": {"media": "picture.png"}}, "cannot start from a picture"),
    ("clip", {"conditioning": {"media": "clip.mp4"}}, "cannot start from a clip"),
]


@pytest.mark.parametrize("without, fields, words", CAPABILITIES, ids=[case[0] for case in CAPABILITIES])
def test_what_a_model_cannot_do_is_said_on_the_scene(without: str, fields: dict[str, Any], words: str) -> None:
    able = tuple(capability for capability in CARD.capabilities if capability != without)
    models = {"tiny": MODELS["tiny"].model_copy(update={"card": CARD.model_copy(update={"capabilities": able})})}
    plan = planned(board({}, fields), models=models)
    assert states(plan) == ["missing", "unplannable"]
    assert words in plan.scenes[1].reason
    assert plan.notes[-1].scene_id == "scene-2" and plan.notes[-1].level == "error"


def test_a_model_without_negative_prompts_is_not_given_any() -> None:
    able = tuple(capability for capability in CARD.capabilities if capability != "negative_prompt")
    models = {"tiny": MODELS["tiny"].model_copy(update={"card": CARD.model_copy(update={"capabilities": able})})}
    plan = planned(board({"negative_prompt": "x"}, negative_look="y"), models=models)
    assert plan.jobs[0].segments[0].negative_prompt == ""
    assert [note.scene_id for note in plan.notes] == [None, "scene-1"]


@pytest.mark.parametrize(
    "duration_s, num_frames, num_chunks",
    [(0.001, 1, 1), (2.0, 16, 1), (2.125, 17, 1), (2.25, 18, 2), (3.625, 29, 2), (3.75, 30, 3), (60.0, 480, 40)],
)
def test_a_scene_is_cut_into_chunks_that_cover_it(duration_s: float, num_frames: int, num_chunks: int) -> None:
    plan = planned(board({"duration_s": duration_s}))
    assert (plan.scenes[0].num_frames, plan.scenes[0].num_chunks) == (num_frames, num_chunks)
    covered = sum(s.num_frames - s.num_overlap_frames for s in plan.jobs[0].segments)
    assert covered - 12 < max(num_frames, 17) <= covered


@settings(deadline=None, max_examples=60)
@given(storyboards)
def test_any_storyboard_can_be_planned_and_rendered_once(drawn: Storyboard) -> None:
    able = drawn.model_copy(update={"model": "tiny", "preset": "draft"})
    plan = planned(able, media={scene.conditioning.media: CLIP for scene in able.scenes if scene.conditioning})
    assert [scene.scene_id for scene in plan.scenes] == [scene.id for scene in able.scenes]
    errors = {note.scene_id for note in plan.notes if note.level == "error"}
    assert errors == {scene.scene_id for scene in plan.scenes if scene.state == "unplannable"}
    made = set[str]()
    for job in plan.jobs:
        assert not isinstance(job.conditioning, FromTake) or job.conditioning.recipe in made
        made.add(job.recipe)
    again = planned(
        able,
        takes=[take_of(job) for job in plan.jobs],
        media={scene.conditioning.media: CLIP for scene in able.scenes if scene.conditioning},
    )
    assert not again.jobs


def test_sixty_scenes_continue_each_other_in_order() -> None:
    many = Storyboard(
        model="tiny",
        scenes=tuple(Scene(id=f"s{n}", prompt="a ball", duration_s=6.0, transition="continue") for n in range(60)),
    )
    plan = planned(change_scene(many, "s0", "transition", "cut"))
    assert len(plan.jobs) == 60
    assert all(
        isinstance(job.conditioning, FromTake) and job.conditioning.recipe == before.recipe
        for before, job in zip(plan.jobs, plan.jobs[1:], strict=False)
    )
