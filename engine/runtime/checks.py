"""Checks of a job against its model before any work: a job that cannot be rendered is rejected with the reason.

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
    _check_sampler(job, card)


def _check_size(job: Job, card: ModelCard) -> None:
    grid = card.grid_px
    if any(side % grid for side in job.size_px):
        width, height = job.size_px
        raise Rejected("size", f"{width} x {height}: {card.name} makes multiples of {grid} pixels. Plan it again.")
    largest = card.traits.max_size_px
    if largest and any(side > most for side, most in zip(job.size_px, largest, strict=True)):
        (width, height), (most_wide, most_high) = job.size_px, largest
        limit = f"its positions end at {most_wide} x {most_high}"
        raise Rejected("size", f"{width} x {height}: more than {card.name} can make; {limit}. Plan it again.")


def _check_frames(job: Job, card: ModelCard) -> None:
    factor = card.autoencoder.temporal_factor
    if job.joint != (card.joint is not None):
        manner = "all its scenes together" if card.joint else "its scenes one by one"
        raise Rejected("frames", f"{card.name} denoises {manner}. Plan it again.")
    if card.joint:
        return _check_joint(job, card.joint.segment_num_frames)
    for index, segment in enumerate(job.segments):
        if not on_grid(segment.num_frames, factor):
            what = f"segment {index + 1} has {segment.num_frames} frames, and {card.name} makes 1 + a multiple"
            raise Rejected("frames", f"{what} of {factor}. Plan it again.")
        if segment.num_overlap_frames >= segment.num_frames:
            raise Rejected("frames", f"segment {index + 1} repeats all of its frames. Plan it again.")
    new = sum(segment.num_frames - segment.num_overlap_frames for segment in job.segments)
    if new < job.num_frames:
        raise Rejected("frames", f"the segments give {new} frames, {job.num_frames} were asked for. Plan it again.")


def _check_joint(job: Job, segment_num_frames: int) -> None:
    for index, segment in enumerate(job.segments):
        num_frames = segment_num_frames + (1 if index == 0 else 0)
        if segment.num_frames != num_frames or segment.num_overlap_frames:
            what = f"segment {index + 1} has {segment.num_frames} frames ({segment.num_overlap_frames} repeated)"
            raise Rejected("frames", f"{what}; it must have {num_frames}, none repeated. Plan it again.")
    if sum(segment.num_frames for segment in job.segments) < job.num_frames:
        raise Rejected("frames", f"the segments give fewer than the {job.num_frames} frames asked for. Plan it again.")


def _check_sampler(job: Job, card: ModelCard) -> None:
    if job.sampler.name not in card.sampler.allowed or job.sampler.schedule != card.sampler.schedule:
        known = ", ".join(card.sampler.allowed)
        what = f"{job.sampler.name} with {job.sampler.schedule} levels; {card.name} takes {known}"
        raise Rejected("sampler", f"{what} with {card.sampler.schedule} levels. Plan it again.")
    if job.sampler.sigma_min >= job.sampler.sigma_max:
        raise Rejected("sampler", f"sigma_min {job.sampler.sigma_min} is not below sigma_max {job.sampler.sigma_max}.")
    if job.reimagine is not None and "sdedit" not in card.capabilities and card.makes == "video":
        raise Rejected("conditioning", f"{card.name} cannot re-imagine a clip. Take the strength out.")


def _check_conditioning(job: Job, card: ModelCard) -> None:
    num_conditioning = job.conditioning.num_frames if job.conditioning is not None else 0
    overlaps = [segment.num_overlap_frames for segment in job.segments]
    if overlaps[0] not in (0, num_conditioning):
        raise Rejected("conditioning", f"the first segment repeats {overlaps[0]} frames, {num_conditioning} are given.")
    for index, count in enumerate([num_conditioning, *overlaps[1:]]):
        if count == 0 and (index == 0 or job.joint):
            continue
        if count not in card.conditioning_num_frames:
            known = ", ".join(str(n) for n in card.conditioning_num_frames) or "none"
            raise Rejected("conditioning", f"{card.name} cannot start from {count} frames (it can from: {known}).")
        if count >= job.segments[index].num_frames:
            raise Rejected("conditioning", f"segment {index + 1} is given all of its frames. Plan it again.")
