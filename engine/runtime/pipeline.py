"""From a job to its takes, on one screen: condition, sample, decode, write, for each sampler call.

Comes in: a complete ``Job`` and the context of this rank. Goes out: the takes, with events on the way. Does not know
sockets, queues or how any of the four verbs is done.
"""

import contextlib
import time
from dataclasses import replace

import torch

from engine.contract.errors import Rejected
from engine.contract.events import Phase, Stage
from engine.contract.jobs import FromModel, Job, Reimagine, Segment, Take, make_job
from engine.contract.values import Sha256
from engine.models.model import Model
from engine.runtime.checks import check_job
from engine.runtime.conditioning import condition
from engine.runtime.decode import decode
from engine.runtime.memory.model_cache import model_key
from engine.runtime.memory.residency import residency_for
from engine.runtime.render_context import RankContext, RenderContext, versions
from engine.runtime.sampling import sample, saved_latents
from engine.storage.pictures import PictureWriter, is_whole, stored
from engine.storage.takes import TakesWriter, finished_takes


def run(job: Job, context: RankContext) -> tuple[Take, ...]:
    """Renders a job. -> the takes on rank 0, none on the others.

    A recipe that has its takes already is not rendered again. After a restart the job continues from its saved state.
    Raises Rejected, Cancelled, another EngineError, or Leaving; the same on every rank.
    """
    began_s = time.monotonic()
    finished = finished_takes(context.workspace, job) if context.ranks.leads else None
    if context.ranks.agree(int(finished is not None)):
        return finished or ()
    picture: Sha256 | None = None
    if isinstance(job.conditioning, FromModel):
        picture = first_frame(job, job.conditioning, context)
        make_upcoming(job, context)
    model = loaded(job, context, "film")
    overlaps = [segment.num_overlap_frames for segment in job.segments]
    writer = TakesWriter(context.workspace, job, max([model.card.continue_num_frames, *overlaps]), picture)
    takes: list[Take] = []
    with torch.inference_mode(), RenderContext(job, context, model, writer, "film") as work:
        render(work)
        work.finish(lambda: takes.extend(writer.finish(work.progress.timings, began_s, versions())))
    return tuple(takes)


def first_frame(job: Job, source: FromModel, context: RankContext) -> Sha256 | None:
    """Makes the picture that a job begins with, unless it is there. -> its hash on rank 0."""
    path = context.workspace.picture(source.recipe)
    if not context.ranks.agree(int(context.ranks.leads and is_whole(path))):
        inner, writer = picture_job(job, source), PictureWriter(path)
        model = loaded(inner, context, "first_frame")
        with torch.inference_mode(), RenderContext(inner, context, model, writer, "first_frame") as work:
            render(work)
            work.finish(writer.finish)
    picture: list[Sha256] = []
    context.ranks.lead(lambda: picture.append(stored(path, context.workspace)))
    return picture[0] if picture else None


def make_upcoming(job: Job, context: RankContext) -> None:
    """First frames of the jobs behind this one, where picture model and film model do not fit in memory together: the
    picture model makes them all before it leaves. One that cannot be made is left to its own job, which says why."""
    if context.models.fits_beside(model_key(job)):
        return
    made: set[Sha256] = set()
    quiet = replace(context, previews=False)
    while (source := _next_upcoming(job, context, made)) is not None:
        made.add(source.recipe)
        with contextlib.suppress(Rejected):
            first_frame(job, source, quiet)


def _next_upcoming(job: Job, context: RankContext, made: set[Sha256]) -> FromModel | None:
    """By what rank 0 knows of the queue by now, the same on every rank."""
    known = context.flags.upcoming
    pictures = known.pictures if known is not None and known.job_id == job.id else ()
    found = next((picture for picture in pictures if picture.recipe not in made), None)
    text = context.ranks.share_text(found.model_dump_json() if found is not None else "")
    return FromModel.model_validate_json(text) if text else None


def picture_job(job: Job, source: FromModel) -> Job:
    """What the picture model does, as a job of one frame with the outer job's id."""
    segment = Segment(
        scene_id=job.scene_ids[0],
        prompt=source.prompt,
        negative_prompt=source.negative_prompt,
        num_frames=1,
        num_overlap_frames=0,
        starts_scene=True,
    )
    return make_job(
        id=job.id,
        project_id=job.project_id,
        scene_ids=job.scene_ids[:1],
        model=source.model,
        weights=source.weights,
        segments=(segment,),
        size_px=source.size_px,
        fps=job.fps,
        num_frames=1,
        seed=source.seed,
        sampler=source.sampler,
        guidance_scale=source.guidance_scale,
        conditioning=None,
        reimagine=Reimagine(media=source.source, strength=source.strength) if source.source else None,
        speed=job.speed.model_copy(update={"precision": source.precision}),
    )


def render(work: RenderContext) -> None:
    """Every sampler call in order; what an earlier attempt finished is not sampled again."""
    for call in range(work.num_calls):
        latents = saved_latents(work, call)
        if latents is None:
            inputs = condition(work, call)
            latents = sample(work, call, inputs)
        decode(work, call, latents)


def loaded(job: Job, context: RankContext, phase: Phase) -> Model:
    """The model of a job, loaded and able to do what the job asks. Raises Rejected."""
    key = model_key(job)
    if not context.models.holds(key):
        now_s, num_segments = time.time(), len(job.segments)
        stage = Stage(time_s=now_s, job_id=job.id, phase=phase, stage="load", segment=0, num_segments=num_segments)
        context.send(stage)
    model = context.models.model(key)
    check_job(job, model.card, context.ranks.size)
    context.models.prepare(residency_for(job.speed.offload, context.ranks.device))
    return model
