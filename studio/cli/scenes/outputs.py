"""Where films, clips and pictures of a command go: names that can be made, copies written whole, pictures, prompts.

Comes in: paths that somebody asked for, finished films and takes. Goes out: files. Does not know flags or plans.
"""

import shutil
from pathlib import Path, PurePosixPath

from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from engine.storage import atomic
from engine.storage.atomic import open_replacing, replacing
from engine.storage.media import read_frames
from studio.document.prompts import full_prompts
from studio.document.storyboard import Storyboard
from studio.errors import FilmError, StoryboardError

PICTURE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
CLIP_SUFFIX = ".mp4"
JPEG_QUALITY = 95
TAIL_FILE = "tail.safetensors"
"""Beside a take: its last frames, (F, H, W, 3) uint8."""


def film_target(out: Path | None, name: str, makes_picture: bool) -> Path:
    """The path of a film, or of the one picture of a storyboard. ``name``: the default, without a suffix.

    Raises StoryboardError for a suffix that is not made.
    """
    suffixes = (*PICTURE_FORMATS, CLIP_SUFFIX) if makes_picture else (CLIP_SUFFIX,)
    if out is None or out.is_dir():
        return (out or Path()) / f"{name}{suffixes[0]}"
    if not out.suffix:
        return out.with_suffix(suffixes[0])
    if out.suffix.lower() not in suffixes:
        what = "a picture" if makes_picture else "a film"
        message = f"{out}: {what}'s name ends in {' or '.join(suffixes)}, not in {out.suffix}; change it"
        raise StoryboardError.at("--out", message)
    return out


def target_of(name: str, makes_picture: bool, out: Path) -> Path:
    """Where a batch entry's file goes: always inside ``out``. Raises ValueError."""
    relative = PurePosixPath(name.replace("\\", "/"))
    if (
        relative.is_absolute()
        or ".." in relative.parts
        or not relative.name
        or "\0" in name
        or ":" in relative.parts[0]
    ):
        raise ValueError(f"{name}: must be a name inside the output folder, without .. and no full path")
    suffix = relative.suffix.lower()
    kind, allowed = ("picture", tuple(PICTURE_FORMATS)) if makes_picture else ("clip", (CLIP_SUFFIX,))
    if not suffix:
        relative = relative.with_suffix(allowed[0])
    elif suffix not in allowed:
        raise ValueError(f"{name}: a {kind}'s name ends in {' or '.join(allowed)}; change it")
    target = (out / relative).with_suffix(relative.suffix.lower())
    if not target.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"{name}: a link leads out of the output folder; choose another name")
    return target


def copy_whole(film: Path, target: Path) -> None:
    """A copy under a temporary name, then renamed: an older film stays where there is no room. Raises FilmError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as draft:
            shutil.copyfile(film, draft)
    except OSError as error:
        what = f"{target}: the film could not be written there ({error.strerror or error})"
        raise FilmError(f"{what}. It is kept as {film}. Choose another place with --out.") from error


def last_frame(clip: Path, take_folder: Path) -> Image.Image:
    """Of a take, without loss where it was rendered on this machine. Raises Rejected."""
    try:
        frames = load_file(take_folder / TAIL_FILE)["frames"]
    except (OSError, KeyError, SafetensorError):
        frames = read_frames(clip, 1)
    return Image.fromarray(frames[-1])


def write_picture(picture: Image.Image, target: Path) -> None:
    """Raises FilmError."""
    kind = PICTURE_FORMATS[target.suffix.lower()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_replacing(target) as file:
            picture.save(file, kind, quality=JPEG_QUALITY)
    except OSError as error:
        what = f"{target}: the picture could not be written there ({error.strerror or error})"
        raise FilmError(f"{what}. Choose another place with --out.") from error


def write_prompts(storyboard: Storyboard, target: Path) -> Path:
    """The prompts as they were rendered, in a ``.txt`` beside a clip or film; a blank line between two scenes.

    -> its path. Raises FilmError.
    """
    path = target.with_suffix(".txt")
    texts = [
        "\n".join(dict.fromkeys(full_prompts(scene, storyboard.look, 1 + len(scene.chunk_prompts))))
        for scene in storyboard.scenes
    ]
    try:
        atomic.write_text(path, "\n\n".join(texts) + "\n")
    except OSError as error:
        what = f"{path}: the prompt could not be written there ({error.strerror or error})"
        raise FilmError(f"{what}. Choose another place with --out.") from error
    return path
