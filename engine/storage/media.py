"""Pictures and clips: a content-addressed store, and reading them with every check that an unknown file needs.

Comes in: files and byte streams from anyone. Goes out: files named by their SHA-256, what they are, and frames as
uint8 arrays. Does not know jobs, models or tensors.
"""

import contextlib
import hashlib
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from engine.contract.errors import Rejected
from engine.contract.media import MediaInfo
from engine.contract.values import Sha256, SizePx
from engine.storage.atomic import Fsync, discard, draft_of, link, publish

Frames = NDArray[np.uint8]
"""(F, H, W, 3) RGB."""

MAX_PIXELS = 64_000_000
MAX_SIDE_PX = 8192
MAX_CLIP_FRAMES = 20_000
IMAGE_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}


def file_sha256(path: Path) -> Sha256:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse(path: Path, what: str) -> Rejected:
    return Rejected("conditioning", f"{path.name}: {what}")


def probe(path: Path) -> MediaInfo:
    """What a picture or clip is, decided by its content, never by its name. Raises Rejected("conditioning")."""
    try:
        num_bytes = path.stat().st_size
    except OSError as error:
        raise _refuse(path, "no such file. Choose the picture or clip again.") from error
    if num_bytes == 0:
        raise _refuse(path, "the file is empty. Choose another picture or clip.")
    content_type = _image_type(path)
    if content_type is not None:
        height, width = _read_image(path).shape[1:3]
        kind, num_frames, fps = "image", 1, 0.0
    else:
        content_type, (width, height), num_frames, fps = _probe_clip(path)
        kind = "clip"
    return MediaInfo(
        sha256=file_sha256(path),
        kind=kind,
        size_px=(width, height),
        num_frames=num_frames,
        fps=fps,
        num_bytes=num_bytes,
        content_type=content_type,
    )


def read_frames(path: Path, num_frames: int) -> Frames:
    """The picture itself (``num_frames`` 1; turned as EXIF says, alpha on white), or a clip's last ``num_frames``.

    -> (F, H, W, 3) uint8. Raises Rejected("conditioning") for what is damaged, foreign or too short.
    """
    if _image_type(path) is None:
        return _last_clip_frames(path, num_frames)
    if num_frames != 1:
        raise _refuse(path, f"a picture is 1 frame, and {num_frames} were asked for. Use a clip, or ask for 1.")
    return _read_image(path)


def _image_type(path: Path) -> str | None:
    try:
        with _bombs_refused(), Image.open(path) as image:
            _check_size(path, image.size)
            if image.format not in IMAGE_TYPES:
                raise _refuse(path, f"{image.format} pictures are not read. Save it as PNG, JPEG or WebP.")
            return IMAGE_TYPES[image.format]
    except UnidentifiedImageError:
        return None
    except FileNotFoundError as error:
        raise _refuse(path, "no such file. Choose the picture or clip again.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise _refuse(path, f"damaged picture ({error}). Choose another.") from error


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS or max(size) > MAX_SIDE_PX:
        raise _refuse(path, f"{width} x {height} pixels is too large. At most {MAX_SIDE_PX} a side and 64 megapixels.")
    if min(size) < 8:
        raise _refuse(path, f"{width} x {height} pixels is too small. At least 8 a side.")


@contextlib.contextmanager
def _bombs_refused() -> Generator[None]:
    """Pillow's own limit is met before a picture's size can be asked; what is below it, ``_check_size`` refuses."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise Rejected("conditioning", f"the picture unpacks to too many pixels ({error}).") from error


def _read_image(path: Path) -> Frames:
    try:
        with _bombs_refused(), Image.open(path) as image:
            turned = ImageOps.exif_transpose(image).convert("RGBA")
            white = Image.new("RGBA", turned.size, (255, 255, 255, 255))
            return np.asarray(Image.alpha_composite(white, turned).convert("RGB"), dtype=np.uint8)[None]
    except (OSError, SyntaxError, ValueError) as error:
        raise _refuse(path, f"damaged or cut-off picture ({error}). Choose another.") from error


def _clip_reader(path: Path) -> Generator[Any]:
    """imageio-ffmpeg's generator: first the metadata, then one bytes object a frame. Only plain local files."""
    read_frames: Any = imageio_ffmpeg.read_frames  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return read_frames(str(path), input_params=["-protocol_whitelist", "file,pipe"])


def _clip_type(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp":
        return "video/mp4"
    return "video/webm" if head[:4] == b"\x1a\x45\xdf\xa3" else None


@contextlib.contextmanager
def _open_clip(path: Path) -> Generator[tuple[dict[str, Any], Iterator[bytes]]]:
    if _clip_type(path) is None:
        raise _refuse(path, "neither a picture (PNG, JPEG, WebP) nor a clip (MP4, WebM). Choose another file.")
    reader = _clip_reader(path)
    try:
        meta: dict[str, Any] = next(reader)
        _check_size(path, meta["size"])
        yield meta, reader
    except (OSError, RuntimeError, StopIteration, IndexError, KeyError) as error:
        raise _refuse(path, "damaged or cut-off clip: no frame could be read. Choose another.") from error
    finally:
        reader.close()


@contextlib.contextmanager
def stream_clip(path: Path) -> Generator[tuple[SizePx, float, Iterator[NDArray[np.uint8]]]]:
    """Size, frames a second, and the frames one by one, (H, W, 3) uint8. Raises Rejected("conditioning")."""
    with _open_clip(path) as (meta, frames):
        width, height = meta["size"]
        arrays = (np.frombuffer(frame, dtype=np.uint8).reshape(height, width, 3) for frame in frames)
        yield (width, height), float(meta["fps"]), arrays


def _probe_clip(path: Path) -> tuple[str, tuple[int, int], int, float]:
    with _open_clip(path) as (meta, frames):
        num_frames = 0
        for _ in frames:
            num_frames += 1
            if num_frames > MAX_CLIP_FRAMES:
                raise _refuse(path, f"more than {MAX_CLIP_FRAMES} frames. Cut the clip first.")
    if num_frames == 0:
        raise _refuse(path, "damaged or cut-off clip: no frame could be read. Choose another.")
    return _clip_type(path) or "", meta["size"], num_frames, float(meta["fps"])


def read_range(path: Path, start: int, num_frames: int) -> Frames:
    """Frames ``start`` up to ``start + num_frames``, (F, H, W, 3) uint8. After a clip's end its last frame stays; a
    picture is repeated. Raises Rejected("conditioning")."""
    if _image_type(path) is not None:
        return np.repeat(_read_image(path), num_frames, axis=0)
    frames_read: list[bytes] = []
    last = b""
    with _open_clip(path) as (meta, frames):
        width, height = meta["size"]
        for index, frame in enumerate(frames):
            last = frame
            if index >= start:
                frames_read.append(frame)
            if len(frames_read) == num_frames:
                break
    if not last:
        raise _refuse(path, "damaged or cut-off clip: no frame could be read. Choose another.")
    frames_read += [last] * (num_frames - len(frames_read))
    return np.frombuffer(b"".join(frames_read), dtype=np.uint8).reshape(-1, height, width, 3)


def read_small(path: Path, max_side_px: int, max_frames: int) -> Frames:
    """A clip's first frames, each reduced by a whole number until no side is longer than ``max_side_px``.

    Raises Rejected("conditioning"), for a picture too.
    """
    if _image_type(path) is not None:
        raise _refuse(path, "is a picture, and a clip is needed. Choose an MP4 or WebM file.")
    small: list[NDArray[np.uint8]] = []
    with _open_clip(path) as (meta, frames):
        width, height = meta["size"]
        for _, frame in zip(range(max_frames), frames, strict=False):
            small.append(_reduced(np.frombuffer(frame, dtype=np.uint8).reshape(height, width, 3), max_side_px))
    if not small:
        raise _refuse(path, "damaged or cut-off clip: no frame could be read. Choose another.")
    return np.stack(small)


def _reduced(frame: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    """Means over blocks; what remains at the right and the bottom is cut off."""
    factor = -(-max(frame.shape[:2]) // max_side_px)
    if factor == 1:
        return frame
    height, width = (side // factor for side in frame.shape[:2])
    blocks = frame[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    means: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)
    return (means + 0.5).astype(np.uint8)


def frames_at(path: Path, places: Sequence[int]) -> Frames:
    """The frames at some ascending places of a clip, (F, H, W, 3) uint8; after its end the last one, of a picture
    itself. Raises Rejected("conditioning")."""
    if _image_type(path) is not None:
        return np.repeat(_read_image(path), len(places), axis=0)
    wanted, found, last = set(places), dict[int, bytes](), b""
    with _open_clip(path) as (meta, frames):
        width, height = meta["size"]
        for index, last in enumerate(frames):
            if index in wanted:
                found[index] = last
    if not last:
        raise _refuse(path, "damaged or cut-off clip: no frame could be read. Choose another.")
    chosen = b"".join(found.get(place, last) for place in places)
    return np.frombuffer(chosen, dtype=np.uint8).reshape(-1, height, width, 3)


def _last_clip_frames(path: Path, num_frames: int) -> Frames:
    frames_read: list[bytes] = []
    with _open_clip(path) as (meta, frames):
        width, height = meta["size"]
        for frame in frames:
            frames_read.append(frame)
            del frames_read[:-num_frames]
    if len(frames_read) < num_frames:
        raise _refuse(path, f"{num_frames} frames were asked for and the clip has {len(frames_read)}. Ask for fewer.")
    return np.frombuffer(b"".join(frames_read), dtype=np.uint8).reshape(-1, height, width, 3)


class MediaStore:
    """Files by their SHA-256. A file here is complete: it appears by renaming. The same content is stored once."""

    def __init__(self, folder: Path, fsync: Fsync = os.fsync) -> None:
        self.folder = folder
        self._fsync = fsync

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def put_file(self, path: Path) -> Sha256:
        """Stores a copy of a file."""
        with path.open("rb") as file:
            return self.put_stream(iter(lambda: file.read(1 << 20), b""))

    def put_stream(self, chunks: Iterable[bytes], expected_sha: str | None = None) -> Sha256:
        """Stores a stream; with ``expected_sha``, other content is refused and nothing is kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = draft_of(self.folder / "stream")
        digest = hashlib.sha256()
        try:
            with draft.open("xb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            sha256 = digest.hexdigest()
            if expected_sha is not None and sha256 != expected_sha:
                raise Rejected("media", f"the content's hash is {sha256}, not {expected_sha}. Send the file again.")
            self.path(sha256).parent.mkdir(parents=True, exist_ok=True)
            publish(draft, self.path(sha256), fsync=self._fsync)
        finally:
            discard(draft)
        return sha256

    def adopt(self, path: Path) -> Sha256:
        """Makes a finished file elsewhere on the same disk available here, by hard link where the disk allows it."""
        sha256 = file_sha256(path)
        if not self.has(sha256):
            self.path(sha256).parent.mkdir(parents=True, exist_ok=True)
            try:
                link(path, self.path(sha256), fsync=self._fsync)
            except OSError:
                return self.put_file(path)
        return sha256
