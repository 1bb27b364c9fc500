"""What the author does with an engine: plan, render, render again, stop, pause, and put the film together.

Comes in: projects' and scenes' ids, an engine. Goes out: plans, jobs to the engine, films. Thread-safe. Errors:
``studio.errors.StudioError`` and ``engine.contract.errors.EngineError``, whose text may be shown as it is. Does not
know how an engine is started, nor the page.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path

from engine.contract.cards import ModelStatus
from engine.contract.errors import Rejected
from engine.contract.jobs import Take
from engine.storage.media import MediaStore, probe
from engine.storage.workspace import Workspace
from studio.document.edits import ChangeScene, ChangeStoryboard
from studio.errors import PlanError
from studio.film.assembly import Assembly
from studio.film.film import make_film, scaled
from studio.library.projects import Library, Project
from studio.library.takes import TakeRepository
from studio.planning.types import Plan
from studio.rendering.engine import Engine
from studio.rendering.job_tracker import JobTracker
from studio.rendering.models import ModelCatalog, Report
from studio.rendering.notifier import ChangeNotifier
from studio.rendering.progress import job_makes
from studio.services.arrivals import ArrivalHandler
from studio.services.choices import clear_choices
from studio.services.guards.submission import SubmissionGuard
from studio.services.identity import LOCAL_USER, Identity
from studio.services.projects import ProjectService
from studio.services.refresher import ProjectRefresher
from studio.services.take_rounds import TakeRounds
from studio.views.board_cache import BoardCache
from studio.views.state_cache import ProjectStateCache


class RenderService:
    def __init__(
        self,
        *,
        workspace: Workspace,
        library: Library,
        takes: TakeRepository,
        store: MediaStore,
        models: ModelCatalog,
        states: ProjectStateCache,
        boards: BoardCache,
        tracker: JobTracker,
        assembly: Assembly,
        arrivals: ArrivalHandler,
        rounds: TakeRounds,
        projects: ProjectService,
        refresher: ProjectRefresher,
        notifier: ChangeNotifier,
        submission: SubmissionGuard,
    ) -> None:
        self._workspace = workspace
        self._library = library
        self._takes = takes
        self._store = store
        self._models = models
        self._states = states
        self._boards = boards
        self._tracker = tracker
        self._assembly = assembly
        self._arrivals = arrivals
        self._rounds = rounds
        self._projects = projects
        self._refresher = refresher
        self._notifier = notifier
        self._submission = submission

    # ---- the engine
    def attach(self, engine: Engine, name: str = "workspace") -> None:
        """Attaches an engine (another replaces the one before); its events are followed from the newest known one.

        ``name`` distinguishes engines with different histories: that of a remote engine is its address.
        """
        self._tracker.attach(engine, name)
        self._notifier.notify_all()

    def detach(self) -> None:
        """Lets the engine go; its jobs go on. After this it may be closed."""
        self._tracker.detach()
        self._notifier.notify_all()

    def engine_failed(self, reason: str) -> None:
        """No engine could be started or reached: shown where the page would show that it is starting."""
        self._tracker.unavailable_reason = reason
        self._notifier.notify_all()

    def models(self) -> dict[str, ModelStatus]:
        """Every model by name."""
        return self._models.all()

    def hash_weights(self, model: str, report: Report) -> None:
        """Hashes large local weights of a model that no engine has described yet, so that it can be planned with."""
        self._models.hash_weights(model, report)
        self._states.forget_all()

    def update_models(self, statuses: Sequence[ModelStatus]) -> None:
        """An engine that is not attached yet sent its models."""
        self._arrivals.models_changed(statuses)

    # ---- plan and render
    def plan(self, project_id: str, preset: str | None = None, scene_ids: Sequence[str] | None = None) -> Plan:
        """What would be rendered, and why. ``scene_ids``: only those and what they continue from. Raises PlanError."""
        return self._states.plan(project_id, preset, scene_ids)

    def render(self, project_id: str, scene_ids: Sequence[str] | None = None) -> list[str]:
        """Submits what is not rendered yet; job ids in order (empty: all is fresh, and the film is assembled).

        Where a guard has still to judge a text, the jobs are submitted once it has, and are shown as checking till
        then. Scenes that cannot be rendered are left out. Raises PlanError where nothing can be, or EngineError.
        """
        self._clear_outdated_choices(project_id, scene_ids)
        plan = self._states.plan(project_id, None, scene_ids)
        self._states.refuse_unplannable(plan, scene_ids)
        self._stop_superseded(project_id, plan)
        ids = self._submission.submit(
            project_id, plan.jobs, lambda job: self._states.waiters_for(project_id, plan, job)
        )
        if not plan.jobs:
            self._assembly.want(project_id)
        self._refresher.refresh(project_id)
        return ids

    def render_takes(self, project_id: str, num_takes: int, scene_ids: Sequence[str] | None = None) -> list[str]:
        """Several takes of each scene, one for each seed; ids of the jobs that were submitted now.

        Once a scene's takes are there and scored, the best is shown, unless the author chose one. A scene that
        continues another follows when the other's best is known. Raises PlanError, EngineError.
        """
        self._clear_outdated_choices(project_id, scene_ids)
        ids = self._rounds.start(project_id, scene_ids, num_takes)
        self._refresher.refresh(project_id)
        return ids

    def render_again(self, project_id: str, scene_id: str) -> list[str]:
        """Another take of one scene: gives it a new seed of its own (an edit) and renders it.

        With a model that denoises all scenes together the storyboard gets the seed, and every scene another take.
        """
        project = self._projects.open(project_id)
        status = self._models.all().get(project.storyboard.model)
        seed = secrets.randbelow(2**32)
        if status is not None and status.card.joint is not None:
            self._projects.edit(project_id, project.revision, ChangeStoryboard(field="seed", value=seed))
        else:
            edit = ChangeScene(scene_id=scene_id, field="seed", value=seed)
            self._projects.edit(project_id, project.revision, edit)
        return self.render(project_id, [scene_id])

    def reroll_first_frame(self, project_id: str, scene_id: str) -> list[str]:
        """Another first frame by the picture model (a new seed for it, as an edit), and a take that begins with it."""
        project = self._projects.open(project_id)
        seed = ChangeScene(scene_id=scene_id, field="first_frame.seed", value=secrets.randbelow(2**32))
        self._projects.edit(project_id, project.revision, seed)
        return self.render(project_id, [scene_id])

    def use_first_frame(self, project_id: str, scene_id: str, identity: Identity = LOCAL_USER) -> Project:
        """Keeps the first frame of the take that is shown: it becomes the scene's own picture (an edit).

        Raises PlanError where no picture model made one, or a guard withholds it from who asks.
        """
        card = next((card for card in self._boards.board(project_id).scenes if card.id == scene_id), None)
        sha256 = card.first_frame.media if card else None
        if card is None or sha256 is None or not self._store.has(sha256):
            raise PlanError(scene_id, "this scene shows no first frame that a picture model made. Render it first.")
        if not identity.is_owner and sha256 in self._states.state(project_id).withheld_files():
            raise PlanError(scene_id, "a guard withholds this picture from visitors.")
        self._takes.add_media(project_id, probe(self._store.path(sha256)), f"first frame of scene {card.number}.png")
        edit = ChangeScene(scene_id=scene_id, field="conditioning", value={"media": sha256})
        return self._projects.edit(project_id, self._projects.open(project_id).revision, edit)

    # ---- the queue
    def stop(self, project_id: str) -> list[str]:
        """Cancels all waiting and running jobs of this project; their ids."""
        self._rounds.stop(project_id)
        stopped = self._submission.drop(project_id)
        stopped += self._tracker.cancel(project_id, self._takes.waiting_jobs(project_id))
        self._refresher.refresh(project_id)
        return stopped

    def pause(self) -> None:
        """Holds the engine's queue, and the running job at its next step."""
        self._tracker.pause(True)

    def resume(self) -> None:
        self._tracker.pause(False)

    def move(self, project_id: str, job_id: str, position: int) -> None:
        """Moves a waiting job in the engine's queue, 0 is next."""
        if not any(known.job.id == job_id for known in self._takes.waiting_jobs(project_id)):
            raise Rejected("job", f"job {job_id}: does not wait in this project (any more).")
        self._tracker.engine.move(job_id, position)
        self._refresher.refresh(project_id)

    def preview(self, project_id: str, job_id: str, identity: Identity = LOCAL_USER) -> bytes | None:
        """The newest live preview (animated WebP) of a job of this project.

        None for visitors where takes may be withheld: nobody has judged it yet.
        """
        if not identity.is_owner and self._states.state(project_id).guard.withholds:
            return None
        is_of_project = any(live.job.id == job_id for live in self._tracker.live.of_project(project_id))
        return self._tracker.engine.preview(job_id) if is_of_project else None

    def takes(self, project_id: str) -> list[Take]:
        """All takes of a project's scenes, in the order they arrived."""
        return [stored.take for stored in self._takes.takes_of(project_id)]

    # ---- the film
    def assemble(self, project_id: str) -> Path:
        """Makes the film of the chosen takes now, and waits for it. Raises FilmError."""
        film = self._assembly.make(project_id)
        self._refresher.refresh(project_id)
        return self._workspace.root / film.path

    def write_film(self, project_id: str, out: Path, scale: float) -> None:
        """A film of another size, of the takes that the film shows now. Raises FilmError."""
        source = self._states.film_source(project_id)
        make_film(scaled(source.edits, scale), out, source.storyboard, source.takes)

    def film_path(self, project_id: str) -> Path | None:
        """The newest film."""
        film = self._takes.film_of(project_id)
        path = self._workspace.root / film.path if film else None
        return path if path and path.is_file() else None

    def _clear_outdated_choices(self, project_id: str, scene_ids: Sequence[str] | None) -> None:
        """What is written is rendered: a chosen take of another recipe gives way to the one that matches, if any."""
        outdated = self._states.state(project_id).outdated_choices()
        cleared = [scene_id for scene_id in outdated if scene_ids is None or scene_id in scene_ids]
        if cleared:
            clear_choices(self._library, project_id, cleared)
            self._refresher.refresh(project_id)

    def _stop_superseded(self, project_id: str, plan: Plan) -> None:
        """Jobs for prompts and settings that were changed since give way to those for the new ones."""
        wanted = [scene.recipe for scene in plan.scenes if scene.recipe]
        again = {scene_id for job in plan.jobs for scene_id in job.scene_ids}
        waiting = self._takes.waiting_jobs(project_id)
        old = [known for known in waiting if not any(job_makes(known.job, recipe) for recipe in wanted)]
        self._tracker.cancel(project_id, [known for known in old if again.intersection(known.job.scene_ids)])
