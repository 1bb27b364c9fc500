"""What a job may ask of a model, looked at before any work: a job that cannot be rendered is refused with the reason.

Comes in: a job, a card, the number of ranks. Goes out: nothing, or Rejected(code). Does not know files or tensors.
"""

from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.frames import on_grid
from engine.contract.jobs import Job


def check_job(job: Job, card: ModelCard, num_ranks: int) -> None:
    _check_size(job, card)
    _check_frames(job, card)
    _check_conditioning(job, card)
    if card.network.num_heads % num_ranks:
        what = f"{card.network.num_heads} attention heads of {card.name} do not divide by {num_ranks} ranks"
        raise Rejected("ranks", f"{what}. Start the engine with a number of ranks that divides them.")
    if job.sampler.sigma_min >= job.sampler.sigma_max:
        raise Rejected("sampler", f"sigma_min {job.sampler.sigma_min} is not below sigma_max {job.sampler.sigma_max}.")


def _check_size(job: Job, card: ModelCard) -> None:
    grid = card.autoencoder.spatial_factor * card.network.patch_spatial
    if any(side % grid for side in job.size_px):
        width, height = job.size_px
        raise Rejected("size", f"{width} x {height}: {card.name} makes multiples of {grid} pixels. Plan it again.")


def _check_frames(job: Job, card: ModelCard) -> None:
    factor = card.autoencoder.temporal_factor
    for index, segment in enumerate(job.segments):
        if not on_grid(segment.num_frames, factor):
            what = f"segment {index + 1} has {segment.num_frames} frames, and {card.name} makes 1 + a multiple"
            raise Rejected("frames", f"{what} of {factor}. Plan it again.")
        if segment.num_overlap_frames >= segment.num_frames:
            raise Rejected("frames", f"segment {index + 1} repeats all of its frames. Plan it again.")
    new = sum(segment.num_frames - segment.num_overlap_frames for segment in job.segments)
    if new < job.num_frames:
        raise Rejected("frames", f"the segments give {new} frames, {job.num_frames} were asked for. Plan it again.")


def _check_conditioning(job: Job, card: ModelCard) -> None:
    given = job.conditioning.num_frames if job.conditioning is not None else 0
    overlaps = [segment.num_overlap_frames for segment in job.segments]
    if overlaps[0] not in (0, given):
        raise Rejected("conditioning", f"the first segment repeats {overlaps[0]} frames, {given} are given.")
    for index, count in enumerate([given, *overlaps[1:]]):
        if count == 0 and index == 0:
            continue
        if count not in card.conditioning_num_frames:
            known = ", ".join(str(n) for n in card.conditioning_num_frames) or "none"
            raise Rejected("conditioning", f"{card.name} cannot start from {count} frames (it can from: {known}).")
        if count >= job.segments[index].num_frames:
            raise Rejected("conditioning", f"segment {index + 1} is given all of its frames. Plan it again.")
