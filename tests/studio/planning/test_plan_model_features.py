"""The ways of using a model, as the plan decides them: made first frames, re-imagined clips, words of chunks, sizes of
one's own, pictures, frame rates and limits. Each rule of the plan has a test here that would notice its change."""

from typing import Any

import pytest

from engine.contract.card_values import SamplerDefaults
from engine.contract.cards import ModelCard
from engine.contract.families.cosmos import CosmosSettings
from engine.contract.families.dfm import DfmSettings
from engine.contract.jobs import FromMedia, FromModel, FromTake, Job, Reimagine
from studio.document.edits import change_scene, change_storyboard
from studio.document.prompts import full_prompts
from studio.document.storyboard import Storyboard
from studio.planning.plan import Plan
from tests.studio.planning.factories import (
    ANIMATOR,
    CARD,
    CLIP,
    MEDIA,
    PAINTER,
    WRITER,
    board,
    card,
    known,
    planned,
    preset,
    rendered,
    take_of,
)

WAYS = known(PAINTER, ANIMATOR, WRITER)


def of(model: ModelCard, *scenes: dict[str, Any], **fields: Any) -> Storyboard:
    return board(*scenes, **fields).model_copy(update={"model": model.name})


def way(storyboard: Storyboard, **settings: Any) -> Plan:
    return planned(storyboard, models=WAYS, **settings)


def notes(plan: Plan) -> list[str]:
    return [note.text for note in plan.notes]


def made(job: Job) -> FromModel:
    assert isinstance(job.conditioning, FromModel)
    return job.conditioning


# ---- Text2World: a picture model makes the first frame
def test_a_scene_that_is_given_nothing_gets_its_first_frame_from_the_picture_model() -> None:
    plan = way(of(ANIMATOR, {"seed": 5}, look="papercut"))
    frame = made(plan.jobs[0])
    assert (frame.model, frame.weights, frame.source) == ("painter", WAYS["painter"].fingerprint, None)
    assert (frame.prompt, frame.negative_prompt, frame.seed) == ("a red ball, papercut", "ugly", 5)
    assert (frame.sampler.num_steps, frame.guidance_scale) == (PAINTER.num_steps, PAINTER.guidance_scale)
    assert frame.size_px == (128, 72), "the picture model's size that is most like 96 x 64"
    assert plan.scenes[0].makes_first_frame
    assert plan.jobs[0].segments[0].num_overlap_frames == 0


def test_a_first_frame_has_words_and_a_seed_of_its_own_if_it_is_given_any() -> None:
    frame = made(way(of(ANIMATOR, {"first_frame": {"prompt": "a blue ball", "seed": 9}}, look="papercut")).jobs[0])
    assert (frame.prompt, frame.seed) == ("a blue ball, papercut", 9)


@pytest.mark.parametrize("aspect, size_px", [("3:2", (128, 72)), ("1:1", (64, 64))])
def test_the_picture_s_shape_follows_the_film_s(aspect: str, size_px: tuple[int, int]) -> None:
    assert made(way(of(ANIMATOR, {}, aspect=aspect)).jobs[0]).size_px == size_px
    assert made(way(of(ANIMATOR, {}, size_px=(64, 64))).jobs[0]).size_px == (64, 64)


@pytest.mark.parametrize(
    "scene, kind",
    [({"conditioning": {"media": "picture.png"}}, FromMedia), ({"transition": "continue"}, FromTake)],
)
def test_a_scene_that_starts_from_something_gets_no_first_frame(scene: dict[str, Any], kind: type) -> None:
    plan = way(of(ANIMATOR, {}, {**scene, "first_frame": {"seed": 3}}))
    assert isinstance(plan.jobs[1].conditioning, kind) and not plan.scenes[1].makes_first_frame
    assert any("first frame's own words and seed are not used" in text for text in notes(plan))


def test_without_the_picture_model_s_weights_the_scene_says_what_else_to_do() -> None:
    models = known(PAINTER, ANIMATOR, missing=("painter",))
    plan = planned(of(ANIMATOR, {}, {"conditioning": {"media": "picture.png"}}), models=models)
    assert [scene.state for scene in plan.scenes] == ["unplannable", "missing"]
    reason = plan.scenes[0].reason
    assert "painter/: no weights" in reason and reason.endswith("Or give the scene a picture")


def test_a_model_that_needs_a_picture_says_so_where_no_picture_model_is_named() -> None:
    alone = ANIMATOR.model_copy(update={"first_frame": None})
    assert "Give the scene a picture" in planned(of(alone, {}), models=known(alone)).scenes[0].reason
    astray = ANIMATOR.model_copy(update={"first_frame": "nobody"})
    assert "the picture model nobody" in planned(of(astray, {}), models=known(astray)).scenes[0].reason


FIRST_FRAME_REASONS = [
    ("first_frame.seed", 7, "first frame re-rolled"),
    ("first_frame.prompt", "a boat", "first frame's words changed"),
    ("prompt", "a boat", "prompt changed"),
    ("seed", 8, "seed changed"),
    ("negative_prompt", "fog", "negative prompt changed"),
    ("conditioning", {"media": "picture.png"}, "picture added"),
    (
        "conditioning",
        {"media": "clip.mp4", "strength": 0.5, "first_frame_strength": 0.2},
        "first frame's strength changed (1 -> 0.2), a clip is re-imagined now",
    ),
]


@pytest.mark.parametrize("field, value, reason", FIRST_FRAME_REASONS, ids=[case[2] for case in FIRST_FRAME_REASONS])
def test_what_changed_of_a_first_frame_is_said_once(field: str, value: Any, reason: str) -> None:
    start = of(ANIMATOR, {})
    plan = way(change_scene(start, "scene-1", field, value), takes=rendered(start, models=WAYS))
    assert (plan.scenes[0].state, plan.scenes[0].reason) == ("stale", reason)


def test_a_first_frame_that_is_made_no_more_is_said() -> None:
    with_picture = of(ANIMATOR, {"conditioning": {"media": "picture.png"}})
    takes = rendered(with_picture, models=WAYS)
    plan = way(change_scene(with_picture, "scene-1", "conditioning", None), takes=takes)
    assert plan.scenes[0].reason == "a picture model makes its first frame now"


def test_a_first_frame_costs_evaluations_and_has_timings_of_its_own() -> None:
    with_frame, without = way(of(ANIMATOR, {"duration_s": 1.0})), planned(board({"duration_s": 1.0}))
    assert with_frame.cost.num_evaluations == without.cost.num_evaluations + PAINTER.num_steps + 1


# ---- SDEdit: a clip is re-imagined
def re_imagined(model: ModelCard, **conditioning: Any) -> Storyboard:
    return of(model, {"duration_s": 1.0, "conditioning": {"media": "clip.mp4", "strength": 0.8, **conditioning}})


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_a_clip_is_re_imagined_at_any_strength_from_0_to_1(strength: float) -> None:
    plan = way(re_imagined(CARD, strength=strength))
    assert plan.jobs[0].reimagine == Reimagine(media=CLIP.sha256, strength=strength)
    assert plan.jobs[0].conditioning is None and notes(plan) == []


@pytest.mark.parametrize("wish, strength", [(None, 0.4), (0.3, 0.3), (1.0, 1.0)])
def test_the_picture_model_re_imagines_the_clip_s_first_frame(wish: float | None, strength: float) -> None:
    frame = made(way(re_imagined(ANIMATOR, first_frame_strength=wish)).jobs[0])
    assert (frame.source, frame.strength) == (CLIP.sha256, strength)


def test_a_first_frame_s_strength_of_0_keeps_the_clip_s_own_without_the_picture_model() -> None:
    models = known(PAINTER, ANIMATOR, missing=("painter",))
    for model in (CARD, ANIMATOR):
        job = planned(re_imagined(model, first_frame_strength=0.0), models=models).jobs[0]
        assert job.conditioning == FromMedia(kind="clip", media=CLIP.sha256, num_frames=1, taken_from="start")
    refused = planned(re_imagined(ANIMATOR), models=models).scenes[0]
    assert "set the first frame's strength to 0" in refused.reason


SDEDIT_NOTES = [
    ({"first_frame_strength": 0.5}, {}, "has no picture model: the first frame is re-imagined with the rest"),
    ({}, {"duration_s": 3.0}, "the clip lasts 1.12 s; after that its last frame"),
    ({"num_frames": 5}, {}, "the number of frames is not used"),
    ({"media": "fast.mp4"}, {}, "the clip has 24 frames a second"),
]


@pytest.mark.parametrize("conditioning, scene, words", SDEDIT_NOTES, ids=[case[2][:24] for case in SDEDIT_NOTES])
def test_what_is_odd_about_a_re_imagined_clip_is_said(
    conditioning: dict[str, Any], scene: dict[str, Any], words: str
) -> None:
    fast = CLIP.model_copy(update={"fps": 24.0, "sha256": "d" * 64})
    storyboard = re_imagined(CARD, **conditioning)
    for field, value in scene.items():
        storyboard = change_scene(storyboard, "scene-1", field, value)
    assert any(words in text for text in notes(way(storyboard, media={**MEDIA, "fast.mp4": fast})))


SDEDIT_ERRORS = [
    (CARD, {"media": "picture.png"}, "only a clip can be re-imagined"),
    (WRITER, {}, "cannot re-imagine a clip"),
    (CARD, {"media": "lost.mp4"}, "is not there"),
]


@pytest.mark.parametrize("model, conditioning, words", SDEDIT_ERRORS, ids=[case[2] for case in SDEDIT_ERRORS])
def test_what_cannot_be_re_imagined_is_refused_in_words(
    model: ModelCard, conditioning: dict[str, Any], words: str
) -> None:
    plan = way(re_imagined(model, **conditioning))
    assert (plan.scenes[0].state, plan.jobs) == ("unplannable", ()) and words in plan.scenes[0].reason


def test_a_strength_for_a_first_frame_alone_means_nothing_and_says_so() -> None:
    plan = way(of(CARD, {"conditioning": {"media": "clip.mp4", "first_frame_strength": 0.5}}))
    assert plan.jobs[0].reimagine is None
    assert any("only for a clip that is re-imagined" in text for text in notes(plan))


@pytest.mark.parametrize(
    "field, value, reason",
    [
        ("conditioning.strength", 0.25, "strength changed (0.8 -> 0.25)"),
        ("conditioning.media", "other.mp4", "the re-imagined clip changed"),
        ("conditioning.strength", None, "clip added, no clip is re-imagined any more"),
        ("conditioning.first_frame_strength", 0.0, "first frame of the clip added"),
    ],
)
def test_a_change_of_what_is_re_imagined_is_said(field: str, value: Any, reason: str) -> None:
    start, media = re_imagined(CARD), {**MEDIA, "other.mp4": CLIP.model_copy(update={"sha256": "d" * 64})}
    plan = way(change_scene(start, "scene-1", field, value), takes=rendered(start, models=WAYS), media=media)
    assert plan.scenes[0].reason == reason


# ---- long scenes: words of their own for each chunk
@pytest.mark.parametrize(
    "own, expected",
    [
        ((), ["a", "a", "a"]),
        (("b",), ["a", "b", "b"]),
        (("b", "c"), ["a", "b", "c"]),
        (("", "c"), ["a", "a", "c"]),
        (("b", " ", "d"), ["a", "b", "b"]),
    ],
)
def test_each_chunk_says_its_own_words_or_goes_on_with_those_before(own: tuple[str, ...], expected: list[str]) -> None:
    scene = board({"prompt": "a", "chunk_prompts": own}).scenes[0]
    assert full_prompts(scene, "", 3) == expected
    assert full_prompts(scene, "look", 3) == [f"{words}, look" for words in expected]


def test_chunks_and_where_they_begin_stand_in_the_plan() -> None:
    plan = planned(board({"duration_s": 4.0, "chunk_prompts": ("a boat", "a fox")}))
    assert [segment.prompt for segment in plan.jobs[0].segments] == ["a red ball", "a boat", "a fox"]
    assert plan.scenes[0].chunk_starts_s == (0.0, 2.125, 3.625) and plan.scenes[0].num_chunks == 3


@pytest.mark.parametrize(
    "own, words",
    [
        (("a", "b", "c"), "the scene is made in 2 parts: the last 2 prompts are not used"),
        (("a", "b"), "the scene is made in 2 parts: the last prompt is not used"),
        (("a",), ""),
    ],
)
def test_prompts_for_more_chunks_than_there_are_get_a_note(own: tuple[str, ...], words: str) -> None:
    said = [text for text in notes(planned(board({"duration_s": 3.0, "chunk_prompts": own}))) if "not used" in text]
    assert said == ([words] if words else [])


def test_words_of_a_chunk_that_changed_are_named_by_number() -> None:
    start = board({"duration_s": 4.0, "chunk_prompts": ("a boat", "a fox")})
    changed = change_scene(start, "scene-1", "chunk_prompts", ["a boat", "glass"])
    assert planned(changed, takes=rendered(start)).scenes[0].reason == "prompt of part 3 changed"


def test_unknown_words_of_a_chunk_are_said_too() -> None:
    plan = planned(board({"duration_s": 4.0, "chunk_prompts": ("a dragon",)}))
    assert any('"dragon"' in text for text in notes(plan))


# ---- sizes and frame rates
def test_a_size_of_the_author_s_own_is_rendered_and_said_to_be_off_the_table() -> None:
    plan = planned(board({}, size_px=(112, 64)))
    assert plan.jobs[0].size_px == plan.size_px == (112, 64)
    assert any("112 x 64 is not a size that Tiny was trained at (96 x 64, 64 x 64)" in text for text in notes(plan))
    assert notes(planned(board({}, size_px=(64, 64)))) == []


@pytest.mark.parametrize(
    "size_px, nearest", [((100, 64), "96 x 64 or 112 x 64"), ((97, 79), "96 x 80 or 96 x 64"), ((16, 17), "16 x 16")]
)
def test_a_size_off_the_grid_is_refused_with_the_nearest_ones(size_px: tuple[int, int], nearest: str) -> None:
    plan = planned(board({}, {}, size_px=size_px))
    assert [scene.state for scene in plan.scenes] == ["unplannable"] * 2 and plan.size_px is None
    error = next(note for note in plan.notes if note.level == "error")
    assert error.scene_id is None and "multiples of 16" in error.text and nearest in error.text


def dit(settings: DfmSettings) -> ModelCard:
    autoencoder = WRITER.autoencoder.model_copy(update={"kind": "cv4x8x8"})
    return card("dit", base=WRITER, family="dfm", dfm=settings, autoencoder=autoencoder)


LIMITED = [
    (
        dit(DfmSettings(max_patches=4)),
        (80, 64),
        "ends at 4 x 4 patches, 64 x 64 pixels",
    ),
    (
        card("pre", cosmos=CosmosSettings(generation="predict2")),
        (1936, 64),
        "ends at 120 x 120 patches, 1920 x 1920 pixels",
    ),
    (card("low", max_size_px=(96, 48)), (64, 64), "ends at 6 x 3 patches, 96 x 48 pixels"),
]


@pytest.mark.parametrize("model, size_px, words", LIMITED, ids=[case[0].name for case in LIMITED])
def test_a_size_beyond_a_model_s_positions_is_refused_with_the_limit(
    model: ModelCard, size_px: tuple[int, int], words: str
) -> None:
    plan = planned(of(model, {}, size_px=size_px), models=known(model))
    assert plan.scenes[0].state == "unplannable" and words in plan.scenes[0].reason


def test_a_size_is_one_reason_to_render_again() -> None:
    start = board({})
    plan = planned(change_storyboard(start, "size_px", [64, 64]), takes=rendered(start))
    assert plan.scenes[0].reason == "size changed (96 x 64 -> 64 x 64)"


TOLD = [
    dit(DfmSettings()),
    card("first", cosmos=CosmosSettings(generation="predict1")),
]


@pytest.mark.parametrize("model", TOLD, ids=[model.name for model in TOLD])
def test_a_network_that_is_told_the_frame_rate_makes_the_one_that_is_asked_for(model: ModelCard) -> None:
    plan = planned(of(model, {"duration_s": 1.0}, fps=12), models=known(model))
    assert (plan.jobs[0].fps, plan.jobs[0].num_frames, plan.fps) == (12, 12, 12)
    other = planned(board({"duration_s": 1.0}, fps=12))
    assert (other.jobs[0].fps, other.jobs[0].num_frames) == (8, 8)
    assert notes(other) == ["Tiny makes 8 frames a second; the film is brought to 12"]


# ---- DFM and other models that cannot go on from a frame
DIT = dit(DfmSettings(max_frames=5))


@pytest.mark.parametrize("duration_s, num_sampled", [(0.125, 1), (0.25, 5), (0.625, 5), (0.75, 9), (2.125, 17)])
def test_where_the_length_is_free_no_more_frames_are_sampled_than_needed(duration_s: float, num_sampled: int) -> None:
    job = planned(of(DIT, {"duration_s": duration_s}), models=known(DIT)).jobs[0]
    assert [segment.num_frames for segment in job.segments] == [num_sampled]
    assert job.num_frames == round(duration_s * 8)


def test_more_frames_than_a_position_table_has_are_refused_with_the_limit() -> None:
    plan = planned(of(DIT, {"duration_s": 2.25}), models=known(DIT))
    assert "table of positions ends at 5 (17 frames, 2.125 s)" in plan.scenes[0].reason


def test_a_model_that_cannot_go_on_makes_one_chunk_and_no_more() -> None:
    fine, long = planned(of(WRITER, {"duration_s": 2.125}, {"duration_s": 2.25}), models=WAYS).scenes
    assert fine.state == "missing" and long.state == "unplannable"
    assert "makes 17 frames (2.125 s) at once" in long.reason


# ---- pictures
def test_a_picture_model_makes_scenes_of_one_frame() -> None:
    plan = way(of(PAINTER, {"duration_s": 30.0}, {"transition": "continue"}, {"conditioning": {"media": "clip.mp4"}}))
    assert (plan.jobs[0].num_frames, len(plan.jobs[0].segments)) == (1, 1)
    assert plan.jobs[0].segments[0].num_frames == 1
    assert "makes pictures: the scene is 1 frame" in notes(plan)[1]
    assert [scene.state for scene in plan.scenes] == ["missing", "unplannable", "unplannable"]


# ---- samplers
def test_a_sampler_that_a_model_does_not_allow_is_answered_with_its_own_and_said() -> None:
    own = SamplerDefaults(name="ddim", allowed=("ddim",), schedule="zero_snr")
    model = card("other", sampler=own)
    plan = planned(of(model, {"overrides": {"sampler": "heun"}}), models=known(model))
    assert (plan.jobs[0].sampler.name, plan.jobs[0].sampler.schedule) == ("ddim", "zero_snr")
    assert "Other is not sampled with heun; ddim is used" in notes(plan)
    assert not any("sampled" in text for text in notes(planned(of(model, {}), models=known(model))))


def test_presets_may_leave_the_number_of_steps_to_the_model() -> None:
    presets = {"balanced": preset("balanced", 1, 1).model_copy(update={"num_steps": "model"})}
    assert planned(board({}), presets=presets).jobs[0].sampler.num_steps == CARD.num_steps


def test_a_take_of_a_made_frame_is_fresh_again_after_a_detour() -> None:
    start = of(ANIMATOR, {"first_frame": {"seed": 1}})
    takes = [take_of(way(start).jobs[0])]
    there = change_scene(start, "scene-1", "first_frame.seed", 2)
    assert way(there, takes=takes).scenes[0].state == "stale"
    assert way(change_scene(there, "scene-1", "first_frame.seed", 1), takes=takes).scenes[0].state == "fresh"
