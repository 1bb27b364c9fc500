"""First frames and jointly denoised storyboards at the studio, with an engine that draws little real clips."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from engine.contract.card_values import Joint
from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.jobs import FromMedia, FromModel
from studio.document.edits import ChangeScene, ChangeStoryboard
from studio.document.storyboard import Scene
from studio.errors import PlanError
from studio.planning.presets import load_cards
from tests.studio.factories import THREE, Bench, benched, states


def cards() -> dict[str, ModelCard]:
    """The bundled model, with a picture model before it, and as if it denoised all scenes together."""
    diorama = load_cards()["diorama"]
    differs = {"name": "painter", "makes": "picture", "chunk_num_frames": 1, "conditioning_num_frames": ()}
    painter = diorama.model_copy(update={**differs, "capabilities": ("text", "negative_prompt")})
    animator = diorama.model_copy(update={"name": "animator", "first_frame": "painter"})
    joint = Joint(segment_num_frames=8, trained_num_segments=(1, 3), max_num_segments=9)
    differs = {"name": "together", "joint": joint, "conditioning_num_frames": ()}
    together = diorama.model_copy(update={**differs, "capabilities": ("text", "negative_prompt")})
    return {card.name: card for card in (diorama, painter, animator, together)}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with benched(tmp_path, cards=cards()) as made:
        yield made


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Bench]:
    with benched(tmp_path, cards=cards(), apart=True) as made:
        yield made


ONE = Scene(id="a", prompt="a red ball in a meadow", duration_s=1)


def test_a_first_frame_is_kept_shown_and_served(bench: Bench) -> None:
    project = bench.project(ONE, model="animator")
    board = bench.rendered(project.id)
    first = board.scenes[0].first_frame
    assert first.can_make and first.text == "made by Diorama" and first.media is not None
    assert board.scenes[0].take is not None and board.scenes[0].take.picture == first.media
    file = bench.studio.projects.media_file(project.id, first.media)
    assert file is not None and file.content_type == "image/png"
    assert Image.open(file.path).size == (96, 64)
    other = bench.project(ONE, title="Other")
    assert bench.studio.projects.media_file(other.id, first.media) is None


def test_a_first_frame_comes_from_an_engine_elsewhere_too(apart: Bench) -> None:
    project = apart.project(ONE, model="animator")
    first = apart.rendered(project.id).scenes[0].first_frame
    assert first.media is not None and apart.studio.projects.media_path(project.id, first.media) is not None


def test_no_file_is_served_for_a_hash_that_a_take_only_mentions(bench: Bench) -> None:
    project = bench.project(ONE, model="animator")
    bench.rendered(project.id)
    assert bench.studio.projects.media_file(project.id, bench.engine.weights) is None


def test_another_first_frame_is_another_seed_and_another_take(bench: Bench) -> None:
    project = bench.project(ONE, model="animator")
    before = bench.rendered(project.id).scenes[0]
    assert len(bench.studio.rendering.reroll_first_frame(project.id, "a")) == 1
    board = bench.until(project.id, lambda board: len(board.scenes[0].takes) == 2 and not board.render.busy)
    first, second = [job.conditioning for job in bench.engine.submitted]
    assert isinstance(first, FromModel) and isinstance(second, FromModel) and first.seed != second.seed
    assert board.scenes[0].first_frame.seed == second.seed
    assert board.scenes[0].first_frame.media not in (None, before.first_frame.media)
    undone = bench.studio.projects.undo(project.id)
    assert undone.storyboard.scenes[0].first_frame.seed is None
    assert bench.studio.views.board(project.id).scenes[0].state == "fresh"


def test_a_first_frame_that_is_kept_becomes_the_scene_s_own_picture(bench: Bench) -> None:
    project = bench.project(ONE, model="animator")
    shown = bench.rendered(project.id).scenes[0].first_frame.media
    bench.studio.rendering.use_first_frame(project.id, "a")
    board = bench.studio.views.board(project.id)
    conditioning = board.scenes[0].conditioning
    assert conditioning is not None and conditioning.media == shown and conditioning.kind == "image"
    assert conditioning.text.startswith("first frame of scene 1.png")
    assert not board.scenes[0].first_frame.can_make
    bench.rendered(project.id)
    job = bench.engine.submitted[-1]
    assert shown and job.conditioning == FromMedia(kind="image", media=shown, num_frames=1)


def test_a_scene_without_a_made_first_frame_has_none_to_keep(bench: Bench) -> None:
    project = bench.project(ONE)
    bench.rendered(project.id)
    with pytest.raises(PlanError, match="shows no first frame"):
        bench.studio.rendering.use_first_frame(project.id, "a")
    with pytest.raises(PlanError):
        bench.studio.rendering.use_first_frame(project.id, "nobody")


def test_a_clip_to_re_imagine_goes_to_an_engine_elsewhere(apart: Bench, tmp_path: Path) -> None:
    donor = apart.project(ONE)
    clip = apart.rendered(donor.id).scenes[0].take
    assert clip is not None
    project = apart.project(ONE, model="animator", title="Again")
    path = apart.studio.projects.media_path(donor.id, clip.media)
    assert path is not None
    info = apart.studio.projects.add_media(project.id, path, "clip.mp4")
    value = {"media": info.sha256, "strength": 0.5}
    apart.edit(project.id, ChangeScene(scene_id="a", field="conditioning", value=value))
    board = apart.rendered(project.id)
    job = apart.engine.submitted[-1]
    assert job.reimagine is not None and job.reimagine.media == info.sha256
    assert isinstance(job.conditioning, FromModel) and job.conditioning.source == info.sha256
    conditioning = board.scenes[0].conditioning
    assert conditioning is not None and (conditioning.strength, conditioning.first_frame_strength) == (0.5, None)


def test_the_board_says_what_a_model_can_do_and_where_chunks_begin(bench: Bench) -> None:
    scene = ONE.model_copy(update={"duration_s": 3.0, "chunk_prompts": ("a red ball at night",)})
    project = bench.project(scene, model="animator", size_px=(64, 64))
    board = bench.studio.views.board(project.id)
    card = board.scenes[0]
    assert (board.size_px, board.rendered_size_px, board.joint) == ((64, 64), (64, 64), None)
    assert (card.chunk_prompts, card.num_chunks, card.chunk_starts_s) == (("a red ball at night",), 2, (0.0, 2.125))
    models = {model.name: model for model in board.models}
    assert (models["animator"].first_frame, models["animator"].makes, models["animator"].grid_px) == (
        "painter",
        "video",
        16,
    )
    assert models["painter"].makes == "picture" and models["together"].joint
    assert models["animator"].sizes_px["3:2"] == (96, 64) and models["animator"].conditioning_num_frames == (1, 5)
    bench.edit(project.id, ChangeStoryboard(field="size_px", value=[65, 64]))
    refused = bench.studio.views.board(project.id)
    assert (refused.size_px, refused.rendered_size_px) == ((65, 64), None)
    assert "multiples of 16" in refused.render.problem and states(refused) == ["unplannable"]
    assert [(note.level, note.text) for note in refused.notes] == [("error", refused.render.problem)]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("diorama", "Diorama"),
        ("cosmos-predict2-2b-text2image", "Cosmos-Predict2"),
        ("cosmos-predict1-7b-text2world", "Cosmos-Predict1"),
        ("ttt-video-linear-5b", "TTT-Video"),
        ("dfm-dit-s", "NeMo DFM"),
    ],
)
def test_models_are_told_by_family(name: str, family: str) -> None:
    assert load_cards()[name].traits.title == family


# ---- all scenes together
def test_every_scene_gets_its_take_of_the_one_job(bench: Bench) -> None:
    project = bench.project(*THREE, model="together")
    board = bench.rendered(project.id)
    assert len(bench.engine.submitted) == 1 and states(board) == ["fresh"] * 3
    takes = [card.take for card in board.scenes]
    assert all(take is not None and take.matches and take.chosen for take in takes)
    assert len({take.media for take in takes if take}) == 3
    assert [len(card.takes) for card in board.scenes] == [1, 1, 1]
    assert board.film.duration_s == pytest.approx(25 / 8)
    assert board.joint is not None and (board.joint.num_segments, board.joint.segment_s) == (3, 1.0)


def test_several_takes_are_several_seeds_of_the_storyboard(bench: Bench) -> None:
    project = bench.project(*THREE[1:], model="together")
    bench.studio.rendering.render_takes(project.id, 2, ["c"])
    board = bench.until(project.id, lambda board: not board.render.busy)
    assert len(bench.engine.submitted) == 2 and [len(card.takes) for card in board.scenes] == [2, 2]
    assert states(board) == ["fresh"] * 2
    assert {card.take.seed for card in board.scenes if card.take} == {board.seed}


def test_all_cards_show_the_job_while_it_runs_and_stopping_stops_it_for_all(bench: Bench) -> None:
    project = bench.project(*THREE, model="together")
    bench.engine.hold()
    ids = bench.studio.rendering.render(project.id, ["b"])
    board = bench.until(project.id, lambda board: states(board) == ["rendering"] * 3)
    assert {card.job_id for card in board.scenes} == set(ids)
    assert bench.studio.rendering.stop(project.id) == ids
    stopped = bench.until(project.id, lambda board: not board.render.busy)
    assert states(stopped) == ["missing"] * 3


def test_a_failure_is_said_on_every_scene(bench: Bench) -> None:
    project = bench.project(*THREE, model="together")
    bench.engine.fail_next("out of memory")
    bench.studio.rendering.render(project.id)
    board = bench.until(project.id, lambda board: states(board) == ["failed"] * 3)
    assert {card.reason for card in board.scenes} == {"out of memory"}


def test_words_changed_while_it_renders_put_another_job_in_its_place(bench: Bench) -> None:
    project = bench.project(*THREE, model="together")
    bench.engine.hold()
    bench.studio.rendering.render(project.id)
    bench.until(project.id, lambda board: states(board) == ["rendering"] * 3)
    bench.reword(project.id, "c", "a green boat in the snow")
    bench.studio.rendering.render(project.id, ["c"])
    bench.engine.release()
    board = bench.until(project.id, lambda board: states(board) == ["fresh"] * 3 and not board.render.busy)
    assert len(bench.engine.submitted) == 2
    assert [len(card.takes) for card in board.scenes] == [1, 1, 1], "the first job gave way"


def test_another_take_gives_the_storyboard_another_seed(bench: Bench) -> None:
    project = bench.project(*THREE, model="together")
    bench.rendered(project.id)
    bench.studio.rendering.render_again(project.id, "b")
    board = bench.until(project.id, lambda board: len(board.scenes[0].takes) == 2 and not board.render.busy)
    assert states(board) == ["fresh"] * 3
    storyboard = bench.studio.projects.open(project.id).storyboard
    assert storyboard.seed == bench.engine.submitted[-1].seed != 0 and storyboard.scenes[1].seed is None


def test_a_project_with_the_same_words_under_other_names_gets_the_same_takes(bench: Bench) -> None:
    others = tuple(scene.model_copy(update={"id": f"other-{scene.id}"}) for scene in THREE)
    first, second = bench.project(*THREE, model="together"), bench.project(*others, model="together", title="Other")
    bench.engine.hold()
    assert bench.studio.rendering.render(first.id) == bench.studio.rendering.render(second.id)
    bench.engine.release()
    shown = [
        bench.until(one.id, lambda board: states(board) == ["fresh"] * 3 and not board.render.busy)
        for one in (first, second)
    ]
    assert len(bench.engine.submitted) == 1
    media = [[card.take.media for card in board.scenes if card.take] for board in shown]
    assert media[0] == media[1] and len(set(media[0])) == 3


def test_takes_of_a_lost_library_come_back_to_their_scenes(bench: Bench) -> None:
    project = bench.project(*THREE, model="together")
    bench.rendered(project.id)
    bench.edit(project.id, ChangeStoryboard(field="seed", value=5))
    bench.restart_studio()
    board = bench.studio.views.board(project.id)
    assert states(board) == ["stale"] * 3
    bench.edit(project.id, ChangeStoryboard(field="seed", value=0))
    assert states(bench.studio.views.board(project.id)) == ["fresh"] * 3


@pytest.mark.parametrize(
    ("model", "missing", "command"),
    [
        (
            "cosmos-predict2-2b-text2image",
            ("network", "autoencoder"),
            "storyboard models get cosmos-predict2-2b-text2image",
        ),
        ("dfm-dit-xl", ("autoencoder",), "storyboard models get dfm-dit-xl"),
        ("dfm-dit-xl", ("network", "autoencoder"), ""),
        ("diorama", (), ""),
    ],
)
def test_the_command_that_brings_a_model_is_told_where_all_of_it_is_published(
    bench: Bench, model: str, missing: tuple[str, ...], command: str
) -> None:
    status = ModelStatus(card=load_cards()[model], fingerprint="", available=False, reason="not here", missing=missing)
    bench.studio.rendering.update_models([*bench.studio.rendering.models().values(), status])
    (view,) = [view for view in bench.studio.views.board(bench.project(ONE).id).models if view.name == model]
    assert view.command == command
