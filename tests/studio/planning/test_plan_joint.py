"""Storyboards that a model denoises together: one job, a take for each scene, and what is said about it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from engine.contract.frames import num_segments_for
from engine.contract.scene_tokens import END_SCENE, START_SCENE
from studio.document.edits import change_scene, change_storyboard, delete_scene, move_scene
from studio.document.storyboard import Storyboard
from studio.planning.cost import timings_of
from studio.planning.joint_cost import cost_text
from studio.planning.plan import Plan
from studio.rendering.progress import job_makes
from tests.studio.planning.factories import TOGETHER, board, known, planned, rendered, storyboards, takes_of

MODELS = known(TOGETHER)
WHY = "; this model denoises all scenes together"


def story(*scenes: dict[str, Any], **fields: Any) -> Storyboard:
    return board(*scenes, **fields).model_copy(update={"model": "together"})


def three(**fields: Any) -> Storyboard:
    return story({}, {"transition": "continue"}, {"prompt": "a boat"}, **fields)


def plan_of(storyboard: Storyboard, **settings: Any) -> Plan:
    return planned(storyboard, models=MODELS, **settings)


def notes(plan: Plan, scene_id: str | None) -> list[str]:
    return [note.text for note in plan.notes if note.scene_id == scene_id]


def states(plan: Plan) -> list[str]:
    return [scene.state for scene in plan.scenes]


def test_a_storyboard_is_one_job_with_all_its_scenes() -> None:
    (job,) = plan_of(three(seed=7)).jobs
    assert job.joint and job.scene_ids == ("scene-1", "scene-2", "scene-3")
    assert [segment.num_frames for segment in job.segments] == [49, 48, 48] and job.num_frames == 145
    assert [segment.starts_scene for segment in job.segments] == [True] * 3
    assert (job.seed, job.fps, job.guidance_schedule, job.sampler.name) == (7, 16, "ramp", "dpmpp_2m_sde")
    assert job.conditioning is None and all(segment.num_overlap_frames == 0 for segment in job.segments)


def test_cuts_and_crossfades_are_told_in_the_texts_and_continuations_are_not() -> None:
    (job,) = plan_of(story({}, {}, {"transition": "continue"}, {"transition": "crossfade"})).jobs
    assert [segment.prompt for segment in job.segments] == [
        "a red ball" + END_SCENE,
        START_SCENE + "a red ball",
        "a red ball" + END_SCENE,
        START_SCENE + "a red ball",
    ]
    assert any("the film blends" in text for text in notes(plan_of(three(look="")), "scene-1")) is False
    said = notes(plan_of(story({}, {"transition": "crossfade"})), "scene-2")
    assert "a crossfade is a new scene to the model; the film blends the two" in said


def test_a_longer_scene_has_several_segments_with_words_of_their_own() -> None:
    plan = plan_of(story({"duration_s": 9.0, "chunk_prompts": ("a boat",)}, {}, look="papercut"))
    (job,) = plan.jobs
    assert [segment.prompt for segment in job.segments] == [
        "a red ball, papercut",
        "a boat, papercut",
        "a boat, papercut" + END_SCENE,
        START_SCENE + "a red ball, papercut",
    ]
    assert [segment.starts_scene for segment in job.segments] == [True, False, False, True]
    assert [(span.start, span.end) for span in job.spans] == [(0, 145), (145, 193)]
    assert [scene.num_frames for scene in plan.scenes] == [145, 48]
    assert plan.scenes[0].chunk_starts_s == (0.0, 3.062, 6.062)


@pytest.mark.parametrize("duration_s, number", [(0.01, 1), (3.0, 1), (4.49, 1), (4.5, 2), (7.4, 2), (9.0, 3)])
def test_a_scene_is_a_whole_number_of_segments_and_what_was_rounded_is_said(duration_s: float, number: int) -> None:
    assert num_segments_for(duration_s, 3.0) == number
    plan = plan_of(story({"duration_s": duration_s}))
    assert plan.scenes[0].num_chunks == number
    rounded = [text for text in notes(plan, "scene-1") if "is rounded to" in text]
    segments = "1 segment" if number == 1 else f"{number} segments"
    expected = [] if duration_s == 3.0 * number else [f"{duration_s:g} s is rounded to {segments} of 3 s"]
    assert rounded == expected


def test_a_single_segment_works() -> None:
    plan = plan_of(story({}))
    assert (plan.jobs[0].num_frames, states(plan)) == (49, ["missing"])
    assert plan.scenes[0].recipe == plan.jobs[0].recipe


def test_an_empty_storyboard_gives_no_job() -> None:
    plan = plan_of(story())
    assert (plan.jobs, plan.scenes) == ((), ())


def test_each_scene_has_a_take_and_all_are_fresh() -> None:
    plan = plan_of(three(), takes=rendered(three(), models=MODELS))
    assert (states(plan), plan.jobs) == (["fresh"] * 3, ())
    assert len({scene.take_id for scene in plan.scenes}) == 3


REASONS: list[tuple[str, Any, str]] = [
    ("prompt", lambda b: change_scene(b, "scene-3", "prompt", "a fox"), "scene 3's prompt changed"),
    ("negative", lambda b: change_scene(b, "scene-1", "negative_prompt", "x"), "scene 1's negative prompt changed"),
    ("look", lambda b: change_storyboard(b, "look", "woodcut"), "look changed"),
    ("negative look", lambda b: change_storyboard(b, "negative_look", "x"), "negative look changed"),
    ("transition", lambda b: change_scene(b, "scene-2", "transition", "cut"), "scene 2's transition changed"),
    ("duration", lambda b: change_scene(b, "scene-2", "duration_s", 6.0), "scene 2's duration changed (3 s -> 6 s)"),
    ("seed", lambda b: change_storyboard(b, "seed", 9), "seed changed"),
    ("preset", lambda b: change_storyboard(b, "preset", "draft"), "preset changed (balanced -> draft)"),
    ("order", lambda b: move_scene(b, "scene-3", 0), "scenes came, went or moved"),
    ("gone", lambda b: delete_scene(b, "scene-2"), "scenes came, went or moved"),
]


@pytest.mark.parametrize("change, reason", [case[1:] for case in REASONS], ids=[case[0] for case in REASONS])
def test_a_change_anywhere_makes_all_scenes_stale_and_each_says_so(change: Any, reason: str) -> None:
    start = three(look="papercut")
    plan = plan_of(change(start), takes=rendered(start, models=MODELS))
    assert {(scene.state, scene.reason) for scene in plan.scenes} == {("stale", reason + WHY)}
    assert len(plan.jobs) == 1


def test_words_of_a_later_segment_are_a_change_too() -> None:
    start = story({"duration_s": 6.0, "chunk_prompts": ("a boat",)}, {})
    changed = change_scene(start, "scene-1", "chunk_prompts", ["a fox"])
    plan = plan_of(changed, takes=rendered(start, models=MODELS))
    assert plan.scenes[1].reason == "scene 1's prompt of part 2 changed" + WHY


def test_takes_of_another_model_are_stale_for_that_reason() -> None:
    takes = rendered(three().model_copy(update={"model": "tiny"}), models=MODELS)
    reason = plan_of(three(), takes=takes).scenes[0].reason
    assert reason.startswith("model changed (tiny -> together)") and reason.endswith(WHY)


def test_a_take_of_all_scenes_is_not_compared_with_the_prompts_of_one() -> None:
    start = three(look="papercut", negative_look="x")
    alone = start.model_copy(update={"model": "tiny"})
    reason = plan_of(alone, takes=rendered(start, models=MODELS)).scenes[2].reason
    assert reason.startswith("model changed (together -> tiny), frames a second changed (16 -> 8)")
    assert "prompt" not in reason and "look" not in reason and "duration" not in reason


def test_a_sampler_that_all_scenes_ask_for_and_the_model_does_not_allow_is_named() -> None:
    heun = {"overrides": {"sampler": "heun"}}
    plan = plan_of(story(heun, heun))
    assert "Together is not sampled with heun; dpmpp_2m_sde is used" in notes(plan, "scene-2")


def test_what_changes_no_text_and_no_number_changes_no_recipe() -> None:
    start, recipe = three(), plan_of(three()).jobs[0].recipe
    for scene_id, field, value in [
        ("scene-2", "notes", "n"),
        ("scene-2", "seed", 5),
        ("scene-1", "transition", "continue"),
        ("scene-3", "crossfade_s", 1.0),
        ("scene-3", "transition", "crossfade"),
        ("scene-1", "conditioning", {"media": "picture.png"}),
    ]:
        changed = plan_of(change_scene(start, scene_id, field, value))
        assert changed.jobs[0].recipe == recipe, field


def test_one_take_that_is_gone_brings_back_all() -> None:
    takes = rendered(three(), models=MODELS)
    plan = plan_of(three(), takes=[takes[0], takes[2]])
    assert states(plan) == ["fresh", "missing", "fresh"] and len(plan.jobs) == 1


def test_rendering_one_scene_renders_all_and_says_so() -> None:
    plan = plan_of(three(), scene_ids=["scene-2"])
    assert plan.jobs[0].scene_ids == ("scene-1", "scene-2", "scene-3")
    assert "Together denoises all scenes together, so all are rendered" in notes(plan, None)
    assert not any("so all are rendered" in text for text in notes(plan_of(three()), None))


UNUSED = [
    ("conditioning", {"media": "picture.png"}, "the scene's picture or clip is not used"),
    ("first_frame", {"seed": 4}, "no picture model makes a first frame"),
    ("seed", 4, "the scene's own seed is not used"),
    ("overrides", {"num_steps": 4}, "the scene's own settings are not used"),
]


@pytest.mark.parametrize("field, value, words", UNUSED, ids=[case[0] for case in UNUSED])
def test_what_has_no_meaning_for_one_scene_alone_is_said(field: str, value: Any, words: str) -> None:
    plan = plan_of(change_scene(three(), "scene-2", field, value))
    assert any(words in text for text in notes(plan, "scene-2"))
    assert states(plan) == ["missing"] * 3


def test_settings_that_all_scenes_share_are_used() -> None:
    own = {"overrides": {"num_steps": 4, "guidance_scale": 2.0, "sampler": "ddim"}}
    (job,) = plan_of(story(own, own)).jobs
    assert (job.sampler.num_steps, job.guidance_scale, job.sampler.name) == (4, 2.0, "ddim")


@settings(deadline=None, max_examples=40)
@given(storyboards)
def test_any_storyboard_can_be_planned_together_and_rendered_once(drawn: Storyboard) -> None:
    short = tuple(scene.model_copy(update={"duration_s": min(scene.duration_s, 3.0)}) for scene in drawn.scenes)
    able = drawn.model_copy(update={"model": "together", "preset": "draft", "scenes": short})
    plan = plan_of(able)
    stuck = [scene.scene_id for scene in plan.scenes if scene.state == "unplannable"]
    assert len(stuck) in (0, len(plan.scenes)) and len(plan.jobs) == (len(plan.scenes) > 0 and not stuck)
    assert {note.scene_id for note in plan.notes if note.level == "error"} - {None} == set(stuck)
    again = plan_of(able, takes=[take for job in plan.jobs for take in takes_of(job)])
    assert not again.jobs and [scene.scene_id for scene in again.scenes] == [scene.id for scene in able.scenes]


@pytest.mark.parametrize("number, said", [(1, False), (2, True), (3, False), (4, True), (5, True)])
def test_a_length_that_no_weights_were_trained_for_gets_a_note(number: int, said: bool) -> None:
    text = f"no weights of Together were trained for {number} segments (but for 1, 3)"
    assert (text in notes(plan_of(story(*[{}] * number)), None)) is said


def test_more_segments_than_the_model_makes_are_refused() -> None:
    plan = plan_of(story({"duration_s": 9.0}, {"duration_s": 9.0}))
    assert states(plan) == ["unplannable"] * 2 and plan.jobs == ()
    assert "has 6 segments of 3 s, and Together makes at most 5 segments (15 s)" in plan.scenes[1].reason


def test_one_scene_that_cannot_be_rendered_holds_up_all_and_is_named() -> None:
    plan = plan_of(change_scene(three(), "scene-2", "prompt", " "))
    assert states(plan) == ["unplannable"] * 3
    assert "has no prompt" in plan.scenes[1].reason
    assert plan.scenes[2].reason.startswith("scene 2 cannot be rendered, and this model denoises all")


def test_a_text_that_is_longer_than_what_is_taken_at_this_length_is_said() -> None:
    """The engine refuses it, since a scene token may be what is cut."""
    long = {"prompt": "one two three four five six seven eight nine ten eleven twelve"}
    assert any("refuses more than 12" in text for text in notes(plan_of(story(long, {}, {})), "scene-1"))
    assert not any("refuses" in text for text in notes(plan_of(story(long, {})), "scene-1"))


def test_scene_ids_of_the_job_name_its_takes() -> None:
    (job,) = plan_of(three()).jobs
    assert all(job_makes(job, scene.recipe) for scene in plan_of(three()).scenes)
    assert not job_makes(job, None) and not job_makes(job, "0" * 64)


def test_takes_share_the_job_s_time_and_lengths_have_timings_of_their_own() -> None:
    (job,) = plan_of(three()).jobs
    timings = timings_of(takes_of(job))
    changed = change_scene(three(), "scene-1", "prompt", "a fox")
    assert plan_of(changed, timings=timings).cost.seconds == pytest.approx(9.0)
    assert plan_of(changed).cost.num_evaluations == job.sampler.num_evaluations
    assert plan_of(story({}, {}), timings=timings).cost.seconds is None


def test_a_note_says_what_a_step_costs() -> None:
    cost = TOGETHER.traits.joint_cost((96, 64), 3, 1)
    assert cost is not None and cost.ratio > 1
    text = next(text for text in notes(plan_of(three()), None) if "tokens together" in text)
    assert f"{cost.num_tokens:,} tokens" in text and f"{cost.ratio:.2f} times" in text
    assert "without layers that learn the film" in cost_text(replace(cost, ratio=1.0))
