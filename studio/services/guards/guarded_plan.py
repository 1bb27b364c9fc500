"""A plan without what a guard refuses: which texts of its jobs there are to judge, and what is left of it then.

Comes in: a plan, its storyboard, and what is refused of it and why. Goes out: texts with their place in words, and the
plan whose refused scenes are ``unplannable``. Pure; does not know guards, endpoints or caches.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from engine.contract.jobs import FromModel, FromTake, Job
from studio.document.storyboard import Storyboard
from studio.planning.cost import Timings, cost_of
from studio.planning.groups import TOGETHER
from studio.planning.types import Note, Plan, ScenePlan, about_scene


@dataclass(frozen=True, slots=True)
class PromptText:
    """``place``: where it stands, as in ``the guard refuses the negative prompt``."""

    scene_id: str
    place: str
    text: str


Refusals = Mapping[str, tuple[str, str]]
"""By the recipe of a job: the scene whose text is refused, and the reason."""


def texts_of(job: Job, storyboard: Storyboard, own_texts: Collection[str]) -> tuple[PromptText, ...]:
    """Every text of a job that its author wrote, each once; of a refined prompt, the words before it too.

    ``own_texts``: negative prompts of the cards themselves, which no author wrote.
    """
    found: dict[tuple[str, str], PromptText] = {}
    for each in _all_texts(job, storyboard):
        if each.text.strip() and each.text not in own_texts:
            found.setdefault((each.scene_id, each.text), each)
    return tuple(found.values())


def _all_texts(job: Job, storyboard: Storyboard) -> Iterator[PromptText]:
    scenes = {scene.id: scene for scene in storyboard.scenes}
    for scene_id in job.scene_ids:
        segments = [segment for segment in job.segments if segment.scene_id == scene_id]
        for number, segment in enumerate(segments, start=1):
            yield PromptText(scene_id, "prompt" if number == 1 else f"prompt of part {number}", segment.prompt)
        written = scenes[scene_id].prompt if scene_id in scenes else ""
        if not any(written.strip() in segment.prompt for segment in segments):
            yield PromptText(scene_id, "prompt as it was written", written)
        for segment in segments:
            yield PromptText(scene_id, "negative prompt", segment.negative_prompt)
    if isinstance(job.conditioning, FromModel):
        yield PromptText(job.scene_ids[0], "prompt of the first frame", job.conditioning.prompt)
        yield PromptText(job.scene_ids[0], "negative prompt of the first frame", job.conditioning.negative_prompt)


def dependants(job: Job, refused: Mapping[str, str]) -> str | None:
    """The refused scene that a job goes on from, by its take's recipe in ``refused``; None where it does not."""
    start = job.conditioning
    return refused.get(start.recipe) if isinstance(start, FromTake) else None


def without_refused(plan: Plan, refusals: Refusals, timings: Timings | None) -> Plan:
    """The plan with the jobs that may be rendered; scenes of the others, and those that go on from them, are refused.

    Scenes with a take of what is written stay fresh: nothing is rendered of them.
    """
    if not refusals:
        return plan
    reasons: dict[str, str] = {}
    takes: dict[str, str] = {}
    for job in plan.jobs:
        refusal = refusals.get(job.recipe) or _follows(plan, job, takes)
        if refusal is None:
            continue
        reasons.update({scene_id: _reason(plan, scene_id, *refusal) for scene_id in job.scene_ids})
        reasons.update(dict.fromkeys(_same(plan, job), reasons[job.scene_ids[0]]))
        takes.update({span.recipe: span.scene_id for span in job.spans})
    kept = tuple(job for job in plan.jobs if job.recipe not in refusals and not reasons.keys() & set(job.scene_ids))
    scenes = tuple(_refused(scene, reasons.get(scene.scene_id)) for scene in plan.scenes)
    notes = [*plan.notes, *(_note(scene) for scene in scenes if scene.scene_id in reasons)]
    update = {"jobs": kept, "scenes": scenes, "notes": tuple(notes), "cost": cost_of(kept, timings)}
    return plan.model_copy(update={**update, "refused": tuple(reasons)})


def _follows(plan: Plan, job: Job, takes: Mapping[str, str]) -> tuple[str, str] | None:
    before = dependants(job, takes)
    if before is None:
        return None
    return job.scene_ids[0], f"goes on from scene {plan.scene(before).number}, which the guard refuses"


def _same(plan: Plan, job: Job) -> list[str]:
    """Scenes that ask for the very same take."""
    recipes = {span.recipe for span in job.spans}
    return [scene.scene_id for scene in plan.scenes if scene.recipe in recipes and scene.scene_id not in job.scene_ids]


def _reason(plan: Plan, scene_id: str, refused_id: str, reason: str) -> str:
    if scene_id == refused_id:
        return reason
    return f"scene {plan.scene(refused_id).number} is refused by the guard, and {TOGETHER}"


def _refused(scene: ScenePlan, reason: str | None) -> ScenePlan:
    return scene.model_copy(update={"state": "unplannable", "reason": reason}) if reason else scene


def _note(scene: ScenePlan) -> Note:
    return about_scene(scene.scene_id, "error", scene.reason)
