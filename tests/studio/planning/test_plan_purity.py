"""The plan is a function of its input: same input, same plan; the order of takes matters only among equals."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.jobs import Take
from studio.document.storyboard import Storyboard
from studio.planning.plan import Plan
from tests.studio.planning.factories import ANIMATOR, CLIP, PAINTER, TOGETHER, known, planned, storyboards, takes_of

MODELS = known(PAINTER, ANIMATOR, TOGETHER)
NAMES = ["tiny", "animator", "together"]
many = settings(deadline=None, max_examples=20)


def plan_of(storyboard: Storyboard, **settings: Any) -> Plan:
    media = {scene.conditioning.media: CLIP for scene in storyboard.scenes if scene.conditioning}
    return planned(storyboard, models=MODELS, media=media, **settings)


def of_model(drawn: Storyboard, model: str) -> Storyboard:
    """Drawn scenes as this model can make them, at least in length."""
    short = tuple(
        scene.model_copy(update={"prompt": scene.prompt or "a ball", "duration_s": min(scene.duration_s, 3.0)})
        for scene in drawn.scenes
    )
    return drawn.model_copy(update={"model": model, "preset": "draft", "size_px": None, "scenes": short})


def takes_for(storyboard: Storyboard) -> list[Take]:
    return [take for job in plan_of(storyboard).jobs for take in takes_of(job)]


@pytest.mark.parametrize("model", NAMES)
@many
@given(drawn=storyboards)
def test_one_input_gives_one_plan_and_is_not_changed(model: str, drawn: Storyboard) -> None:
    storyboard = of_model(drawn, model)
    takes = takes_for(of_model(drawn.model_copy(update={"seed": 1}), model))
    before = storyboard.model_dump_json(), [take.model_dump_json() for take in takes]
    assert plan_of(storyboard, takes=takes).model_dump_json() == plan_of(storyboard, takes=takes).model_dump_json()
    assert (storyboard.model_dump_json(), [take.model_dump_json() for take in takes]) == before


@pytest.mark.parametrize("model", NAMES)
@many
@given(drawn=storyboards, order=st.randoms(use_true_random=False))
def test_the_order_of_takes_of_different_recipes_does_not_matter_where_all_is_fresh(
    model: str, drawn: Storyboard, order: random.Random
) -> None:
    storyboard = of_model(drawn, model)
    takes = takes_for(storyboard)
    shuffled = [*takes]
    order.shuffle(shuffled)
    plan = plan_of(storyboard, takes=shuffled)
    assert plan == plan_of(storyboard, takes=takes)
    assert {scene.state for scene in plan.scenes} <= {"fresh", "unplannable"} and plan.jobs == ()


@pytest.mark.parametrize("model", NAMES)
@many
@given(drawn=storyboards, other=storyboards, order=st.randoms(use_true_random=False))
def test_which_jobs_are_due_depends_on_no_order_of_takes(
    model: str, drawn: Storyboard, other: Storyboard, order: random.Random
) -> None:
    storyboard = of_model(drawn, model)
    takes = [*takes_for(storyboard)[:2], *takes_for(of_model(other, model))]
    shuffled = [*takes]
    order.shuffle(shuffled)
    one, two = plan_of(storyboard, takes=takes), plan_of(storyboard, takes=shuffled)
    assert (one.jobs, one.cost) == (two.jobs, two.cost)
    assert [(scene.state, scene.recipe) for scene in one.scenes] == [
        (scene.state, scene.recipe) for scene in two.scenes
    ]


@pytest.mark.parametrize("model", NAMES)
@many
@given(drawn=storyboards)
def test_takes_decide_what_is_rendered_and_never_a_recipe(model: str, drawn: Storyboard) -> None:
    storyboard = of_model(drawn, model)
    without, with_takes = plan_of(storyboard), plan_of(storyboard, takes=takes_for(storyboard)[:1])
    assert [scene.recipe for scene in without.scenes] == [scene.recipe for scene in with_takes.scenes]
