"""From a job to a take, told on one screen: condition, sample, decode, write, for each segment.

Comes in: a complete ``Job`` and what this rank has at hand. Goes out: the ``Take``, with events on the way. Does not
know sockets, queues or how any of the four verbs is done.
"""

import time

import torch

from engine.contract.events import Stage
from engine.contract.jobs import Job, Take
from engine.runtime.checks import check_job
from engine.runtime.rendering import Rendering, Room
from engine.runtime.takes import finished_take


def run(job: Job, room: Room) -> Take | None:
    """Renders a job. -> the take on rank 0, None on the others.

    A recipe that has its take already is not rendered again. After a death, work goes on from what was saved.
    Raises Rejected, Cancelled, another EngineError, or Leaving; the same on every rank.
    """
    began_s = time.monotonic()
    take = finished_take(room.workspace, job.recipe) if room.ranks.leads else None
    if room.ranks.agree(int(take is not None)):
        return take
    if not room.shelf.holds(job):
        room.send(Stage(time_s=time.time(), job_id=job.id, stage="load", segment=0, num_segments=len(job.segments)))
    model = room.shelf.model(job)
    check_job(job, model.card, room.ranks.size)
    with torch.inference_mode(), Rendering(job, room, model) as work:
        for segment in range(len(job.segments)):
            latents = work.saved_latents(segment)
            if latents is None:
                conditioning = work.condition(segment)
                latents = work.sample(segment, conditioning)
            work.decode(segment, latents)
        return work.finish(began_s)
