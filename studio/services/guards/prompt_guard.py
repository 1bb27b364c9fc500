"""The guard of prompts: what of a plan may be rendered, and what must be asked first.

Comes in: plans, storyboards, the host's policy. Goes out: plans without what is refused, with the reason as an author
can act on it; outcomes of single texts. Asks nobody while a plan is made. Thread-safe. Does not know how jobs are
submitted (``studio.services.guards.submission``), nor the page.
"""

from collections.abc import Collection, Mapping, Sequence

from engine.contract.assistants import Verdict
from engine.contract.cards import ModelStatus
from engine.contract.errors import AssistantFailed
from engine.contract.jobs import Job
from studio.document.storyboard import Scene, Storyboard
from studio.library.verdicts import HeldJob, VerdictRepository
from studio.planning.cost import Timings
from studio.planning.types import Plan
from studio.rendering.models import ModelCatalog
from studio.services.assistants.settings import GuardSetting
from studio.services.guards.guarded_plan import PromptText, Refusals, texts_of, without_refused
from studio.services.guards.policy import GuardPolicy, policy_of
from studio.services.guards.text_guards import Outcome, TextGuards


class PromptGuard:
    def __init__(
        self, setting: GuardSetting, texts: TextGuards, verdicts: VerdictRepository, models: ModelCatalog
    ) -> None:
        self.texts = texts
        self._setting = setting
        self._verdicts = verdicts
        self._models = models

    def policy(self, model: str, project_id: str) -> GuardPolicy:
        status = self._models.all().get(model)
        return policy_of(self._setting, status.card if status else None, self._verdicts.is_off(project_id))

    def guarded(self, plan: Plan, storyboard: Storyboard, timings: Timings | None) -> Plan:
        """The plan without what is known to be refused."""
        policy = self.policy(storyboard.model, plan.project_id)
        if policy.refusal:
            refusals: Refusals = {job.recipe: (job.scene_ids[0], policy.refusal) for job in plan.jobs}
        elif policy.on:
            refusals = self._refusals(plan.jobs, storyboard)
        else:
            return plan
        return without_refused(plan, refusals, timings)

    def check(self, scene: Scene, model: str, project_id: str) -> None:
        """Before a refiner reads an author's words. Asks whoever must be asked, and raises AssistantFailed where they
        are refused, or where they cannot be judged and a guard is demanded."""
        policy = self.policy(model, project_id)
        if not policy.on:
            return
        for number, text in enumerate((scene.prompt, *scene.chunk_prompts), start=1):
            outcome = self.texts.ask(text) if text.strip() else Outcome("safe")
            place = "prompt" if number == 1 else f"prompt of part {number}"
            if outcome.kind == "unsafe" and outcome.verdict is not None:
                raise AssistantFailed(refusal_text(place, outcome.verdict) + ".")
            if outcome.kind == "failed" and policy.required:
                raise AssistantFailed(f"the guard could not be asked ({outcome.reason}), and {policy.required}.")

    def held(self, job: Job, storyboard: Storyboard, scene_ids: Sequence[str]) -> HeldJob:
        """A job with its texts, as it waits."""
        texts = self._texts_of(job, storyboard)
        return HeldJob(job, tuple(scene_ids), tuple((each.scene_id, each.place, each.text) for each in texts))

    def outcome(self, held: HeldJob, outcomes: Mapping[str, Outcome | None]) -> Outcome:
        """Of a job, by those of its texts: unsafe before failed before safe. ``reason``: as an author can act on it."""
        judged = [(place, outcome) for _, place, text in held.texts if (outcome := outcomes.get(text)) is not None]
        for place, outcome in judged:
            if outcome.kind == "unsafe" and outcome.verdict is not None:
                return Outcome("unsafe", outcome.verdict, refusal_text(place, outcome.verdict))
        return next((outcome for _, outcome in judged if outcome.kind == "failed"), Outcome("safe"))

    def _refusals(self, jobs: Sequence[Job], storyboard: Storyboard) -> Refusals:
        texts = {job.recipe: self._texts_of(job, storyboard) for job in jobs}
        outcomes = self.texts.known({each.text for found in texts.values() for each in found})
        refusals: dict[str, tuple[str, str]] = {}
        for recipe, found in texts.items():
            if first := _first_unsafe(found, outcomes):
                place, verdict = first
                refusals[recipe] = (place.scene_id, refusal_text(place.place, verdict))
        return refusals

    def _texts_of(self, job: Job, storyboard: Storyboard) -> tuple[PromptText, ...]:
        return texts_of(job, storyboard, _own_texts(self._models.all()))


def _first_unsafe(
    texts: Collection[PromptText], outcomes: Mapping[str, Outcome | None]
) -> tuple[PromptText, Verdict] | None:
    for each in texts:
        outcome = outcomes.get(each.text)
        if outcome is not None and outcome.kind == "unsafe" and outcome.verdict is not None:
            return each, outcome.verdict
    return None


def _own_texts(models: Mapping[str, ModelStatus]) -> set[str]:
    return {status.card.negative_prompt for status in models.values()}


def refusal_text(place: str, verdict: Verdict) -> str:
    """``the guard (block list) refuses the prompt: "beheaded" (violence against persons). Say it in other words``."""
    found = "; ".join(f"{each.detail} ({each.category})" for each in verdict.findings) or "it is called unsafe"
    return f"the guard ({verdict.source}) refuses the {place}: {found}. Say it in other words"
