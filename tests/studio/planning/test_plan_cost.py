"""What a plan costs, and what it says about prompts; which take of a scene is shown.

Comes in: storyboards, takes. Goes out: numbers and notes. Does not know how a job is made.
"""

import pytest

from engine.contract.jobs import Job
from studio.document.edits import (
    change_scene,
    change_storyboard,
    choose_take,
)
from studio.document.prompts import join_look
from studio.document.storyboard import Scene
from studio.planning.cost import timings_of
from studio.planning.prompts import estimated_tokens, unknown_words
from studio.planning.shown_take import index_takes
from tests.studio.planning.factories import (
    CARD,
    PRESETS,
    board,
    planned,
    rendered,
    take_of,
)


def test_cost_counts_evaluations_and_gives_no_seconds_before_they_are_measured() -> None:
    cost = planned(board({"duration_s": 2.0}, {"duration_s": 3.0, "prompt": "b"})).cost
    assert (cost.num_jobs, cost.num_evaluations, cost.seconds) == (2, 21 + 2 * 21, None)
    assert cost.num_bytes > 0
    nothing = planned(board({}), takes=rendered(board({}))).cost
    assert (nothing.num_jobs, nothing.seconds, nothing.num_bytes) == (0, 0.0, 0)


def test_seconds_come_from_what_this_machine_measured() -> None:
    timings = timings_of(rendered(board({"duration_s": 2.0})))
    cost = planned(board({"duration_s": 3.0, "prompt": "b"}), preset="draft", timings=timings).cost
    assert cost.seconds == pytest.approx(2 * (7 * 2.0 / 21 + 1.0), abs=0.001)
    square = change_storyboard(board({}), "aspect", "1:1")
    assert planned(square, timings=timings).cost.seconds is None


def test_seconds_are_those_of_the_newest_takes_together() -> None:
    job = planned(board({"duration_s": 3.0})).jobs[0]
    old, new = take_of(job), take_of(job).model_copy(update={"render_s": 12.6, "timings_s": {"denoise": 8.4}})
    timing = timings_of([old] * 30 + [new] * 30)
    assert [(t.step_s, t.chunk_s) for t in timing.values()] == [(pytest.approx(0.2), pytest.approx(2.1))]
    both = timings_of([old, new])
    assert [t.chunk_s for t in both.values()] == [pytest.approx((2.0 + 4.2) / 4)]


def test_heun_looks_twice_at_every_step() -> None:
    plan = planned(board({"duration_s": 2.0, "overrides": {"sampler": "heun", "num_steps": 10}}))
    assert plan.cost.num_evaluations == 21


@pytest.mark.parametrize(
    "prompt, look, both",
    [("a", "b", "a, b"), ("a.", "b", "a. b"), (" a ", "", "a"), ("", "b", "b"), ("a!", " b ", "a! b"), ("", "", "")],
)
def test_the_look_stands_behind_the_prompt(prompt: str, look: str, both: str) -> None:
    assert join_look(prompt, look) == both


@pytest.mark.parametrize(
    "text, unknown",
    [
        ("A RED ball!", ()),
        ("balls, boats; butterflies' foxes", ()),
        ("glasses in the meadow", ()),
        ("a dragon, a Dragon and dragons", ("dragon", "and", "dragons")),
        ("a ball 4 x 7", ()),
        ("ein Fuß", ("ein", "fuß")),
    ],
)
def test_words_that_a_model_was_never_shown(text: str, unknown: tuple[str, ...]) -> None:
    assert unknown_words(text, CARD) == unknown
    assert unknown_words(text, CARD.model_copy(update={"vocabulary": ()})) == ()


def test_a_prompt_s_length_is_estimated_by_words_and_marks() -> None:
    assert estimated_tokens("a red ball, 4k.") == 7


def test_presets_of_the_plan_can_be_tried_without_saving() -> None:
    def steps(job: Job) -> int:
        return job.sampler.num_steps

    assert steps(planned(board({}), preset="draft").jobs[0]) == PRESETS["draft"].num_steps
    assert steps(planned(board({})).jobs[0]) == PRESETS["balanced"].num_steps


def test_the_chosen_take_is_shown_even_where_a_take_of_the_recipe_is_there() -> None:
    start = board({"seed": 1})
    first = take_of(planned(start).jobs[0], "first")
    fox = change_scene(start, "scene-1", "prompt", "a fox")
    second = take_of(planned(fox).jobs[0], "second")
    scene = planned(choose_take(fox, "scene-1", first.id, first.seed), takes=[first, second]).scenes[0]
    assert (scene.state, scene.take_id) == ("fresh", "first")


def test_which_take_is_shown() -> None:
    job = planned(board({})).jobs[0]
    old, new = take_of(job, "old"), take_of(job, "new")
    elsewhere = take_of(job, "elsewhere").model_copy(update={"scene_id": "scene-2", "recipe": "e" * 64})
    takes = index_takes([old, new, elsewhere])

    def shown(chosen_take: str | None, recipe: str | None) -> str:
        take = takes.shown(Scene(id="scene-1", chosen_take=chosen_take), recipe)
        return take.id if take else ""

    assert shown("old", None) == shown("old", "e" * 64) == "old"
    assert shown(None, "e" * 64) == "elsewhere"
    assert shown(None, None) == shown("gone", "d" * 64) == "new"
    assert takes.shown(Scene(id="scene-3"), None) is None
