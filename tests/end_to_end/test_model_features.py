"""Every way of using the models, from a storyboard to its film: studio, service and real ranks, on tiny models."""

import numpy as np
import pytest

from engine.contract.jobs import FromMedia, FromModel, FromTake
from engine.storage.media import file_sha256, probe, read_frames
from studio.document.edits import ChangeScene
from studio.document.storyboard import Conditioning, FirstFrame, Scene
from tests.end_to_end.conftest import Rig

BALL = Scene(id="ball", prompt="a red ball", duration_s=1)
BOAT = Scene(id="boat", prompt="a blue boat", duration_s=1)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean levels."""
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def test_text_to_world_by_a_picture_model(rig: Rig) -> None:
    """The first frame is made, kept and shown; another seed makes another; the author's own takes its place."""
    board = rig.film("video2world", BALL)
    take = rig.take(board)
    assert isinstance(take.job.conditioning, FromModel) and take.job.conditioning.model == "pictures"
    assert take.picture is not None
    shown = rig.studio.projects.media_file(board.project_id, take.picture)
    assert shown is not None and shown.content_type == "image/png"
    assert probe(shown.path).size_px == take.job.conditioning.size_px
    assert board.scenes[0].first_frame.media == take.picture

    rig.studio.rendering.reroll_first_frame(board.project_id, "ball")
    second = rig.take(rig.rendered(board.project_id))
    assert second.picture not in (None, take.picture)

    rig.studio.rendering.use_first_frame(board.project_id, "ball")
    own = rig.take(rig.rendered(board.project_id))
    assert own.job.conditioning == FromMedia(kind="image", media=second.picture, num_frames=1) and own.picture is None


def test_the_picture_is_made_once(rig: Rig) -> None:
    """Another seed of the film with the same seed of the picture: the same picture, not made again."""
    scene = BALL.model_copy(update={"first_frame": FirstFrame(prompt="a red ball at dawn", seed=4)})
    first = rig.take(rig.film("video2world", scene, seed=1))
    second = rig.take(rig.film("video2world", scene, seed=2))
    assert first.picture == second.picture and first.media != second.media


@pytest.mark.parametrize(("model", "num_frames"), [("worlds", 9), ("dfm", 9)])
def test_text_to_world_by_its_own_network(rig: Rig, model: str, num_frames: int) -> None:
    take = rig.take(rig.film(model, BALL.model_copy(update={"duration_s": num_frames / 8})))
    assert (take.job.conditioning, take.num_frames, take.size_px) == (None, num_frames, (48, 32))


@pytest.mark.parametrize(
    ("model", "start", "num_frames"),
    [("video2world", "picture", 1), ("video2world", "clip", 5), ("predict1", "picture", 1), ("predict1", "clip", 9)],
)
def test_video_to_world(rig: Rig, model: str, start: str, num_frames: int) -> None:
    """From a picture or a clip's last frames; then on from the take before, without loss."""
    media = getattr(rig, start)
    wish = Conditioning(media=file_sha256(media), num_frames=num_frames)
    first = BALL.model_copy(update={"conditioning": wish})
    second = BOAT.model_copy(update={"transition": "continue"})
    board = rig.film(model, first, second, media=media)
    start_of, goes_on = rig.take(board, 1), rig.take(board, 2)
    assert isinstance(start_of.job.conditioning, FromMedia) and start_of.job.conditioning.num_frames == num_frames
    assert goes_on.job.conditioning == FromTake(recipe=start_of.recipe, num_frames=5 if model == "video2world" else 1)


@pytest.mark.parametrize("strengths", [(0.0, 0.0), (0.8, 0.4), (1.0, 1.0)])
def test_a_clip_re_imagined(rig: Rig, strengths: tuple[float, float]) -> None:
    """Both strengths from 0 to 1; the less, the nearer to the clip."""
    whole, first = strengths
    wish = Conditioning(media=file_sha256(rig.clip), strength=whole, first_frame_strength=first)
    scene = BALL.model_copy(update={"conditioning": wish, "duration_s": 2})
    take = rig.take(rig.film("video2world", scene, media=rig.clip))
    assert take.job.reimagine is not None and take.job.reimagine.strength == whole
    assert len(take.job.segments) > 1, "every chunk has its part of the clip"
    kept = isinstance(take.job.conditioning, FromMedia) and take.job.conditioning.taken_from == "start"
    assert kept == (first == 0.0)
    made = read_frames(rig.workspace.take_folder(take.recipe) / "take.mp4", take.num_frames)
    print(f"strengths {strengths}: {difference(made[1:], made[:-1]):.1f} levels from frame to frame")
    assert made.shape == (16, 32, 48, 3)


def test_a_long_scene_with_words_for_each_chunk(rig: Rig) -> None:
    words = ("a red ball rolls", "a red ball stops")
    scene = BALL.model_copy(update={"duration_s": 3, "chunk_prompts": words})
    take = rig.take(rig.film("video2world", scene, aspect="16:9"))
    assert [segment.prompt for segment in take.job.segments][:3] == [BALL.prompt, *words]
    assert (take.num_frames, take.size_px) == (24, (64, 32))


def test_a_size_of_the_authors_own(rig: Rig) -> None:
    board = rig.film("video2world", BALL, size_px=(64, 48))
    assert rig.take(board).size_px == (64, 48)


def test_a_storyboard_denoised_jointly(rig: Rig) -> None:
    """One job, a take for each scene; a change anywhere makes all of them stale."""
    scenes = BALL, BOAT.model_copy(update={"duration_s": 2}), BALL.model_copy(update={"id": "again"})
    board = rig.film("ttt", *scenes)
    takes = [rig.take(board, number) for number in (1, 2, 3)]
    assert len({take.job.recipe for take in takes}) == 1 and len({take.recipe for take in takes}) == 3
    assert [take.num_frames for take in takes] == [9, 16, 8]
    assert "<end_scene>" in takes[0].job.segments[0].prompt
    media = {take.media for take in takes}
    assert len(media) == 3

    project = rig.studio.projects.open(board.project_id)
    edit = ChangeScene(scene_id="boat", field="prompt", value="a green boat")
    rig.studio.projects.edit(project.id, project.revision, edit)
    plan = rig.studio.rendering.plan(project.id)
    assert [scene.state for scene in plan.scenes] == ["stale"] * 3 and len(plan.jobs) == 1
    after = rig.rendered(project.id)
    assert {rig.take(after, number).media for number in (1, 2, 3)}.isdisjoint(media)
