"""``Studio.assistants.refiner``: scenes refined in the background, and their refinements saved as edits.

Comes in: ids of projects and scenes. Goes out: refinements in the document, proposed or accepted; who is being refined,
and why one could not be. A refiner that fails costs no scene: the author's words stand. Does not know which refiner it
is, nor the page.
"""

import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from engine.contract.assistants import PromptStyle
from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.errors import AssistantFailed, EngineError
from studio.document.edits import ChangeScene
from studio.document.refinement import asked_with, refinement_state, with_refinements
from studio.document.storyboard import Refinement, Scene, Storyboard
from studio.errors import PlanError, RevisionConflict, StudioError
from studio.library.projects import Project
from studio.rendering.models import ModelCatalog
from studio.rendering.refining import LiveRefinements, RefinerChoice, Refining
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.refine_scene import SceneQuestion, question_about, refined_scene
from studio.services.assistants.refiners import choose_refiner, refiner_for
from studio.services.assistants.settings import OFF
from studio.services.projects import ProjectService
from studio.views.state_cache import ProjectStateCache

LOG = logging.getLogger(__name__)
TRIES = 5
IN_ORDER: tuple[PromptStyle, ...] = ("segments", "vocabulary")
"""Styles whose scenes are refined one after the other, each with what was written for the one before."""


@dataclass(frozen=True, slots=True)
class RefineOutcome:
    """Of one scene. ``failure`` "": it is refined. ``notes``: the refiner's."""

    scene_id: str
    failure: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Scenes that are refined one after the other, and what will have become of them."""

    scene_ids: tuple[str, ...]
    outcomes: Future[list[RefineOutcome]]


@dataclass(frozen=True, slots=True)
class _Round:
    """What all scenes of one call share. ``again``: another text than the last is wanted."""

    project_id: str
    card: ModelCard
    again: bool
    accept: bool

    @property
    def style(self) -> PromptStyle:
        return self.card.traits.prompt_style


class RefineService:
    def __init__(
        self,
        host: AssistantHost,
        projects: ProjectService,
        states: ProjectStateCache,
        models: ModelCatalog,
        live: LiveRefinements,
        check: Callable[[Scene, str, str], None],
    ) -> None:
        """``check``: raises where a guard refuses a scene's words, of a model, in a project."""
        self._check = check
        self._host = host
        self._projects = projects
        self._states = states
        self._models = models
        self._live = live
        live.choice = self._choice

    @property
    def by_default(self) -> bool:
        """Whether commands refine without being asked to."""
        return self._host.settings.refiner.by_default

    @property
    def is_off(self) -> bool:
        return self._host.settings.refiner.use == OFF

    def choice(self, model: str) -> RefinerChoice:
        status = self._models.all().get(model)
        return self._choice(status) if status else RefinerChoice(problem=f"There is no model {model}.")

    def _choice(self, status: ModelStatus) -> RefinerChoice:
        """An assistant's card that cannot be read is a reason, not the end of the page."""
        try:
            return choose_refiner(self._host, status.card)
        except (StudioError, EngineError) as error:
            return RefinerChoice(problem=str(error))

    def refine(
        self, project_id: str, scene_ids: Sequence[str] | None = None, again: bool = False, accept: bool = False
    ) -> list[str]:
        """Asks about these scenes (None: all) in the background; the ids of those it asks about.

        Answers become edits: proposed, or with ``accept`` accepted. Raises AssistantFailed where there is no refiner,
        PlanError where no scene has anything to refine.
        """
        return [scene_id for batch in self._start(project_id, scene_ids, again, accept) for scene_id in batch.scene_ids]

    def refine_now(
        self,
        project_id: str,
        scene_ids: Sequence[str] | None = None,
        report: Callable[[RefineOutcome], None] = lambda outcome: None,
    ) -> list[RefineOutcome]:
        """The same, accepted and waited for: for the command line. Failures are outcomes too."""
        outcomes: list[RefineOutcome] = []
        for batch in self._start(project_id, scene_ids, again=False, accept=True):
            for outcome in batch.outcomes.result():
                report(outcome)
                outcomes.append(outcome)
        return outcomes

    def refine_file(
        self,
        path: Path,
        storyboard: Storyboard,
        report: Callable[[RefineOutcome], None],
        scene_ids: Collection[str] | None = None,
    ) -> Storyboard:
        """The storyboard of a file with accepted refinements: those of an earlier run where its words are the same.

        ``scene_ids`` None: of all scenes that have words or a picture. Others, and failed ones, stay as they are.
        """
        kept = self._with_earlier(path, storyboard)
        project = self._projects.open_file(path, kept)
        style = self._card(storyboard.model).traits.prompt_style
        wanted = {scene.id for scene in _refinable(project.storyboard) if scene_ids is None or scene.id in scene_ids}
        stale = {scene.id for scene in project.storyboard.scenes if refinement_state(scene, style) != "accepted"}
        if due := sorted(wanted & stale):
            self.refine_now(project.id, due, report)
        refinements = {scene.id: scene.refinement for scene in self._projects.open(project.id).storyboard.scenes}
        return with_refinements(storyboard, {scene_id: refinements[scene_id] for scene_id in wanted})

    def _with_earlier(self, path: Path, storyboard: Storyboard) -> Storyboard:
        """With what an earlier run wrote: the same words are not refined, and so not rendered, twice."""
        known = self._projects.scenes_of_file(path)
        fresh = [scene.id for scene in storyboard.scenes if scene.refinement is None and scene.id in known]
        return with_refinements(storyboard, {scene_id: known[scene_id].refinement for scene_id in fresh})

    # ---- in the background
    def _start(self, project_id: str, scene_ids: Sequence[str] | None, again: bool, accept: bool) -> list[_Batch]:
        project = self._projects.open(project_id)
        card = self._card(project.storyboard.model)
        if problem := self.choice(card.name).problem:
            raise AssistantFailed(problem)
        asked = _Round(project_id, card, again, accept)
        scenes = _scenes_to_refine(project.storyboard, scene_ids)
        begun = [(scene.id, self._begin(scene, asked)) for scene in scenes]
        due = [(scene_id, refining) for scene_id, refining in begun if refining is not None]
        groups = [due] if asked.style in IN_ORDER and due else [[one] for one in due]
        return [self._in_background(group, asked) for group in groups]

    def _begin(self, scene: Scene, asked: _Round) -> Refining | None:
        return self._live.begin(asked.project_id, scene.id, asked_with(scene, asked.style))

    def _in_background(self, group: list[tuple[str, Refining]], asked: _Round) -> _Batch:
        def work() -> list[RefineOutcome]:
            return [self._refine(scene_id, refining, asked) for scene_id, refining in group]

        return _Batch(tuple(scene_id for scene_id, _ in group), self._host.in_background(work))

    def _refine(self, scene_id: str, refining: Refining, asked: _Round) -> RefineOutcome:
        """One scene, whatever happens: nobody waits for this thread's exceptions."""
        outcome = RefineOutcome(scene_id)
        try:
            question = self._question(scene_id, asked)
            self._check(question.scene, question.model, asked.project_id)
            refinement = refined_scene(question, refiner_for(self._host, asked.card, asked.project_id))
            self._save(scene_id, refinement.model_copy(update={"accepted": asked.accept}), asked)
            outcome = RefineOutcome(scene_id, "", refinement.source, refinement.notes)
        except (StudioError, EngineError) as error:
            outcome = RefineOutcome(scene_id, str(error))
        except Exception as error:
            LOG.exception("scene %s of project %s could not be refined", scene_id, asked.project_id)
            reason = f"The refiner broke off ({type(error).__name__}); the studio's log says where."
            outcome = RefineOutcome(scene_id, reason)
        finally:
            self._live.end(asked.project_id, scene_id, refining, outcome.failure)
        return outcome

    def _question(self, scene_id: str, asked: _Round) -> SceneQuestion:
        """About the scene as it is now, which may have waited for others."""
        state = self._states.state(asked.project_id)
        storyboard = state.project.storyboard
        conditioning = storyboard.scene(scene_id).conditioning
        media = state.media.get(conditioning.media) if conditioning else None
        seed = secrets.randbelow(2**32) if asked.again else 0
        return question_about(storyboard, scene_id, asked.style, media, seed)

    def _save(self, scene_id: str, refinement: Refinement, asked: _Round) -> Project | None:
        """Beside whatever was written meanwhile; None where the scene is gone."""
        edit = ChangeScene(scene_id=scene_id, field="refinement", value=refinement.model_dump(mode="json"))
        for _ in range(TRIES):
            try:
                project = self._projects.open(asked.project_id)
                if all(scene.id != scene_id for scene in project.storyboard.scenes):
                    return None
                return self._projects.edit(asked.project_id, project.revision, edit)
            except RevisionConflict:  # written in between: once more, on what is there now
                continue
        raise AssistantFailed("The scene changed again and again while its refined prompt was saved. Ask again.")

    def _card(self, model: str) -> ModelCard:
        status = self._models.all().get(model)
        if status is None:
            raise AssistantFailed(f"There is no model {model}, so nothing is known of the prompts that it reads.")
        return status.card


def _refinable(storyboard: Storyboard) -> list[Scene]:
    return [scene for scene in storyboard.scenes if scene.prompt.strip() or scene.conditioning]


def _scenes_to_refine(storyboard: Storyboard, scene_ids: Sequence[str] | None) -> list[Scene]:
    """In the order of the film. A scene without words and without a picture has nothing to begin with."""
    scenes = [scene for scene in _refinable(storyboard) if scene_ids is None or scene.id in scene_ids]
    if not scenes:
        first = scene_ids[0] if scene_ids else ""
        raise PlanError(first, "there is nothing to refine: write a prompt, or give the scene a picture")
    return scenes
