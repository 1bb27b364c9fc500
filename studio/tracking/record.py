"""What a tracker is sent of a finished take: settings, seconds, score, film.

Comes in: a take, the critique of it. Goes out: a ``TakeRecord`` of plain values. Without ``prompts`` it holds no word
that an author wrote, nor does its film: the comment in the file, which has the recipe, is left out. Does not know
trackers.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg  # pyright: ignore[reportMissingTypeStubs]

from engine.contract.assistants import Critique
from engine.contract.jobs import Take

Plain = str | int | float | bool


@dataclass(frozen=True, slots=True)
class TakeRecord:
    """``settings``: of the job. ``seconds``: by stage, and ``render`` for all. ``score``: None where no critic said it.

    ``film``: the take's file in the media store. ``prompts``: of its segments; empty where they are not to leave.
    """

    take_id: str
    settings: dict[str, Plain]
    seconds: dict[str, float]
    score: float | None
    reasons: tuple[str, ...]
    film: Path
    prompts: tuple[str, ...]
    with_prompts: bool

    @property
    def numbers(self) -> dict[str, float]:
        """Everything that is drawn as a curve."""
        score = {} if self.score is None else {"score": self.score}
        return {**{f"seconds/{stage}": seconds for stage, seconds in self.seconds.items()}, **score}


def record_of(take: Take, critique: Critique | None, film: Path, with_prompts: bool) -> TakeRecord:
    job, (width, height) = take.job, take.size_px
    settings: dict[str, Plain] = {
        "model": job.model,
        "weights": job.weights[:16],
        "width": width,
        "height": height,
        "fps": take.fps,
        "num_frames": take.num_frames,
        "sampler": job.sampler.name,
        "num_steps": job.sampler.num_steps,
        "guidance_scale": job.guidance_scale,
        "seed": take.seed,
        "precision": job.speed.precision,
        "offload": job.speed.offload,
        "conditioning": job.conditioning.kind if job.conditioning else "none",
    }
    return TakeRecord(
        take_id=take.id,
        settings=settings,
        seconds={**take.timings_s, "render": take.render_s},
        score=critique.score if critique else None,
        reasons=critique.reasons if critique and with_prompts else (),
        film=film,
        prompts=tuple(segment.prompt for segment in job.segments) if with_prompts else (),
        with_prompts=with_prompts,
    )


def film_to_send(record: TakeRecord, folder: Path) -> Path:
    """The film under a name ending in .mp4; without its comment where prompts are not to leave. Raises OSError."""
    target = folder / f"{record.take_id}.mp4"
    kept = [] if record.with_prompts else ["-map_metadata", "-1"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(record.film)]
    run = subprocess.run([*command, *kept, "-c", "copy", str(target)], capture_output=True, text=True, timeout=120)
    if run.returncode:
        raise OSError(f"{record.film}: ffmpeg could not copy it: {run.stderr.strip()[:200]}")
    return target
