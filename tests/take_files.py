"""Files of takes as a fake engine makes them: little real clips, pictures, and their ``take.json``.

Comes in: jobs. Goes out: files in a workspace. Does not know events or the studio.
"""

import hashlib
import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
from PIL import Image, ImageDraw

from engine.contract.jobs import FromModel, Job, Span, Take
from engine.storage.workspace import Workspace


def write_takes(workspace: Workspace, job: Job, render_s: float) -> tuple[Take, ...]:
    """A real clip for each of the job's scenes with its ``take.json``, written as the ranks do: whole or not at all."""
    picture = write_picture(workspace, job.conditioning) if isinstance(job.conditioning, FromModel) else None
    return tuple(_write_take(workspace, job, span, render_s, picture) for span in job.spans)


def write_picture(workspace: Workspace, wish: FromModel) -> str:
    """A first frame of one colour. -> its SHA-256."""
    path = workspace.picture(wish.recipe)
    Image.new("RGB", wish.size_px, hue_of(wish.recipe)).save(path, "PNG")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_take(workspace: Workspace, job: Job, span: Span, render_s: float, picture: str | None) -> Take:
    folder = workspace.take_folder(span.recipe)
    if (folder / "take.json").exists():
        return Take.model_validate_json((folder / "take.json").read_bytes())
    draft = folder.with_name(f"{span.recipe}.tmp")
    draft.mkdir(parents=True)
    write_clip(draft / "take.mp4", span.end - span.start, job.size_px, job.fps, hue_of(span.recipe))
    with (draft / "take.mp4").open("rb") as file:
        media = hashlib.file_digest(file, "sha256").hexdigest()
    share_s = render_s * (span.end - span.start) / job.num_frames
    take = Take(
        id=span.recipe,
        recipe=span.recipe,
        scene_id=span.scene_id,
        job=job,
        media=media,
        picture=picture,
        first_frame=span.start,
        num_frames=span.end - span.start,
        fps=job.fps,
        size_px=job.size_px,
        seed=job.seed,
        render_s=share_s,
        versions={"engine": "fake"},
        timings_s={"encode": 0.0, "denoise": share_s, "decode": 0.0, "write": 0.0},
    )
    (draft / "take.json").write_text(take.model_dump_json())
    os.replace(draft, folder)
    return take


def hue_of(recipe: str) -> tuple[int, int, int]:
    """A colour of its own for every recipe, so that a frame says which take it is from."""
    return int(recipe[0:2], 16), int(recipe[2:4], 16), int(recipe[4:6], 16)


def write_clip(path: Path, num_frames: int, size_px: tuple[int, int], fps: int, hue: tuple[int, int, int]) -> None:
    """Frames of one colour with a white square that moves right."""
    frames = (_frame(number, num_frames, size_px, hue).tobytes() for number in range(num_frames))
    size = f"{size_px[0]}x{size_px[1]}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps), "-i", "-"]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv420p", "-f", "mp4", str(path)]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    quiet = ["-hide_banner", "-loglevel", "error", "-y"]
    subprocess.run([ffmpeg, *quiet, *source, *encode], input=b"".join(frames), check=True, timeout=60)


def _frame(number: int, num_frames: int, size_px: tuple[int, int], hue: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", size_px, hue)
    left = (size_px[0] - 12) * number // max(1, num_frames - 1)
    ImageDraw.Draw(image).rectangle((left, 4, left + 8, 12), fill=(255, 255, 255))
    return image
