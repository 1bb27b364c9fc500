"""From a job to its takes, told on one screen: condition, sample, decode, write, for each sampler call.

Comes in: a complete ``Job`` and what this rank has at hand. Goes out: the takes, with events on the way. Does not know
sockets, queues or how any of the four verbs is done.
"""

import time

import torch

from engine.contract.events import Phase, Stage
from engine.contract.jobs import FromModel, Job, Reimagine, Segment, Take, make_job
from engine.contract.values import Sha256
from engine.models.model import Model
from engine.runtime.checks import check_job
from engine.runtime.model_cache import model_key
from engine.runtime.render_context import RankContext, RenderContext, versions
from engine.storage.pictures import PictureWriter, is_whole, stored
from engine.storage.takes import TakesWriter, finished_takes


def run(job: Job, room: RankContext) -> tuple[Take, ...]:
    """Renders a job. -> the takes on rank 0, none on the others.

    A recipe that has its takes already is not rendered again. After a death, work goes on from what was saved.
    Raises Rejected, Cancelled, another EngineError, or Leaving; the same on every rank.
    """
    began_s = time.monotonic()
    done = finished_takes(room.workspace, job) if room.ranks.leads else None
    if room.ranks.agree(int(done is not None)):
        return done or ()
    picture = first_frame(job, job.conditioning, room) if isinstance(job.conditioning, FromModel) else None
    model = loaded(job, room, "film")
    overlaps = [segment.num_overlap_frames for segment in job.segments]
    writer = TakesWriter(room.workspace, job, max([model.card.continue_num_frames, *overlaps]), picture)
    takes: list[Take] = []
    with torch.inference_mode(), RenderContext(job, room, model, writer, "film") as work:
        render(work)
        work.finish(lambda: takes.extend(writer.finish(work.progress.timings, began_s, versions())))
    return tuple(takes)


def first_frame(job: Job, wish: FromModel, room: RankContext) -> Sha256 | None:
    """Makes the picture that a job begins with, unless it is there. -> its hash on rank 0."""
    path = room.workspace.picture(wish.recipe)
    if not room.ranks.agree(int(room.ranks.leads and is_whole(path))):
        inner, writer = picture_job(job, wish), PictureWriter(path)
        model = loaded(inner, room, "first_frame")
        with torch.inference_mode(), RenderContext(inner, room, model, writer, "first_frame") as work:
            render(work)
            work.finish(writer.finish)
    picture: list[Sha256] = []
    room.ranks.lead(lambda: picture.append(stored(path, room.workspace)))
    return picture[0] if picture else None


def picture_job(job: Job, wish: FromModel) -> Job:
    """What the picture model does, as a job of one frame with the outer job's id."""
    segment = Segment(
        scene_id=job.scene_ids[0],
        prompt=wish.prompt,
        negative_prompt=wish.negative_prompt,
        num_frames=1,
        num_overlap_frames=0,
        starts_scene=True,
    )
    return make_job(
        id=job.id,
        project_id=job.project_id,
        scene_ids=job.scene_ids[:1],
        model=wish.model,
        weights=wish.weights,
        segments=(segment,),
        size_px=wish.size_px,
        fps=job.fps,
        num_frames=1,
        seed=wish.seed,
        sampler=wish.sampler,
        guidance_scale=wish.guidance_scale,
        conditioning=None,
        reimagine=Reimagine(media=wish.source, strength=wish.strength) if wish.source else None,
        speed=job.speed.model_copy(update={"precision": wish.precision}),
    )


def render(work: RenderContext) -> None:
    """The story itself."""
    for call in range(work.num_calls):
        latents = work.saved_latents(call)
        if latents is None:
            conditioning = work.condition(call)
            latents = work.sample(call, conditioning)
        work.decode(call, latents)


def loaded(job: Job, room: RankContext, phase: Phase) -> Model:
    """The model of a job, once it is sure that it can do what is asked."""
    wanted, num_segments = model_key(job), len(job.segments)
    if not room.models.holds(wanted):
        told = {"time_s": time.time(), "job_id": job.id, "phase": phase, "num_segments": num_segments}
        room.send(Stage(stage="load", segment=0, **told))
    model = room.models.model(wanted)
    check_job(job, model.card, room.ranks.size)
    if job.speed.offload == "components":
        room.models.withdraw()
    return model
