"""Settings of a storyboard beside its words: what is not to be seen, how the engine works, how many frames a scene
takes over."""

import pytest

from engine.contract.jobs import FromTake
from tests.studio.planning.factories import ANIMATOR, PAINTER, board, known, planned


def test_what_a_storyboard_says_of_speed_goes_into_its_jobs_and_only_precision_into_the_recipe() -> None:
    plain = planned(board({})).jobs[0]
    spare = planned(board({}, speed={"offload": "components", "guidance": "sequential"})).jobs[0]
    half = planned(board({}, speed={"precision": "float16"})).jobs[0]
    assert (spare.speed.offload, spare.speed.guidance) == ("components", "sequential")
    assert spare.recipe == plain.recipe != half.recipe and half.speed.precision == "float16"


def test_a_scene_may_say_how_many_frames_it_continues_from() -> None:
    scenes = {"duration_s": 2}, {"transition": "continue", "continue_num_frames": 1, "duration_s": 4}
    plan = planned(board(*scenes))
    assert isinstance(plan.jobs[1].conditioning, FromTake) and plan.jobs[1].conditioning.num_frames == 1
    assert [segment.num_overlap_frames for segment in plan.jobs[1].segments] == [1, 1]
    odd = planned(board({"continue_num_frames": 3, "duration_s": 4}))
    assert "Tiny goes on from 1, 5 frames; 3 were asked for, 1 are used" in [note.text for note in odd.notes]


@pytest.mark.parametrize(
    "scene, look, heard",
    [
        (None, "", "blurred"),
        ("", "", ""),
        ("fog", "", "fog"),
        (None, "rain", "rain"),
        ("", "rain", "rain"),
        ("fog", "rain", "fog, rain"),
    ],
)
def test_a_model_s_own_negative_prompt_stands_where_the_author_says_nothing(
    scene: str | None, look: str, heard: str
) -> None:
    storyboard = board({"negative_prompt": scene}, negative_look=look).model_copy(update={"model": ANIMATOR.name})
    plan = planned(storyboard, models=known(PAINTER, ANIMATOR))
    assert plan.jobs[0].segments[0].negative_prompt == heard
    assert planned(board({})).jobs[0].segments[0].negative_prompt == "", "the empty text, never no guidance"
