"""Pictures and clips that authors bring, who may see them, and two tabs at one studio."""

from pathlib import Path

import pytest
from PIL import Image

from engine.contract.errors import Rejected
from engine.contract.jobs import FromMedia
from studio.document.edits import ChangeScene
from studio.document.formats.yaml_file import from_text, to_text
from studio.document.storyboard import Conditioning, Scene, Storyboard
from studio.errors import ProjectMissing, RevisionConflict, StoryboardError
from studio.studio import Studio
from tests.studio.factories import Bench, benched, states
from tests.take_files import write_clip

ONE = Scene(id="a", prompt="a red ball in a meadow", duration_s=1)


def picture(path: Path, size_px: tuple[int, int] = (96, 64)) -> Path:
    Image.new("RGB", size_px, (200, 40, 40)).save(path)
    return path


def conditioned(bench: Bench, project_id: str, path: Path, num_frames: int = 1) -> None:
    info = bench.studio.projects.add_media(project_id, path, path.name)
    wish = {"media": info.sha256, "num_frames": num_frames, "strength": None}
    bench.edit(project_id, ChangeScene(scene_id="a", field="conditioning", value=wish))


def test_a_picture_becomes_the_first_frame_of_a_scene(tmp_path: Path) -> None:
    with benched(tmp_path, apart=True) as bench:
        project = bench.project(ONE)
        conditioned(bench, project.id, picture(tmp_path / "Ball.PNG"))
        card = bench.studio.views.board(project.id).scenes[0]
        assert card.conditioning is not None and card.conditioning.kind == "image"
        assert card.conditioning.text == "Ball.PNG, 96 x 64"
        bench.rendered(project.id)
        sent = bench.engine.submitted[0].conditioning
        assert isinstance(sent, FromMedia) and bench.engine.media.has(sent.media)


def test_a_clip_gives_its_last_frames(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        write_clip(tmp_path / "c.mp4", 9, (96, 64), 8, (9, 99, 9))
        conditioned(bench, project.id, tmp_path / "c.mp4", num_frames=5)
        bench.rendered(project.id)
        sent = bench.engine.submitted[0].conditioning
        assert isinstance(sent, FromMedia) and (sent.kind, sent.num_frames) == ("clip", 5)


def test_a_clip_with_fewer_frames_than_asked_is_said_on_the_scene(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        write_clip(tmp_path / "c.mp4", 3, (96, 64), 8, (9, 99, 9))
        conditioned(bench, project.id, tmp_path / "c.mp4", num_frames=5)
        card = bench.studio.views.board(project.id).scenes[0]
        assert card.state == "unplannable" and "the clip has 3" in card.reason
        assert card.conditioning is not None and card.conditioning.num_frames_of_clip == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"words, not pixels", "neither a picture"),
        (b"\x89PNG\r\n\x1a\n cut off", "picture|neither"),
        (b"\x00\x00\x00\x18ftypisom cut off", "damaged"),
    ],
)
def test_what_is_no_picture_is_refused_by_the_name_the_author_knows(content: bytes, words: str, tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        upload = tmp_path / "upload-1234.bin"
        upload.write_bytes(content)
        with pytest.raises(Rejected, match=words) as caught:
            bench.studio.projects.add_media(project.id, upload, "my holiday.png")
        assert "my holiday.png" in str(caught.value) and "upload-1234" not in str(caught.value)
        with pytest.raises(Rejected, match="gone.png: no such file|gone.png: could not"):
            bench.studio.projects.add_media(project.id, tmp_path / "nowhere", "gone.png")


def test_a_picture_that_is_no_longer_stored_is_said_before_rendering(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        conditioned(bench, project.id, picture(tmp_path / "p.png"))
        shown = bench.studio.views.board(project.id).scenes[0].conditioning
        assert shown is not None
        bench.store.path(shown.media).unlink()
        with pytest.raises(Rejected, match="Choose it again"):
            bench.studio.rendering.render(project.id)
        assert not bench.studio.views.board(project.id).render.busy


def test_a_project_shows_its_own_files_and_no_other(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project, other = bench.project(ONE), bench.project(ONE.model_copy(update={"prompt": "a car"}))
        info = bench.studio.projects.add_media(project.id, picture(tmp_path / "p.png"), "p.png")
        board = bench.rendered(project.id)
        take = board.scenes[0].take
        assert take and take.poster and board.film.media and board.film.poster
        types = {
            info.sha256: "image/png",
            take.media: "video/mp4",
            take.poster: "image/webp",
            board.film.media: "video/mp4",
            board.film.poster: "image/webp",
        }
        for sha256, content_type in types.items():
            file = bench.studio.projects.media_file(project.id, sha256)
            assert file is not None and file.content_type == content_type and file.path.is_file()
            assert bench.studio.projects.media_path(other.id, sha256) is None
            assert bench.studio.projects.media_path("p-nowhere", sha256) is None
        assert bench.studio.projects.media_path(project.id, "0" * 64) is None
        bench.studio.projects.delete(project.id)
        assert bench.studio.projects.media_path(project.id, take.media) is None


def test_a_file_brings_its_pictures_along(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    picture(tmp_path / "pictures" / "p.png")
    scene = ONE.model_copy(update={"conditioning": Conditioning(media="pictures/p.png")})
    (tmp_path / "board.yaml").write_text(to_text(Storyboard(title="From file", scenes=(scene,))))
    with benched(tmp_path) as bench:
        project = bench.studio.projects.import_file(tmp_path / "board.yaml")
        (tmp_path / "pictures" / "p.png").unlink()
        assert states(bench.rendered(project.id)) == ["fresh"]
        assert from_text(bench.studio.projects.export(project.id)) == bench.studio.projects.open(project.id).storyboard


@pytest.mark.parametrize("media", ["nowhere.png", "../beyond.png", "{folder}/beyond.png"])
def test_a_file_that_was_sent_brings_only_what_lies_beside_it(media: str, tmp_path: Path) -> None:
    """The scene says that its picture is not there; no picture from elsewhere on this machine comes into sight."""
    picture(tmp_path / "beyond.png")
    (tmp_path / "sent").mkdir()
    scene = ONE.model_copy(update={"conditioning": Conditioning(media=media.format(folder=tmp_path))})
    (tmp_path / "sent" / "board.yaml").write_text(to_text(Storyboard(scenes=(scene,))))
    with benched(tmp_path) as bench:
        project = bench.studio.projects.import_file(tmp_path / "sent" / "board.yaml")
        card = bench.studio.views.board(project.id).scenes[0]
        assert card.state == "unplannable" and "is not there. Choose it again" in card.reason
        assert card.conditioning is not None and card.conditioning.kind == ""


def test_a_damaged_picture_beside_a_file_names_the_scene(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no pixels")
    scene = ONE.model_copy(update={"conditioning": Conditioning(media="bad.png")})
    (tmp_path / "board.yaml").write_text(to_text(Storyboard(scenes=(scene,))))
    with benched(tmp_path) as bench:
        with pytest.raises(StoryboardError, match=r"scenes\[0\].conditioning.media: bad.png"):
            bench.studio.projects.import_file(tmp_path / "board.yaml")
        assert bench.studio.projects.summaries() == []


def test_two_tabs_editing_one_scene(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        project = bench.project()
        mine = ChangeScene(scene_id="a", field="prompt", value="mine")
        yours = ChangeScene(scene_id="a", field="prompt", value="yours")
        also = ChangeScene(scene_id="b", field="prompt", value="another scene")
        bench.studio.projects.edit(project.id, project.revision, mine)
        with pytest.raises(RevisionConflict) as caught:
            bench.studio.projects.edit(project.id, project.revision, yours)
        after = bench.studio.projects.edit(project.id, project.revision, also)
        assert (caught.value.yours, caught.value.theirs) == ("yours", "mine")
        assert [card.prompt for card in bench.studio.views.board(project.id).scenes[:2]] == ["mine", "another scene"]
        assert after.revision == bench.studio.views.board(project.id).revision


def test_two_studios_on_one_workspace_see_each_others_edits_and_takes(tmp_path: Path) -> None:
    """The page runs, and the command line renders the same project."""
    with benched(tmp_path) as bench:
        project = bench.project(ONE)
        bench.studio.views.board(project.id)
        other = Studio(bench.workspace, bench.engine, examples=False)
        try:
            edit = ChangeScene(scene_id="a", field="prompt", value="a blue car")
            other.projects.edit(project.id, other.projects.open(project.id).revision, edit)
            assert bench.studio.views.board(project.id).scenes[0].prompt == "a blue car"
            bench.engine.hold()
            other.rendering.render(project.id)
            bench.until(project.id, lambda board: board.scenes[0].state == "rendering")
            bench.engine.release()
            bench.until(project.id, lambda board: board.scenes[0].state == "fresh")
        finally:
            other.close()


def test_names_titles_and_the_trash(tmp_path: Path) -> None:
    with benched(tmp_path) as bench:
        first, second = bench.studio.projects.create(title="Same"), bench.studio.projects.create(title="Same")
        bench.studio.projects.rename(second.id, "Other")
        assert {summary.title for summary in bench.studio.projects.summaries()} == {"Same", "Other"}
        bench.studio.projects.delete(first.id)
        assert [summary.id for summary in bench.studio.projects.summaries()] == [second.id]
        with pytest.raises(ProjectMissing):
            bench.studio.views.board(first.id)
        assert bench.studio.projects.restore(first.id).storyboard.title == "Same"
