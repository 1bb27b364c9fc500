"""The studio: the one thing that the page, the command line and any other front calls.

Comes in: what the author does. Goes out: projects, plans, jobs to the engine, and the board. Thread-safe; every method
may be called from any thread. Does not know gradio, torch, HTTP or terminals. Errors: ``studio.errors.StudioError`` and
``engine.contract.errors.EngineError``, whose text may be shown as it stands.
"""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.cards import ModelStatus
from engine.contract.errors import EngineError, Rejected
from engine.contract.media import MediaInfo
from engine.storage.media import MediaStore, probe
from engine.storage.workspace import Workspace
from studio.document.edits import ChangeScene, ChangeStoryboard, Edit, apply, clear_take
from studio.document.formats.yaml_file import to_text
from studio.document.storyboard import Scene, Storyboard
from studio.errors import PlanError, ProjectMissing
from studio.film.assembly import Assembly
from studio.film.film import make_film, scaled
from studio.library.database import Database
from studio.library.importing import stored_upload
from studio.library.projects import Library, Project, ProjectSummary
from studio.library.takes import LIVE, KnownJob, TakeRepository
from studio.planning.plan import Plan
from studio.planning.presets import Preset, load_cards, load_presets
from studio.rendering.engine import Engine as Engine
from studio.rendering.job_tracker import JobTracker
from studio.rendering.models import ModelCatalog
from studio.rendering.notifier import ChangeNotifier
from studio.rendering.progress import Waiters, job_makes
from studio.services.storyboard_files import ProjectFiles
from studio.views.board_cache import BoardCache
from studio.views.state_cache import ProjectStateCache
from studio.views.types import BoardView

ROOT = Path(__file__).resolve().parent.parent
MODELS_ROOT = ROOT / "models"
"""Where weights are brought to; what the project ships is found without it."""
EXAMPLES = ROOT / "assets" / "examples"


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file of the media store that a project may show. ``content_type``: image/webp, video/mp4 ..."""

    path: Path
    content_type: str


class Studio:
    """``Studio(workspace)`` works without an engine too: projects, edits, plans, films. ``attach`` adds one.

    ``database_url``: any SQLAlchemy URL instead of the workspace's own file. ``models_root``: where cards' folders are.
    """

    def __init__(
        self,
        workspace: Workspace,
        engine: Engine | None = None,
        database_url: str | None = None,
        models_root: Path = MODELS_ROOT,
        examples: bool = True,
    ) -> None:
        self.workspace = workspace
        self.presets: dict[str, Preset] = load_presets()
        self._database = Database(database_url) if database_url else Database.file(workspace.studio_database)
        self._library = Library(self._database)
        self._shelf = TakeRepository(self._database)
        self._store = MediaStore(workspace.media)
        self._models = ModelCatalog(load_cards(models_root=models_root), models_root, workspace.file_hashes)
        self._bell = ChangeNotifier()
        self._book = ProjectStateCache(self._library, self._shelf, self._store, self._models, self.presets)
        self._files = ProjectFiles(self._library, self._shelf, self._store, self._book)
        self._rendering = JobTracker(workspace, self._shelf, self._bell, self)
        self._assembly = Assembly(workspace, self._shelf, self._book.film_source, self._refresh)
        self._painted = BoardCache(self._book, self._rendering, self._assembly, self._bell, self.presets, self._models)
        self._rendered: set[str] = set()
        """Projects for which takes arrived since their last film."""
        self._rendering.find_takes()
        if examples and self._library.is_new():
            self._create_examples()
        if engine is not None:
            self.attach(engine)

    # ---- the engine
    def attach(self, engine: Engine, name: str = "workspace") -> None:
        """Brings an engine (another replaces the one before); events are followed from where they were left.

        ``name`` tells engines with different histories apart: one that is elsewhere goes by its address.
        """
        self._rendering.attach(engine, name)
        self._bell.notify_all()

    def detach(self) -> None:
        """Lets the engine go; its jobs go on. After this it may be closed."""
        self._rendering.detach()
        self._bell.notify_all()

    def engine_failed(self, reason: str) -> None:
        """No engine could be started or reached: said where the page would say that it is starting."""
        self._rendering.unavailable_reason = reason
        self._bell.notify_all()

    def close(self) -> None:
        """Stops following and wakes all who wait for changes. Jobs at the engine go on."""
        self._bell.close()
        self._rendering.detach()
        self._assembly.close()
        self._database.close()

    def models(self) -> dict[str, ModelStatus]:
        return self._models.all()

    # ---- projects
    def projects(self) -> list[ProjectSummary]:
        """All that are not in the trash, newest change first."""
        return self._library.projects()

    def create(self, storyboard: Storyboard | None = None, title: str | None = None) -> Project:
        """A new project (without a storyboard: one empty scene). Names need not differ; ids do."""
        storyboard = storyboard or Storyboard(scenes=(Scene(id="scene-1"),))
        if title is not None:
            storyboard = apply(storyboard, ChangeStoryboard(field="title", value=title))
        return self._library.create(storyboard)

    def open(self, project_id: str) -> Project:
        """Raises ProjectMissing (a StudioError)."""
        return self._library.open(project_id)

    def rename(self, project_id: str, title: str) -> Project:
        project = self.open(project_id)
        return self.edit(project_id, project.revision, ChangeStoryboard(field="title", value=title))

    def duplicate(self, project_id: str) -> Project:
        """A copy with its takes (the same files), without its history."""
        storyboard = self.open(project_id).storyboard
        copy = self.create(storyboard, title=f"{storyboard.title} (copy)"[:300])
        self._shelf.copy_takes(project_id, copy.id)
        self._refresh(copy.id)
        return copy

    def delete(self, project_id: str) -> None:
        """Into the trash: nothing is lost, ``restore`` brings it back. Its jobs are stopped."""
        with contextlib.suppress(EngineError):  # jobs that cannot be stopped now end by themselves
            self.stop(project_id)
        self._library.trash(project_id, trashed=True)
        self._refresh(project_id)

    def restore(self, project_id: str) -> Project:
        self._library.trash(project_id, trashed=False)
        self._refresh(project_id)
        return self.open(project_id)

    def import_files(self, path: Path) -> list[Project]:
        """A project for each storyboard of a file that somebody sent, with what it names beside itself as media."""
        projects = self._files.imported(path)
        for project in projects:
            self._refresh(project.id)
        return projects

    def import_file(self, path: Path) -> Project:
        return self.import_files(path)[0]

    def open_file(self, path: Path, storyboard: Storyboard) -> Project:
        """The project that belongs to a storyboard file: made once, then brought up to what the file says, as an edit.

        ``words``: what was read from the file, perhaps with another preset. Raises StoryboardError.
        """
        return self._saved(self._files.opened(path, storyboard))

    def plan_file(self, path: Path, storyboard: Storyboard) -> Plan:
        """What rendering a file would do; nothing is stored. Raises StoryboardError, PlanError."""
        return self._files.plan(path, storyboard)

    def export(self, project_id: str) -> str:
        """The storyboard as YAML text."""
        return to_text(self.open(project_id).storyboard)

    # ---- edits
    def edit(self, project_id: str, revision: int, edit: Edit) -> Project:
        """Applies and saves one edit that was made on ``revision``.

        Changes of other fields or scenes since then are kept beside it. Raises RevisionConflict (with ``.current``,
        ``.yours`` and ``.theirs``) where the same field of the same scene was changed since, or the scene is gone.
        """
        used = self._shelf.scenes_with_takes(project_id)
        return self._saved(self._library.edit(project_id, revision, lambda words: apply(words, edit, used)))

    def undo(self, project_id: str) -> Project:
        """Takes back the author's newest edit; the project as it is where there is none. Takes are never lost."""
        return self._saved(self._library.undo(project_id))

    def redo(self, project_id: str) -> Project:
        return self._saved(self._library.redo(project_id))

    # ---- media
    def add_media(self, project_id: str, path: Path, name: str) -> MediaInfo:
        """Stores a picture or clip for conditioning. Raises Rejected in words that name the file."""
        self.open(project_id)
        info = stored_upload(path, name, self._store)
        self._shelf.add_media(project_id, info, name)
        self._refresh(project_id)
        return info

    def media_path(self, project_id: str, sha256: str) -> Path | None:
        """The file, only if this project uses it (conditioning, takes, posters, film): the page's access check."""
        file = self.media_file(project_id, sha256)
        return file.path if file else None

    def media_file(self, project_id: str, sha256: str) -> MediaFile | None:
        """As ``media_path``, with its content type."""
        try:
            self.open(project_id)
        except ProjectMissing:
            return None
        content_type = self._shelf.content_type(project_id, sha256)
        if content_type is None or not self._store.has(sha256):
            return None
        return MediaFile(self._store.path(sha256), content_type)

    def preview(self, project_id: str, job_id: str) -> bytes | None:
        """The newest live preview (animated WebP) of a job of this project."""
        mine = any(live.job.id == job_id for live in self._rendering.live.of_project(project_id))
        return self._rendering.engine.preview(job_id) if mine else None

    # ---- plan and render
    def plan(self, project_id: str, preset: str | None = None, scene_ids: Sequence[str] | None = None) -> Plan:
        """What would be rendered, and why. ``scene_ids``: only those and what they continue from. Raises PlanError."""
        return self._book.plan(project_id, preset, scene_ids)

    def render(self, project_id: str, scene_ids: Sequence[str] | None = None) -> list[str]:
        """Submits what is not rendered yet; job ids in order (empty: all is fresh, and the film is assembled).

        Scenes that cannot be rendered are left out. Raises PlanError where nothing can be, or EngineError.
        """
        self._return_to_words(project_id, scene_ids)
        plan = self._book.plan(project_id, None, scene_ids)
        self._book.refuse_unplannable(plan, scene_ids)
        self._stop_superseded(project_id, plan)
        ids = self._rendering.submit(plan.jobs, lambda job: self._book.waiters_for(project_id, plan, job))
        if not plan.jobs:
            self._assembly.want(project_id)
        self._refresh(project_id)
        return ids

    def render_again(self, project_id: str, scene_id: str) -> list[str]:
        """Another take of one scene: gives it a new seed of its own (an edit) and renders it.

        With a model that denoises all scenes together the storyboard gets the seed, and every scene another take.
        """
        project = self.open(project_id)
        status = self._models.all().get(project.storyboard.model)
        seed = secrets.randbelow(2**32)
        if status is not None and status.card.joint is not None:
            self.edit(project_id, project.revision, ChangeStoryboard(field="seed", value=seed))
        else:
            self.edit(project_id, project.revision, ChangeScene(scene_id=scene_id, field="seed", value=seed))
        return self.render(project_id, [scene_id])

    def reroll_first_frame(self, project_id: str, scene_id: str) -> list[str]:
        """Another first frame by the picture model (a new seed for it, as an edit), and a take that begins with it."""
        project = self.open(project_id)
        seed = ChangeScene(scene_id=scene_id, field="first_frame.seed", value=secrets.randbelow(2**32))
        self.edit(project_id, project.revision, seed)
        return self.render(project_id, [scene_id])

    def use_first_frame(self, project_id: str, scene_id: str) -> Project:
        """Keeps the first frame of the take that is shown: it becomes the scene's own picture (an edit).

        Raises PlanError where no picture model made one.
        """
        card = next((card for card in self.board(project_id).scenes if card.id == scene_id), None)
        sha256 = card.first_frame.media if card else None
        if card is None or sha256 is None or not self._store.has(sha256):
            raise PlanError(scene_id, "this scene shows no first frame that a picture model made. Render it first.")
        self._shelf.add_media(project_id, probe(self._store.path(sha256)), f"first frame of scene {card.number}.png")
        kept = ChangeScene(scene_id=scene_id, field="conditioning", value={"media": sha256})
        return self.edit(project_id, self.open(project_id).revision, kept)

    def stop(self, project_id: str) -> list[str]:
        """Cancels all waiting and running jobs of this project; their ids."""
        stopped = self._rendering.cancel(project_id, self._waiting(project_id))
        self._refresh(project_id)
        return stopped

    def pause(self) -> None:
        """Holds the engine's queue, and the running job at its next step."""
        self._rendering.pause(True)

    def resume(self) -> None:
        self._rendering.pause(False)

    def move(self, project_id: str, job_id: str, position: int) -> None:
        """Moves a waiting job in the engine's queue, 0 is next."""
        if not any(known.job.id == job_id for known in self._waiting(project_id)):
            raise Rejected("job", f"job {job_id}: does not wait in this project (any more).")
        self._rendering.engine.move(job_id, position)
        self._refresh(project_id)

    def assemble(self, project_id: str) -> Path:
        """Makes the film of the chosen takes now, and waits for it. Raises FilmError."""
        film = self._assembly.make(project_id)
        self._refresh(project_id)
        return self.workspace.root / film.path

    def write_film(self, project_id: str, out: Path, scale: float) -> None:
        """A film of another size, of the takes that the film shows now. Raises FilmError."""
        reel = self._book.film_source(project_id)
        make_film(scaled(reel.edits, scale), out, reel.storyboard, reel.takes)

    def film_path(self, project_id: str) -> Path | None:
        """The newest film."""
        film = self._shelf.film_of(project_id)
        return self.workspace.root / film.path if film and (self.workspace.root / film.path).is_file() else None

    # ---- what is shown
    def board(self, project_id: str) -> BoardView:
        """Everything the page shows of one project. Cheap: an unchanged board is not computed again."""
        return self._painted.board(project_id)

    def wait_for_change(self, project_id: str, version: int, timeout_s: float) -> int:
        """Blocks until the board's version is not ``version`` or the time is over; the version then."""
        return self._bell.wait(project_id, version, timeout_s)

    def changes(self, project_id: str, after: int = 0) -> Iterator[int]:
        """Versions as they come, until the studio closes; steps are gathered, at most ten a second."""
        return self._bell.changes(project_id, after)

    # ---- told by the rendering
    def takes_arrived(self, uses: Waiters) -> None:
        """A take that arrives is what its scene shows from now on; that is not the author's edit."""
        for project_id in {project_id for project_id, _ in uses}:
            scene_ids = [scene_id for use_project, scene_id in uses if use_project == project_id]
            try:
                self._clear_choices(project_id, scene_ids)
            except ProjectMissing:  # in the trash: the take is on the shelf all the same
                continue
            self._refresh(project_id)
            self._rendered.add(project_id)
        self._assemble_complete()

    def job_ended(self, uses: Waiters) -> None:
        for project_id, _ in uses:
            self._refresh(project_id)

    def models_heard(self, statuses: Sequence[ModelStatus]) -> None:
        if self._models.update(statuses):
            self._book.forget_all()
            self._assemble_complete()

    # ---- inside
    def _assemble_complete(self) -> None:
        """The film follows by itself where takes arrived and every scene is fresh."""
        for project_id in tuple(self._rendered):
            if self._book.is_complete(project_id):
                self._rendered.discard(project_id)
                self._assembly.want(project_id)

    def _saved(self, project: Project) -> Project:
        self._refresh(project.id)
        return project

    def _refresh(self, project_id: str) -> None:
        self._book.forget(project_id)
        self._bell.notify(project_id)

    def _waiting(self, project_id: str) -> list[KnownJob]:
        return [known for known in self._shelf.jobs_of_project(project_id) if known.state in LIVE]

    def _clear_choices(self, project_id: str, scene_ids: Sequence[str]) -> None:
        def cleared(storyboard: Storyboard) -> Storyboard:
            for scene in storyboard.scenes:
                if scene.id in scene_ids and scene.chosen_take is not None:
                    storyboard = clear_take(storyboard, scene.id)
            return storyboard

        self._library.amend(project_id, cleared)

    def _return_to_words(self, project_id: str, scene_ids: Sequence[str] | None) -> None:
        """Render means: what is written. A chosen take of other words gives way to the one that matches, if any."""
        facts = self._book.facts(project_id)
        odd = [scene_id for scene_id in facts.outdated_choices() if scene_ids is None or scene_id in scene_ids]
        if odd:
            self._clear_choices(project_id, odd)
            self._refresh(project_id)

    def _stop_superseded(self, project_id: str, plan: Plan) -> None:
        """Jobs for words that were changed since give way to those for the new ones."""
        wanted = [scene.recipe for scene in plan.scenes if scene.recipe]
        again = {scene_id for job in plan.jobs for scene_id in job.scene_ids}
        waiting = self._waiting(project_id)
        old = [known for known in waiting if not any(job_makes(known.job, recipe) for recipe in wanted)]
        self._rendering.cancel(project_id, [known for known in old if again.intersection(known.job.scene_ids)])

    def _create_examples(self) -> None:
        for path in sorted(EXAMPLES.glob("*.yaml"), reverse=True):
            self.import_file(path)  # the first by name is the newest, and so stands on top
