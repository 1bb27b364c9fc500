"""The studio: what the page, the command line and any other front end call. Composition only.

Comes in: a workspace, perhaps an engine. Goes out: a ``Studio`` with ``projects`` (what the author writes),
``rendering`` (plans, jobs, films, the engine), ``assistants`` (refiner, guard, critic) and ``views`` (what is shown).
Thread-safe: every method may be called from any thread. Does not know gradio, torch, HTTP or terminals.
"""

from pathlib import Path

from engine.storage.media import MediaStore
from engine.storage.workspace import Workspace
from studio.film.assembly import Assembly
from studio.library.critiques import CritiqueRepository
from studio.library.database import Database
from studio.library.projects import Library
from studio.library.takes import TakeRepository
from studio.library.verdicts import VerdictRepository
from studio.planning.presets import Preset, load_cards, load_presets
from studio.rendering.engine import Engine as Engine
from studio.rendering.job_tracker import JobTracker
from studio.rendering.models import ModelCatalog
from studio.rendering.notifier import ChangeNotifier
from studio.rendering.refining import LiveRefinements
from studio.services.arrivals import ArrivalHandler
from studio.services.assistants.critic import CriticService
from studio.services.assistants.engine_answers import EngineAnswers
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.local_assistants import LocalAssistants
from studio.services.assistants.refining import RefineService
from studio.services.assistants.service import AssistantService
from studio.services.assistants.settings import FILE as ASSISTANTS_FILE
from studio.services.assistants.settings import AssistantSettings, read_settings
from studio.services.guards.service import GuardService
from studio.services.guards.submission import SubmissionGuard
from studio.services.projects import ProjectService
from studio.services.refresher import ProjectRefresher
from studio.services.rendering import RenderService
from studio.services.storyboard_files import ProjectFiles
from studio.services.take_rounds import TakeRounds
from studio.services.tracked_takes import TrackedTakes
from studio.tracking.tracking import Tracking, TrackingSettings
from studio.views.board_cache import BoardCache
from studio.views.state_cache import ProjectStateCache

ROOT = Path(__file__).resolve().parent.parent
MODELS_ROOT = ROOT / "models"
"""Where weights are downloaded to; models that the project ships are found without it."""
EXAMPLES = ROOT / "assets" / "examples"


class Studio:
    """``Studio(workspace)`` works without an engine too: projects, edits, plans, films. ``rendering.attach`` adds one.

    ``database_url``: any SQLAlchemy URL instead of the workspace's own file. ``models_root``: where cards' folders are.
    ``assistants``: instead of what the workspace's file says of refiner, guard and critic.
    """

    def __init__(
        self,
        workspace: Workspace,
        engine: Engine | None = None,
        database_url: str | None = None,
        models_root: Path = MODELS_ROOT,
        examples: bool = True,
        assistants: AssistantSettings | None = None,
        tracking: TrackingSettings | None = None,
    ) -> None:
        self.workspace = workspace
        settings = assistants or read_settings(workspace.root / ASSISTANTS_FILE)
        self.presets: dict[str, Preset] = load_presets()
        self._database = Database(database_url) if database_url else Database.file(workspace.studio_database)
        library, takes, store = Library(self._database), TakeRepository(self._database), MediaStore(workspace.media)
        critiques = CritiqueRepository(self._database)
        cards = load_cards(models_root=models_root, run_cards=workspace.cards)
        models = ModelCatalog(cards, models_root, workspace.file_hashes)
        self._notifier = notifier = ChangeNotifier()
        verdicts = VerdictRepository(self._database)
        guards = GuardService(settings.guard, workspace.root, verdicts, takes, models)
        self._states = states = ProjectStateCache(library, takes, critiques, store, models, self.presets, guards)
        refresher = ProjectRefresher(states, takes, notifier)
        self._assembly = Assembly(workspace, takes, states.film_source, refresher.refresh)
        arrivals = ArrivalHandler(library, states, models, self._assembly, refresher)
        self._tracker = JobTracker(workspace, takes, notifier, arrivals)
        refinements = LiveRefinements(notifier)
        local = LocalAssistants(models_root, self._tracker, EngineAnswers(self._tracker))
        host = AssistantHost(settings, workspace.root, store, models_root, local)
        critic = CriticService(host, takes, critiques, models, arrivals.takes_scored)
        self._submission = SubmissionGuard(
            guards.prompts,
            verdicts,
            takes,
            self._tracker,
            refresher,
            lambda project_id: library.open(project_id).storyboard,
            host.in_background,
        )
        arrivals.followers += [guards, self._submission]
        rounds = TakeRounds(library, takes, states, self._submission, store, critic, refresher, arrivals.rounds_ended)
        self._tracking = Tracking(tracking or TrackingSettings(), workspace.root / "tracking", takes.take_ids())
        arrivals.connect(host, critic, rounds, TrackedTakes(takes, critiques, store, self._tracking))
        guards.connect(host, refresher.refresh, arrivals.takes_judged)
        self.views = BoardCache(states, self._tracker, self._assembly, notifier, self.presets, models, refinements)
        self.views.rounds = rounds.texts
        files = ProjectFiles(library, takes, store, states)
        self.projects = ProjectService(library, takes, store, files, states, self._tracker, refresher)
        self.rendering = RenderService(
            workspace=workspace,
            library=library,
            takes=takes,
            store=store,
            models=models,
            states=states,
            boards=self.views,
            tracker=self._tracker,
            assembly=self._assembly,
            arrivals=arrivals,
            rounds=rounds,
            projects=self.projects,
            refresher=refresher,
            notifier=notifier,
            submission=self._submission,
        )
        refiner = RefineService(host, self.projects, states, models, refinements, guards.prompts.check)
        self.assistants = AssistantService(host, refiner, critic, guards)
        self._tracker.find_takes()
        if examples and library.is_new():
            self._create_examples()
        if engine is not None:
            self.rendering.attach(engine)

    def close(self) -> None:
        """Stops following and wakes all who wait for changes. Jobs at the engine go on."""
        self._notifier.close()
        self._submission.close()
        self.assistants.close()
        self._tracker.detach()
        self._assembly.close()
        self._tracking.close()
        self._database.close()

    def _create_examples(self) -> None:
        for path in sorted(EXAMPLES.glob("*.yaml"), reverse=True):
            self.projects.import_file(path)  # the first by name is the newest, and so the first of the list
