"""``Studio.assistants.guards``: what views, page and command line ask of guards. Composition, and the author's switch.

Comes in: the host, the library. Goes out: the guard of prompts, the guard of takes, what is shown of both. Does not
know the page, nor how jobs are submitted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from engine.assistants.blocklist import BlockList
from engine.contract.errors import AssistantFailed
from engine.contract.jobs import Take
from engine.storage.card_files import BUNDLED_ROOT
from studio.document.storyboard import Storyboard
from studio.errors import PlanError, PresetError
from studio.library.takes import TakeRepository
from studio.library.verdicts import VerdictRepository
from studio.planning.cost import Timings
from studio.planning.types import Plan
from studio.rendering.models import ModelCatalog
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.settings import FILE, OFF, GuardSetting
from studio.services.guards.guard_models import classifier_of, model_guards
from studio.services.guards.prompt_guard import PromptGuard
from studio.services.guards.take_guard import AskClassifier, TakesGuard
from studio.services.guards.text_guards import TextGuard, TextGuards
from studio.services.identity import Identity
from studio.views.guarding import GuardSwitch, TakeGuard

SHIPPED = BUNDLED_ROOT / "assets" / "guard"


class GuardService:
    """The ``Guarding`` of the views, and a ``Follower`` of arrivals. Asks no model before ``connect``."""

    def __init__(
        self,
        setting: GuardSetting,
        workspace: Path,
        verdicts: VerdictRepository,
        takes: TakeRepository,
        models: ModelCatalog,
    ) -> None:
        """Raises PresetError where a block list that the host names cannot be read."""
        block_list = None if setting.use == OFF else _block_list(setting, workspace)
        self._host: AssistantHost | None = None
        self._setting = setting
        self._fingerprints: dict[str, str] = {}
        self.prompts = PromptGuard(setting, TextGuards(block_list, self._models, verdicts), verdicts, models)
        self.takes = TakesGuard(setting, verdicts, self._classifier)
        self._refresh: Callable[[str], None] = _nothing
        self._verdicts = verdicts
        self._library = takes

    def connect(
        self, host: AssistantHost, refresh: Callable[[str], None], on_verdict: Callable[[Collection[str]], None]
    ) -> None:
        """``host``: reaches models. ``refresh``: called with the id of a project that looks different now;
        ``on_verdict``: with those whose takes were judged."""
        self._host, self._refresh = host, refresh
        self.takes.connect(host.in_background, lambda files: on_verdict(self._library.projects_with(files)))

    def _models(self) -> Sequence[TextGuard]:
        return model_guards(self._host, self._setting, self._fingerprints) if self._host else ()

    def _classifier(self) -> AskClassifier | None:
        return classifier_of(self._host, self._setting) if self._host else None

    # ---- what is shown
    def guarded(self, plan: Plan, storyboard: Storyboard, timings: Timings | None) -> Plan:
        return self.prompts.guarded(plan, storyboard, timings)

    def switch_of(self, model: str, project_id: str) -> GuardSwitch:
        policy = self.prompts.policy(model, project_id)
        text = "Prompts are judged before they are rendered." if policy.on else "Prompts are not judged."
        required = policy.refusal or policy.required
        return GuardSwitch(policy.on, policy.can_switch, f"{required}." if required else text, self.takes.withholds)

    def of_takes(self, takes: Sequence[Take]) -> Mapping[str, TakeGuard]:
        return self.takes.of_takes(takes)

    # ---- what the author and the owner do
    def switch(self, project_id: str, model: str, on: bool) -> None:
        """Of one storyboard. Raises PlanError where the host, or the model's licence, does not allow it."""
        policy = self.prompts.policy(model, project_id)
        if not policy.can_switch:
            reason = policy.required or "this host does not let the guard be switched"
            raise PlanError("", f"the guard stays as it is: {reason}.")
        self._verdicts.switch(project_id, on)
        self._refresh(project_id)

    def release(self, identity: Identity, media: str) -> None:
        """The owner of the machine lets a withheld take through. Raises PlanError for anybody else."""
        if not identity.is_owner:
            raise PlanError("", "only the owner of this machine may let a withheld take through.")
        self.takes.release(media)

    # ---- what follows from arrivals
    def takes_arrived(self, project_ids: Collection[str], recipes: Collection[str]) -> None:
        self.takes.arrived(self._library.media_of_recipes(recipes))

    def engine_answers(self) -> None:
        self.takes.resume()

    def close(self) -> None:
        self.takes.close()


def _nothing(project_id: str) -> None: ...


def _block_list(setting: GuardSetting, workspace: Path) -> BlockList:
    folders = [workspace / Path(folder).expanduser() for folder in setting.block_lists]
    try:
        return BlockList([SHIPPED, *folders])
    except AssistantFailed as error:
        raise PresetError(FILE, "guard.block_lists", str(error)) from error
