"""What rendering costs: denoiser evaluations, seconds as this machine has measured them, bytes.

Comes in: jobs to be done, and takes that this machine has made. Goes out: ``Cost``. Pure; does not know clocks, queues
or devices: a machine that has rendered nothing yet gives no seconds, and none are made up.
"""

from collections.abc import Iterable, Mapping, Sequence

from engine.contract.cards import ModelCard
from engine.contract.families.ttt import BYTES, LIVE_COPIES
from engine.contract.frames import num_latent_frames
from engine.contract.jobs import FromModel, Job, Take
from engine.contract.values import Value

MAX_TAKES_MEASURED = 30
BYTES_PER_PIXEL = 0.25
"""Of an H.264 take, roughly; with the frames that are kept lossless at its end counted in full."""


class Cost(Value):
    """``num_evaluations``: of the denoiser, those of picture models too. ``seconds``: None: not measured here yet."""

    num_jobs: int
    num_evaluations: int
    seconds: float | None
    num_bytes: int


class Timing(Value):
    """Seconds of one denoiser evaluation, and of everything else per chunk (text, autoencoder, writing)."""

    step_s: float
    chunk_s: float

    def seconds(self, job: Job) -> float:
        return self.step_s * job.num_evaluations + self.chunk_s * len(job.segments)


Timings = Mapping[str, Timing]
"""By ``timing_key``."""


def timing_key(job: Job) -> str:
    """Jobs of one key take equally long per evaluation: same model, size, precision and use of guidance, the same
    length where all of it is denoised together, and first frames that are or are not made."""
    width, height = job.size_px
    guided = "guided" if job.guidance_scale != 1 else "unguided"
    together = f" {len(job.segments)} segments" if job.joint else ""
    first = f" after {job.conditioning.model}" if isinstance(job.conditioning, FromModel) else ""
    return f"{job.model} {width}x{height} {job.speed.precision} {guided}{together}{first}"


def timings_of(takes: Iterable[Take]) -> dict[str, Timing]:
    """What the newest takes of each kind measured, oldest first in ``takes``."""
    kinds: dict[str, list[Take]] = {}
    for take in takes:
        kinds.setdefault(timing_key(take.job), []).append(take)
    return {key: _timing(kind[-MAX_TAKES_MEASURED:]) for key, kind in kinds.items()}


def _timing(takes: Sequence[Take]) -> Timing:
    """A take of a job with several scenes has its share of the job's time."""
    total_s = sum(take.render_s for take in takes)
    denoise_s = min(total_s, sum(take.timings_s.get("denoise", take.render_s) for take in takes))
    return Timing(
        step_s=denoise_s / sum(_share(take) * take.job.num_evaluations for take in takes),
        chunk_s=(total_s - denoise_s) / sum(_share(take) * len(take.job.segments) for take in takes),
    )


def _share(take: Take) -> float:
    return take.num_frames / take.job.num_frames


def cost_of(jobs: Sequence[Job], timings: Timings | None) -> Cost:
    return Cost(
        num_jobs=len(jobs),
        num_evaluations=sum(job.num_evaluations + _of_first_frame(job) for job in jobs),
        seconds=_seconds(jobs, timings or {}),
        num_bytes=sum(_num_bytes(job) for job in jobs),
    )


def _of_first_frame(job: Job) -> int:
    return job.conditioning.sampler.num_evaluations if isinstance(job.conditioning, FromModel) else 0


def _seconds(jobs: Sequence[Job], timings: Timings) -> float | None:
    if any(timing_key(job) not in timings for job in jobs):
        return None
    return round(sum(timings[timing_key(job)].seconds(job) for job in jobs), 3)


def _num_bytes(job: Job) -> int:
    width, height = job.size_px
    kept = max((segment.num_overlap_frames for segment in job.segments), default=0)
    return int(width * height * (job.num_frames * BYTES_PER_PIXEL + kept * 3))


def num_tokens(job: Job, card: ModelCard) -> int:
    """Of one evaluation: of a chunk, or of a joint model's whole sequence."""
    joint = card.traits.joint_cost(job.size_px, len(job.segments), 1)
    if joint is not None:
        return joint.num_tokens
    longest = max(segment.num_frames for segment in job.segments)
    num_latents = num_latent_frames(longest, card.autoencoder.temporal_factor)
    return num_latents * (job.size_px[0] // card.grid_px) * (job.size_px[1] // card.grid_px)


def memory_bytes(job: Job, card: ModelCard) -> int:
    """Of the device while a job is rendered on one rank: weights and live copies of the token sequence, an estimate."""
    branches = 2 if job.speed.guidance == "batched" and job.guidance_scale != 1 else 1
    sequence = LIVE_COPIES * num_tokens(job, card) * card.network.width
    network = (card.network.num_parameters + branches * sequence) * BYTES[job.speed.precision]
    text = card.text.num_parameters * BYTES[card.text.precision]
    return network + text if job.speed.offload == "none" else max(network, text)
