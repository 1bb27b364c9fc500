"""From chosen takes to one film: an edit list, and ffmpeg.

Comes in: takes in the order of the story with how each joins the one before, and where their files are. Goes out: one
mp4 (H.264, yuv420p, faststart) that carries its storyboard and recipes, written whole or not at all; posters. Does not
know projects, plans or the engine. Frames that a continued scene shares with the one before are not in its take.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import imageio_ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from engine.contract.jobs import Take
from engine.contract.values import SizePx
from engine.storage.atomic import Fsync, discard, draft_of, replacing
from studio.errors import FilmError

FFMPEG_TIMEOUT_S = 3600
MIN_SIDE_PX, MAX_SIDE_PX = 16, 8192
QUALITY_CRF = 16
"""x264's constant quality: visually lossless for what the takes hold."""
ENCODER_VERSION = 1
"""Raised where another film would come of the same edit list."""

Scaling = Literal["neighbor", "lanczos"]


@dataclass(frozen=True, slots=True)
class Cut:
    """One take in a film. ``fade_frames`` of the film are blended with the end of the take before; 0 is a plain cut."""

    take_id: str
    media: str
    path: Path
    duration_s: float
    fade_frames: int


@dataclass(frozen=True, slots=True)
class EditList:
    cuts: tuple[Cut, ...]
    size_px: SizePx
    fps: int
    scaling: Scaling = "lanczos"

    @property
    def num_frames(self) -> int:
        return sum(frames_of(cut, self.fps) - cut.fade_frames for cut in self.cuts)

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.fps


@dataclass(frozen=True, slots=True)
class Join:
    """A take with how it joins the one before: ``crossfade_s`` seconds of overlap, 0 for a cut or a continuation."""

    take: Take
    path: Path
    crossfade_s: float


def frames_of(cut: Cut, fps: int) -> int:
    return max(1, round(cut.duration_s * fps))


def edit_list(joins: Sequence[Join], fps: int | None = None, scaling: Scaling = "lanczos") -> EditList:
    """The film's edit list. Size: the largest take's, made even. Raises FilmError for no takes."""
    if not joins:
        raise FilmError("the film has no scenes. Add a scene and render it.")
    film_fps = fps or max(join.take.fps for join in joins)
    width, height = max((join.take.size_px for join in joins), key=lambda size: size[0] * size[1])
    cuts: list[Cut] = []
    for join in joins:
        duration_s = join.take.num_frames / join.take.fps
        fade = _fade_frames(join, cuts[-1] if cuts else None, round(duration_s * film_fps), film_fps)
        cuts.append(Cut(join.take.id, join.take.media, join.path, duration_s, fade))
    return EditList(tuple(cuts), (_even(width), _even(height)), film_fps, scaling)


def scaled(edits: EditList, scale: float) -> EditList:
    """The same film ``scale`` times as large. Raises FilmError for sizes that make no sense."""
    width, height = (_even(pixels * scale) if 0 < scale < 1000 else 0 for pixels in edits.size_px)
    if not (MIN_SIDE_PX <= min(width, height) and max(width, height) <= MAX_SIDE_PX):
        raise FilmError(f"a film {scale:g} times as large has a side under {MIN_SIDE_PX} or over {MAX_SIDE_PX} pixels.")
    return replace(edits, size_px=(width, height))


def _fade_frames(join: Join, before: Cut | None, num_frames: int, fps: int) -> int:
    """As many as asked for, but each of both takes keeps a frame of its own beside its fades."""
    if before is None or join.crossfade_s <= 0:
        return 0
    available = min(num_frames, frames_of(before, fps) - before.fade_frames) - 1
    return max(0, min(round(join.crossfade_s * fps), available))


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)


def cut_hash(edits: EditList) -> str:
    """Changes with everything that decides the film's pixels."""
    cuts = [[cut.media, cut.duration_s, cut.fade_frames] for cut in edits.cuts]
    parts = [ENCODER_VERSION, QUALITY_CRF, cuts, edits.size_px, edits.fps, edits.scaling]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def make_film(
    edits: EditList,
    out: Path,
    storyboard_yaml: str,
    takes: Sequence[Take],
    ffmpeg: str = "",
    fsync: Fsync = os.fsync,
) -> None:
    """Writes the film whole or not at all. An older film stays where anything fails: FilmError."""
    for number, cut in enumerate(edits.cuts, start=1):
        if not cut.path.is_file():
            raise FilmError(f"scene {number}: the file of its take is missing ({cut.path.name}). Render it again.")
    tags = draft_of(out.with_suffix(".txt"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tags.write_text(_tags(storyboard_yaml, takes), encoding="utf-8")
        with replacing(out, fsync=fsync) as draft:
            _run(_arguments(edits, tags, draft, ffmpeg or ffmpeg_path()), out)
    except OSError as error:
        what = f"{out}: the film could not be written ({error.strerror or error})"
        raise FilmError(f"{what}. Free some disk space or choose another place; an older film is as it was.") from error
    finally:
        discard(tags)


def ffmpeg_path() -> str:
    """Raises FilmError where imageio-ffmpeg brings none for this machine and none is installed."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise FilmError(
            "no ffmpeg was found. Install ffmpeg, or the imageio-ffmpeg package for this machine."
        ) from error


def _run(arguments: list[str], out: Path) -> None:
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=FFMPEG_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FilmError(f"{out.name}: ffmpeg took longer than {FFMPEG_TIMEOUT_S} s. Make a shorter film.") from error
    except OSError as error:
        raise FilmError(f"ffmpeg could not be started ({error}). Install ffmpeg or mend its file.") from error
    if done.returncode:
        last_lines = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        how = f"code {done.returncode}" if done.returncode > 0 else f"stopped by signal {-done.returncode}"
        what = f"{out.name}: ffmpeg failed ({how}): {' / '.join(last_lines) or 'it said nothing'}"
        raise FilmError(f"{what}. An older film is as it was; free disk space or render the scene it names again.")


def _arguments(edits: EditList, tags: Path, draft: Path, ffmpeg: str) -> list[str]:
    inputs = [part for cut in edits.cuts for part in ("-i", str(cut.path))]
    return [
        *(ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
        *(*inputs, "-f", "ffmetadata", "-i", str(tags)),
        *("-filter_complex", _graph(edits), "-map", "[film]", "-map_metadata", str(len(edits.cuts))),
        *("-an", "-c:v", "libx264", "-preset", "medium", "-crf", str(QUALITY_CRF), "-pix_fmt", "yuv420p"),
        *("-frames:v", str(edits.num_frames), "-movflags", "+faststart", "-f", "mp4", str(draft)),
    ]


def _graph(edits: EditList) -> str:
    """ffmpeg's filter graph: every take made equal, plain cuts joined into runs, runs blended by crossfades."""
    width, height = edits.size_px
    equal = (
        f"fps={edits.fps},scale={width}:{height}:force_original_aspect_ratio=decrease:flags={edits.scaling},"
        f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1,format=yuv420p,settb=1/{edits.fps}"
    )
    parts: list[str] = []
    for number, cut in enumerate(edits.cuts):
        frames = frames_of(cut, edits.fps)
        hold = f"tpad=stop_mode=clone:stop={frames},trim=end_frame={frames},setpts=N"
        parts.append(f"[{number}:v:0]{equal},{hold}[t{number}]")
    runs = _runs(edits)
    for number, run in enumerate(runs):
        names = "".join(f"[t{position}]" for position in run)
        parts.append(f"{names}concat=n={len(run)}:v=1:a=0,settb=1/{edits.fps},fps={edits.fps}[r{number}]")
    return ";".join([*parts, *_blends(edits, runs)])


def _runs(edits: EditList) -> list[list[int]]:
    runs: list[list[int]] = []
    for position, cut in enumerate(edits.cuts):
        if runs and cut.fade_frames == 0:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs


def _blends(edits: EditList, runs: list[list[int]]) -> list[str]:
    blends: list[str] = []
    so_far = "r0"
    length = sum(frames_of(edits.cuts[position], edits.fps) for position in runs[0])
    for number, run in enumerate(runs[1:], start=1):
        fade = edits.cuts[run[0]].fade_frames
        times = f"duration={fade / edits.fps:.6f}:offset={(length - fade) / edits.fps:.6f}"
        blends.append(f"[{so_far}][r{number}]xfade=transition=fade:{times}[b{number}]")
        so_far = f"b{number}"
        length += sum(frames_of(edits.cuts[position], edits.fps) for position in run) - fade
    return [*blends, f"[{so_far}]null[film]"]


def _tags(storyboard_yaml: str, takes: Sequence[Take]) -> str:
    """In ffmpeg's metadata format; a file, since a long storyboard is too long for a command line."""
    recipes = [take.model_dump(mode="json") for take in takes]
    comment = json.dumps({"storyboard": storyboard_yaml, "takes": recipes}, ensure_ascii=False)
    return ";FFMETADATA1\ncomment=" + re.sub(r"([=;#\\\n])", r"\\\1", comment) + "\n"


def read_film_metadata(path: Path) -> dict[str, Any]:
    """What a film carries: ``storyboard`` (YAML text) and ``takes`` (a Take as JSON each). Raises FilmError."""
    arguments = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-i", str(path)]
    done = subprocess.run(
        [*arguments, "-f", "ffmetadata", "-"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    text = done.stdout.decode(errors="replace")
    found = re.search(r"^comment=((?:[^\\\n]|\\.)*)$", text, re.MULTILINE | re.DOTALL)
    try:
        comment = found[1] if found else ""
        return json.loads(re.sub(r"\\(.)", r"\1", comment, flags=re.DOTALL))
    except ValueError as error:
        raise FilmError(
            f"{path}: carries no storyboard; it is not a film of this studio, or was re-encoded."
        ) from error


def poster_of(clip: Path, timeout_s: float = 60) -> bytes:
    """The first frame of a clip as WebP. Raises FilmError, also where that takes longer than ``timeout_s``."""
    arguments = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-i", str(clip), "-frames:v", "1"]
    encode = ["-c:v", "libwebp", "-quality", "90", "-f", "image2pipe", "-"]
    try:
        done = subprocess.run(
            [*arguments, *encode], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FilmError(f"{clip.name}: no poster could be made of it in {timeout_s:g} s.") from error
    if done.returncode or not done.stdout:
        last_lines = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise FilmError(f"{clip.name}: no poster could be made of it ({' '.join(last_lines)}).")
    return done.stdout
