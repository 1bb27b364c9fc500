"""Pictures and clips as strangers send them: what is read is read right, what cannot be is refused in words.

Comes in: files made here. Goes out: failures. Does not know jobs, pages or models.
"""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import Rejected
from engine.storage.media import MediaStore, file_sha256, probe, read_frames

RED, BLUE = (222, 30, 38), (25, 80, 225)


def two_halves(width: int = 40, height: int = 20) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def clip(path: Path, num_frames: int = 9, size: tuple[int, int] = (32, 16)) -> Path:
    """Frame i is grey 20 * i."""
    writer = imageio_ffmpeg.write_frames(str(path), size, fps=8, macro_block_size=1, output_params=["-f", "mp4"])
    writer.send(None)
    for i in range(num_frames):
        writer.send(bytes([20 * i]) * (size[0] * size[1] * 3))
    writer.close()
    return path


def bomb() -> bytes:
    """A PNG of 60000 x 60000 pixels that is a few hundred bytes long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "A.PNG", "picture.JPG", "c.webp", "no-extension"])
def test_a_picture_is_known_by_its_content_whatever_its_name(tmp_path: Path, name: str) -> None:
    kind = {"JPG": "JPEG", "webp": "WEBP"}.get(name.rpartition(".")[2], "PNG")
    two_halves(41, 23).save(tmp_path / name, format=kind)
    info = probe(tmp_path / name)
    assert (info.kind, info.size_px, info.num_frames) == ("image", (41, 23), 1)
    assert info.content_type == f"image/{kind.lower()}"
    assert read_frames(tmp_path / name, 1).shape == (1, 23, 41, 3)


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    two_halves().save(tmp_path / "turned.png", exif=exif)
    frames = read_frames(tmp_path / "turned.png", 1)
    assert probe(tmp_path / "turned.png").size_px == (20, 40) and frames.shape == (1, 40, 20, 3)
    assert tuple(frames[0, 0, 10]) == RED and tuple(frames[0, -1, 10]) == BLUE


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (*RED, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (16, 16), (0, 0, 0, 128)).save(tmp_path / "half.png")
    assert (read_frames(tmp_path / "clear.png", 1) == 255).all()
    assert np.abs(read_frames(tmp_path / "half.png", 1).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "I;16", "CMYK"])
def test_pictures_of_other_modes_are_rgb(tmp_path: Path, mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    Image.new(mode, (16, 9)).save(tmp_path / "picture", format=kind)
    assert read_frames(tmp_path / "picture", 1).shape == (1, 9, 16, 3)


def test_the_last_frames_of_a_clip(tmp_path: Path) -> None:
    info = probe(clip(tmp_path / "clip.MP4"))
    assert (info.kind, info.size_px, info.num_frames, info.fps) == ("clip", (32, 16), 9, 8)
    frames = read_frames(tmp_path / "clip.MP4", 5)
    assert frames.shape == (5, 16, 32, 3)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - [80, 100, 120, 140, 160]).max() < 4


def test_a_clip_of_odd_size_keeps_every_pixel(tmp_path: Path) -> None:
    odd = ["-pix_fmt", "yuv444p"]
    writer = imageio_ffmpeg.write_frames(
        str(tmp_path / "odd.mp4"), (33, 17), fps=8, macro_block_size=1, output_params=odd
    )
    writer.send(None)
    writer.send(bytes(33 * 17 * 3))
    writer.close()
    assert probe(tmp_path / "odd.mp4").size_px == (33, 17)


def content(kind: str, folder: Path) -> bytes:
    stored = io.BytesIO()
    noise = Image.effect_noise((200, 200), 60)
    noise.save(stored, format="JPEG" if kind == "cut-off jpeg" else "PNG")
    match kind:
        case "empty":
            return b""
        case "text":
            return b"this is no picture at all, though it is called one"
        case "svg":
            return b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
        case "playlist":
            return b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
        case "bomb":
            return bomb()
        case "tiny":
            two_halves(4, 4).save(stored := io.BytesIO(), format="PNG")
            return stored.getvalue()
        case "cut-off clip":
            return clip(folder / "whole.mp4").read_bytes()[:500]
        case _:
            return stored.getvalue()[:3000]


@pytest.mark.parametrize(
    "kind, said",
    [
        ("empty", "is empty"),
        ("text", "neither a picture"),
        ("svg", "neither a picture"),
        ("playlist", "neither a picture"),
        ("bomb", "too (large|many pixels)"),
        ("tiny", "too small"),
        ("cut-off png", "damaged or cut-off"),
        ("cut-off jpeg", "damaged or cut-off"),
        ("cut-off clip", "damaged or cut-off clip"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "sent.png"
    path.write_bytes(content(kind, tmp_path))
    with pytest.raises(Rejected, match=said) as caught:
        probe(path)
    assert caught.value.code == "conditioning"


def large_bomb(folder: Path) -> Path:
    """A little below the size at which Pillow itself says no, and far above what is taken here."""
    Image.new("1", (8000, 14000)).save(folder / "large.png")
    return folder / "large.png"


def test_a_picture_that_pillow_only_warns_of_is_refused(tmp_path: Path) -> None:
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(Rejected, match="8000 x 14000 pixels is too large"),
    ):
        probe(large_bomb(tmp_path))


def test_pictures_read_at_once_leave_the_process_as_it_was(tmp_path: Path) -> None:
    """Python's filters of warnings are the whole process's."""
    sizes = {"small.png": (200, 200), "large.png": (1200, 1200)}
    for name, size in sizes.items():
        Image.effect_noise(size, 60).save(tmp_path / name)
    before = list(warnings.filters)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: probe(tmp_path / name), [*sizes, "small.png"] * 40))
    assert list(warnings.filters) == before


def test_what_is_not_there_and_what_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no such file"):
        probe(tmp_path / "gone.png")
    with pytest.raises(Rejected, match="no such file"):
        read_frames(tmp_path / "gone.png", 1)
    with pytest.raises(Rejected, match="20 frames were asked for and the clip has 9"):
        read_frames(clip(tmp_path / "clip.mp4"), 20)
    two_halves().save(tmp_path / "one.png")
    with pytest.raises(Rejected, match="a picture is 1 frame, and 5 were asked for"):
        read_frames(tmp_path / "one.png", 5)


def test_one_content_is_stored_once_and_only_whole(tmp_path: Path) -> None:
    store, source = MediaStore(tmp_path / "media"), tmp_path / "a.png"
    two_halves().save(source)
    sha256 = store.put_file(source)
    assert sha256 == file_sha256(source) == store.put_stream([source.read_bytes()]) == store.adopt(source)
    assert store.path(sha256).read_bytes() == source.read_bytes()
    with pytest.raises(Rejected, match="hash"):
        store.put_stream([b"something else"], expected_sha=sha256)
    files = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert files == [store.path(sha256)]


def test_a_take_enters_the_store_without_a_copy(tmp_path: Path) -> None:
    store, take = MediaStore(tmp_path / "media"), tmp_path / "take.mp4"
    clip(take)
    assert store.path(store.adopt(take)).samefile(take)
