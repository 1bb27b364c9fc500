"""Films from real little clips: what is in which frame, how long, how large; and everything that can fail."""

import errno
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine.contract.jobs import Take
from engine.storage.media import Frames, file_sha256, probe, read_frames
from studio.cli.render import copy_whole
from studio.errors import FilmError
from studio.film.film import (
    EditList,
    Join,
    cut_hash,
    edit_list,
    ffmpeg_path,
    make_film,
    poster_of,
    read_film_metadata,
    scaled,
)
from tests.studio.take_factories import a_take
from tests.take_files import write_clip

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 220)
YAML = "schema: storyboard/1\ntitle: 'a = b; # c \\ d'\nscenes: []\n# ünï ✂\n"


def joined(folder: Path, name: str, hue: tuple[int, int, int], fade_s: float = 0.0, **wishes: object) -> Join:
    settings = {"num_frames": 8, "fps": 8, "size_px": (96, 64), **wishes}
    path = folder / f"{name}.mp4"
    write_clip(path, settings["num_frames"], settings["size_px"], settings["fps"], hue)  # pyright: ignore
    return Join(a_take(name, file_sha256(path), **settings), path, fade_s)


def made(folder: Path, edits: EditList, takes: list[Take] | None = None) -> Path:
    out = folder / "film.mp4"
    make_film(edits, out, YAML, takes or [])
    return out


def frames_in(film: Path) -> Frames:
    return read_frames(film, probe(film).num_frames)


def hues(frames: Frames) -> list[str]:
    """The nearest of the three colours in a corner of each frame that the white square never reaches."""
    corner = frames[:, -16:-8, 8:24].reshape(len(frames), -1, 3).mean(axis=1)
    distances = np.stack([np.abs(corner - hue).sum(axis=1) for hue in (RED, GREEN, BLUE)])
    return ["RGB"[index] for index in distances.argmin(axis=0)]


def test_cuts_show_every_frame_of_every_take_in_order(tmp_path: Path) -> None:
    joins = [joined(tmp_path, "r", RED), joined(tmp_path, "g", GREEN, num_frames=5), joined(tmp_path, "b", BLUE)]
    edits = edit_list(joins)
    frames = frames_in(made(tmp_path, edits))
    assert "".join(hues(frames)) == "R" * 8 + "G" * 5 + "B" * 8
    assert edits.duration_s == 21 / 8


@pytest.mark.parametrize(("fade_s", "fade_frames"), [(0.5, 4), (0.25, 2), (0.01, 0), (9.0, 7)])
def test_a_crossfade_is_as_long_as_stated_and_leaves_each_take_a_frame(
    fade_s: float, fade_frames: int, tmp_path: Path
) -> None:
    joins = [joined(tmp_path, "r", RED), joined(tmp_path, "b", BLUE, fade_s)]
    edits = edit_list(joins)
    frames = frames_in(made(tmp_path, edits))
    assert edits.cuts[1].fade_frames == fade_frames
    assert len(frames) == edits.num_frames == 16 - fade_frames
    assert hues(frames)[0] == "R" and hues(frames)[-1] == "B"


def test_a_crossfade_blends_both_takes(tmp_path: Path) -> None:
    joins = [joined(tmp_path, "r", RED), joined(tmp_path, "b", BLUE, 0.5)]
    frames = frames_in(made(tmp_path, edit_list(joins)))
    red = frames[:, -16:-8, 8:24, 0].mean(axis=(1, 2))
    print("red by frame:", red.round())
    assert red[4] > 190 and red[8] < 60
    assert all(np.diff(red[4:9]) < -20)


def test_cuts_and_crossfades_together(tmp_path: Path) -> None:
    joins = [
        joined(tmp_path, "1", RED),
        joined(tmp_path, "2", GREEN),
        joined(tmp_path, "3", BLUE, 0.5),
        joined(tmp_path, "4", RED),
        joined(tmp_path, "5", GREEN, 0.25),
    ]
    frames = frames_in(made(tmp_path, edit_list(joins)))
    seen = "".join(hues(frames))
    assert len(seen) == 40 - 4 - 2
    assert (seen[:12], seen[16:20], seen[20:26], seen[-6:]) == ("R" * 8 + "G" * 4, "B" * 4, "R" * 6, "G" * 6)


def test_takes_of_other_sizes_and_speeds_are_made_equal(tmp_path: Path) -> None:
    small = joined(tmp_path, "r", RED, size_px=(64, 64), fps=4, num_frames=4)
    joins = [small, joined(tmp_path, "b", BLUE)]
    film = made(tmp_path, edit_list(joins))
    info, frames = probe(film), frames_in(film)
    assert (info.size_px, info.fps, info.num_frames) == ((96, 64), 8.0, 16)
    bars = frames[2, :, :8].mean()
    print("the bar beside a square take:", bars)
    assert bars < 20


@pytest.mark.parametrize(("fps", "scale", "size_px"), [(24, 1.0, (96, 64)), (8, 2.0, (192, 128)), (12, 0.52, (50, 34))])
def test_the_film_has_its_own_speed_and_size(fps: int, scale: float, size_px: tuple[int, int], tmp_path: Path) -> None:
    film = made(tmp_path, scaled(edit_list([joined(tmp_path, "r", RED), joined(tmp_path, "b", BLUE)], fps), scale))
    info = probe(film)
    assert (info.fps, info.size_px, info.num_frames) == (fps, size_px, 2 * fps)


@pytest.mark.parametrize("scale", [0, -1, 0.01, 1e6, float("nan"), float("inf")])
def test_a_size_that_makes_no_sense_is_refused(scale: float, tmp_path: Path) -> None:
    with pytest.raises(FilmError, match="8192 pixels"):
        scaled(edit_list([joined(tmp_path, "r", RED)]), scale)


def test_a_film_of_sixty_scenes(tmp_path: Path) -> None:
    one = joined(tmp_path, "r", RED, num_frames=3)
    film = made(tmp_path, edit_list([Join(one.take, one.path, 0.125 if n % 2 else 0.0) for n in range(60)]))
    assert probe(film).num_frames == 60 * 3 - 30


def test_the_film_starts_to_play_before_it_is_loaded(tmp_path: Path) -> None:
    data = made(tmp_path, edit_list([joined(tmp_path, "r", RED)])).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"avc1" in data


def test_storyboard_and_recipes_are_read_back_from_the_film(tmp_path: Path) -> None:
    join = joined(tmp_path, "r", RED, prompt="= ; # \\ \n 'quoted' ✂")
    metadata = read_film_metadata(made(tmp_path, edit_list([join]), [join.take] * 40))
    assert metadata["storyboard"] == YAML
    assert [Take.model_validate(take) for take in metadata["takes"]] == [join.take] * 40


def test_a_foreign_clip_carries_no_storyboard(tmp_path: Path) -> None:
    join = joined(tmp_path, "r", RED)
    with pytest.raises(FilmError, match="not a film of this studio"):
        read_film_metadata(join.path)


def test_the_hash_changes_with_what_is_seen_alone(tmp_path: Path) -> None:
    red, blue = joined(tmp_path, "r", RED), joined(tmp_path, "b", BLUE)
    plain = cut_hash(edit_list([red, blue]))
    others = [
        edit_list([blue, red]),
        edit_list([red, Join(blue.take, blue.path, 0.5)]),
        edit_list([red, blue], fps=12),
        scaled(edit_list([red, blue]), 2),
        edit_list([red]),
    ]
    assert cut_hash(edit_list([red, Join(blue.take, tmp_path / "elsewhere.mp4", 0.0)])) == plain
    assert len({plain, *map(cut_hash, others)}) == 6


def test_a_poster_is_a_picture_of_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "poster.webp"
    path.write_bytes(poster_of(joined(tmp_path, "g", GREEN).path))
    assert probe(path).content_type == "image/webp"
    assert hues(read_frames(path, 1)) == ["G"]


def test_a_poster_that_takes_too_long_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(FilmError, match="no poster could be made of it in 0.5 s"):
        poster_of(tmp_path / "clip.mp4", timeout_s=0.5)


def test_a_film_of_nothing_is_refused() -> None:
    with pytest.raises(FilmError, match="Add a scene"):
        edit_list([])


def test_a_missing_take_is_named_and_the_old_film_stays(tmp_path: Path) -> None:
    edits = edit_list([joined(tmp_path, "r", RED), joined(tmp_path, "b", BLUE)])
    old = made(tmp_path, edits).read_bytes()
    edits.cuts[1].path.unlink()
    with pytest.raises(FilmError, match="scene 2: the file of its take is missing.*Render it again"):
        made(tmp_path, edits)
    assert (tmp_path / "film.mp4").read_bytes() == old


def test_a_damaged_take_is_an_error_in_words(tmp_path: Path) -> None:
    edits = edit_list([joined(tmp_path, "r", RED), joined(tmp_path, "b", BLUE)])
    edits.cuts[1].path.write_bytes(b"not a clip")
    with pytest.raises(FilmError, match="ffmpeg failed .*b.mp4"):
        made(tmp_path, edits)
    assert not (tmp_path / "film.mp4").exists()


FAILING = {
    "no space": ("#!/bin/sh\necho 'No space left on device' >&2\nexit 28\n", "No space left.*older film is as it was"),
    "says nothing": ("#!/bin/sh\nexit 1\n", "code 1.*said nothing"),
    "killed": ("#!/bin/sh\nkill -9 $$\n", "stopped by signal 9"),
    "not a program": ("", "could not be started|failed"),
}


@pytest.mark.parametrize("name", FAILING)
def test_ffmpeg_failing_leaves_the_old_film(name: str, tmp_path: Path) -> None:
    script, words = FAILING[name]
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(script)
    ffmpeg.chmod(0o755 if script else 0o644)
    edits = edit_list([joined(tmp_path, "r", RED)])
    out = made(tmp_path, edits)
    old = out.read_bytes()
    with pytest.raises(FilmError, match=words):
        make_film(edits, out, YAML, [], ffmpeg=str(ffmpeg))
    assert out.read_bytes() == old
    assert not list(tmp_path.glob(".*.tmp*"))


@contextmanager
def room_for(num_bytes: int) -> Iterator[None]:
    """No file of this process or its children may grow larger: what a full disk looks like from inside."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_film(tmp_path: Path) -> None:
    edits = scaled(edit_list([joined(tmp_path, "r", RED, num_frames=40)]), 4)
    out = made(tmp_path, edits)
    old = out.read_bytes()
    with room_for(2000), pytest.raises(FilmError, match="Free some disk space|free disk space"):
        make_film(edits, out, YAML * 2, [])
    assert out.read_bytes() == old
    assert not list(tmp_path.glob(".*.tmp*"))


def answering(error: int) -> Callable[[int], None]:
    """An fsync that fails with this error for a folder."""

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(error, os.strerror(error))
        os.fsync(descriptor)

    return fsync


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_a_film_in_a_shared_folder_is_written(error: int, tmp_path: Path) -> None:
    make_film(edit_list([joined(tmp_path, "r", RED)]), tmp_path / "film.mp4", YAML, [], fsync=answering(error))
    assert read_film_metadata(tmp_path / "film.mp4")["storyboard"] == YAML


def test_a_disk_that_breaks_is_reported(tmp_path: Path) -> None:
    edits = edit_list([joined(tmp_path, "r", RED)])
    with pytest.raises(FilmError, match="could not be written"):
        make_film(edits, tmp_path / "film.mp4", YAML, [], fsync=answering(errno.EIO))


def test_a_full_disk_where_the_film_is_wanted(tmp_path: Path) -> None:
    film = made(tmp_path, edit_list([joined(tmp_path, "r", RED)]))
    target = tmp_path / "wanted.mp4"
    target.write_bytes(b"older")
    with room_for(100), pytest.raises(FilmError, match="wanted.mp4.*It is kept as .*film.mp4.*--out"):
        copy_whole(film, target)
    assert target.read_bytes() == b"older"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    join = joined(tmp_path, "r", RED)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FilmError, match="could not be written"):
        make_film(edit_list([join]), tmp_path / "file" / "film.mp4", YAML, [])


def test_there_is_an_ffmpeg() -> None:
    assert Path(ffmpeg_path()).exists()
