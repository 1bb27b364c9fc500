"""From wish to recipe: what would be rendered for a storyboard, why, and what it costs. Pure.

Comes in: a storyboard, presets, models with their fingerprints, the takes there are, what media there is, timings of
this machine. Goes out: a ``Plan`` whose jobs are complete and whose scenes say ``fresh``, ``stale``, ``missing`` or
``unplannable``, and why. Does not know files, queues, devices or the clock. One input always gives one plan.
"""

from collections.abc import Collection, Mapping, Sequence

from engine.contract.cards import ModelStatus
from engine.contract.jobs import Job, Take, make_job
from engine.contract.media import MediaInfo
from studio.document.storyboard import Storyboard
from studio.errors import PlanError
from studio.planning.context import PlanContext, plan_context
from studio.planning.cost import Timings, cost_of
from studio.planning.joint import plan_jointly
from studio.planning.presets import Preset
from studio.planning.scene import plan_scene
from studio.planning.types import Note, Plan, PlannedScene, about_all


def plan(
    storyboard: Storyboard,
    *,
    presets: Mapping[str, Preset],
    models: Mapping[str, ModelStatus],
    takes: Sequence[Take] = (),
    media: Mapping[str, MediaInfo] | None = None,
    timings: Timings | None = None,
    project_id: str = "project",
    preset: str | None = None,
    scene_ids: Collection[str] | None = None,
) -> Plan:
    """What would be rendered, and why.

    ``takes``: all of the project, oldest first. ``media``: by what scenes name as ``conditioning.media``. ``preset``:
    instead of the storyboard's. ``scene_ids``: jobs only for these and for what they continue from; all scenes are
    judged all the same. Raises PlanError for a preset or a model that is not there.
    """
    setting, notes = plan_context(
        storyboard, presets, models, takes, media or {}, project_id, preset or storyboard.preset
    )
    answers, said = plan_jointly(setting) if setting.card.joint else (_one_by_one(setting), [])
    jobs = _jobs_to_render(answers, scene_ids)
    notes += [*said, *(note for answer in answers for note in answer.notes), *_together(jobs, scene_ids, setting)]
    return Plan(
        project_id=project_id,
        jobs=jobs,
        scenes=tuple(answer.plan for answer in answers),
        notes=tuple(notes),
        cost=cost_of(jobs, timings),
        size_px=setting.size_px if min(setting.size_px) else None,
        fps=setting.fps,
    )


def with_new_id(job: Job, attempt: int) -> Job:
    """The same recipe under another id: an engine answers an old id with the old, perhaps cancelled, job."""
    return make_job(**{**dict(job), "id": f"{job.id.split('.')[0]}.{attempt}"})


def _one_by_one(setting: PlanContext) -> list[PlannedScene]:
    answers: list[PlannedScene] = []
    for number, scene in enumerate(setting.storyboard.scenes, start=1):
        answers.append(plan_scene(scene, number, answers[-1].plan if answers else None, setting))
    return answers


def _together(jobs: Sequence[Job], scene_ids: Collection[str] | None, setting: PlanContext) -> list[Note]:
    """A word where more is rendered than was asked for."""
    if scene_ids is None or not any(job.joint and set(job.scene_ids) - set(scene_ids) for job in jobs):
        return []
    return [about_all("info", f"{setting.card.title} denoises all scenes together, so all are rendered")]


def _jobs_to_render(answers: Sequence[PlannedScene], scene_ids: Collection[str] | None) -> tuple[Job, ...]:
    """Jobs of the scenes asked for that are not fresh, with what they continue from; one job for one recipe."""
    wanted = {answer.plan.scene_id for answer in answers} if scene_ids is None else set(scene_ids)
    if missing := wanted - {answer.plan.scene_id for answer in answers}:
        raise PlanError(min(missing), f'no scene has the id "{min(missing)}"; it may have been deleted')
    for answer in reversed(answers):
        if answer.plan.scene_id in wanted and answer.plan.state != "fresh" and answer.plan.continues:
            wanted.add(answer.plan.continues)
    jobs: dict[str, Job] = {}
    for answer in answers:
        if answer.job and answer.plan.state != "fresh" and answer.plan.scene_id in wanted:
            jobs.setdefault(answer.job.recipe, answer.job)
    return tuple(jobs.values())
