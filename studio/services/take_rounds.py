"""Several takes of a scene at once: one job for each seed, and the best take shown where the author chose none.

Comes in: scenes, a number of takes. Goes out: jobs, and once all of a scene's takes are there and scored, the seed of
the best one (an amendment, not an edit; every take stays). A scene that continues another waits for the other's best.
Rounds live in memory: after a restart the takes are there, with scores, and the author chooses. Does not know how takes
are scored or rendered.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from engine.contract.errors import EngineError
from engine.storage.media import MediaStore
from studio.document.edits import change_scene, change_storyboard
from studio.document.storyboard import Storyboard
from studio.errors import LibraryError, PlanError, StudioError
from studio.library.projects import Library
from studio.library.takes import StoredTake, TakeRepository
from studio.rendering.progress import job_makes
from studio.services.assistants.critic import CriticService
from studio.services.guards.submission import SubmissionGuard
from studio.services.refresher import ProjectRefresher
from studio.views.state_cache import ProjectStateCache

LOG = logging.getLogger(__name__)
MOST_TAKES = 64


@dataclass
class _Round:
    """``scene_ids``: one scene, or all of a joint model. ``recipes``: by seed, each scene's recipe; empty before it
    begins. ``asked``, ``answered``: whether the critic was asked about the takes, and has said what it can."""

    project_id: str
    scene_ids: tuple[str, ...]
    num_takes: int
    after: str | None
    recipes: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    asked: bool = False
    answered: bool = False


class TakeRounds:
    """``on_done``: called with a project's id when no round of it is left. Thread-safe."""

    def __init__(
        self,
        library: Library,
        takes: TakeRepository,
        states: ProjectStateCache,
        submission: SubmissionGuard,
        store: MediaStore,
        critic: CriticService,
        refresher: ProjectRefresher,
        on_done: Callable[[str], None],
    ) -> None:
        self._library = library
        self._takes = takes
        self._states = states
        self._submission = submission
        self._store = store
        self._critic = critic
        self._refresher = refresher
        self._on_done = on_done
        self._lock = threading.RLock()
        self._rounds: list[_Round] = []

    def start(self, project_id: str, scene_ids: Sequence[str] | None, num_takes: int) -> list[str]:
        """Ids of the jobs that were submitted now. A scene that cannot be rendered is left out.

        Raises PlanError where none can be, EngineError.
        """
        if not 1 <= num_takes <= MOST_TAKES:
            raise PlanError("", f"{num_takes} takes: must be 1 to {MOST_TAKES}.")
        with self._lock:
            self.stop(project_id)
            rounds = self._rounds_of(project_id, scene_ids, num_takes)
            self._rounds += rounds
            try:
                ids, refusals = self._begin_all([one for one in rounds if one.after is None])
                if refusals and not any(one in self._rounds for one in rounds):
                    raise refusals[0]
            except (StudioError, EngineError):
                self.stop(project_id)
                raise
        self.check(project_id)
        return ids

    def stop(self, project_id: str) -> None:
        """No take is chosen; those that come are kept."""
        with self._lock:
            self._rounds = [one for one in self._rounds if one.project_id != project_id]

    def holds(self, project_id: str, scene_id: str) -> bool:
        """Whether takes that arrive for a scene belong to a round: they do not replace the author's choice."""
        return any(one.project_id == project_id and scene_id in one.scene_ids for one in tuple(self._rounds))

    def texts(self, project_id: str) -> Mapping[str, str]:
        """By scene, what is said of its round: ``2 of 4 takes``."""
        rounds = [one for one in tuple(self._rounds) if one.project_id == project_id]
        if not rounds:
            return {}
        here = {stored.take.recipe for stored in self._takes.takes_of(project_id)}
        return {scene_id: _text(one, here) for one in rounds for scene_id in one.scene_ids}

    def check(self, project_id: str) -> None:
        """Takes arrived, were scored, or jobs ended: what is complete is decided, and what waited for it begins."""
        with self._lock:
            own = [one for one in self._rounds if one.project_id == project_id and one.recipes]
            if not own:
                return
            try:
                for one in own:
                    if one in self._rounds:
                        self._check(one)
            except (StudioError, EngineError) as error:
                LOG.warning("project %s: its takes are kept, and none is chosen: %s", project_id, error)
                self.stop(project_id)
            ended = not any(one.project_id == project_id for one in self._rounds)
        if ended:
            self._refresher.refresh(project_id)
            self._on_done(project_id)

    # ---- one round
    def _rounds_of(self, project_id: str, scene_ids: Sequence[str] | None, num_takes: int) -> list[_Round]:
        plan = self._states.plan(project_id, None, scene_ids)
        self._states.refuse_unplannable(plan, scene_ids)
        asked = [scene for scene in plan.scenes if scene_ids is None or scene.scene_id in scene_ids]
        asked = [scene for scene in asked if scene.recipe is not None]
        if self._states.is_joint(project_id):
            return [_Round(project_id, tuple(scene.scene_id for scene in plan.scenes), num_takes, None)]
        ids = {scene.scene_id for scene in asked}
        rounds = [(scene, scene.continues if scene.continues in ids else None) for scene in asked]
        return [_Round(project_id, (scene.scene_id,), num_takes, after) for scene, after in rounds]

    def _begin_all(self, rounds: Sequence[_Round]) -> tuple[list[str], list[PlanError]]:
        """-> (ids of jobs, why scenes were left out). A guard's verdict may come between two scenes: the one that it
        refuses stops no other."""
        ids, refusals = list[str](), list[PlanError]()
        for one in rounds:
            try:
                ids += self._begin(one)
            except PlanError as error:
                refusals.append(error)
                self._leave_out(one)
        return ids, refusals

    def _leave_out(self, one: _Round) -> None:
        """With the scenes that continue from it."""
        self._rounds.remove(one)
        for other in [each for each in self._rounds if each.project_id == one.project_id]:
            if other.after in one.scene_ids and other in self._rounds:
                self._leave_out(other)

    def _begin(self, one: _Round) -> list[str]:
        """Submits a job for each seed whose take is not there."""
        storyboard, ids = self._library.open(one.project_id).storyboard, list[str]()
        first = self._states.plan(one.project_id, None, one.scene_ids).scene(one.scene_ids[0]).seed
        for seed in seeds_from(first, one.num_takes):
            variant = self._with_seed(storyboard, one, seed)
            plan = self._states.plan_variant(one.project_id, variant, one.scene_ids)
            self._states.refuse_unplannable(plan, one.scene_ids)
            one.recipes[seed] = {scene_id: plan.scene(scene_id).recipe or "" for scene_id in one.scene_ids}
            self._give_known(one, one.recipes[seed])
            waiters_of = partial(self._states.waiters_for, one.project_id, plan)
            ids += self._submission.submit(one.project_id, plan.jobs, waiters_of, replace=False)
        return ids

    def _give_known(self, one: _Round, recipes: Mapping[str, str]) -> None:
        """Takes that another project rendered become the scene's too."""
        known = self._takes.takes_by_recipe(set(recipes.values()), self._store)
        own = {stored.take.recipe for stored in self._takes.takes_of(one.project_id)}
        found = [(scene_id, recipe) for scene_id, recipe in recipes.items() if recipe in known and recipe not in own]
        if found:
            self._takes.give(one.project_id, [(scene_id, known[recipe].take.id) for scene_id, recipe in found])

    def _with_seed(self, storyboard: Storyboard, one: _Round, seed: int) -> Storyboard:
        if self._states.is_joint(one.project_id):
            return change_storyboard(storyboard, "seed", seed)
        return change_scene(storyboard, one.scene_ids[0], "seed", seed)

    def _check(self, one: _Round) -> None:
        takes = {stored.take.recipe: stored for stored in self._takes.takes_of(one.project_id)}
        waiting = self._submission.waiting(one.project_id)
        recipes = [recipe for by_scene in one.recipes.values() for recipe in by_scene.values()]
        if any(recipe not in takes and any(job_makes(job, recipe) for job in waiting) for recipe in recipes):
            return
        present = {recipe: takes[recipe] for recipe in recipes if recipe in takes}
        ids = [stored.take.id for stored in present.values()]
        scores = {take_id: stored.critique.grade for take_id, stored in self._critic.critiques(ids).items()}
        if self._critic.is_off or one.answered or len(scores) == len(set(ids)):
            self._end(one, present, scores)
        elif not one.asked:
            one.asked = True
            self._critic.score(one.project_id, ids, lambda: self._answered(one))

    def _answered(self, one: _Round) -> None:
        with self._lock:
            one.answered = True

    def _end(self, one: _Round, present: Mapping[str, StoredTake], scores: Mapping[str, float]) -> None:
        """The round is over for those who watch once its best take is shown, and what waited for it began."""
        best = best_seed(one.recipes, present, scores)
        if best is not None:
            self._show(one, best)
        self._states.forget(one.project_id)
        waiting = [each for each in self._rounds if each.project_id == one.project_id and each.after in one.scene_ids]
        for next_ in waiting:
            next_.after = None
        self._begin_all(waiting)
        self._rounds.remove(one)
        self._refresher.refresh(one.project_id)
        for next_ in waiting:
            if next_ in self._rounds:
                self._check(next_)

    def _show(self, one: _Round, seed: int) -> None:
        """The seed becomes the scene's, unless the author chose a take or wrote something else meanwhile."""
        storyboard = self._library.open(one.project_id).storyboard
        if not self._is_undecided(storyboard, one):
            return
        variant = self._with_seed(storyboard, one, seed)
        plan = self._states.plan_variant(one.project_id, variant, one.scene_ids)
        if all(plan.scene(scene_id).recipe == recipe for scene_id, recipe in one.recipes[seed].items()):
            try:
                self._library.amend(one.project_id, lambda now: self._with_seed(now, one, seed))
            except LibraryError as error:
                LOG.warning("project %s: the best take is not shown by itself: %s", one.project_id, error)

    def _is_undecided(self, storyboard: Storyboard, one: _Round) -> bool:
        """Whether the scenes are there, none of their takes was chosen, and their seed is the one it began with."""
        chosen = [scene.chosen_take for scene in storyboard.scenes if scene.id in one.scene_ids]
        if len(chosen) < len(one.scene_ids) or any(chosen):
            return False
        seed = self._states.plan(one.project_id, None, one.scene_ids).scene(one.scene_ids[0]).seed
        return seed == next(iter(one.recipes))


def seeds_from(first: int, num_takes: int) -> Iterator[int]:
    """The scene's own seed and those that follow from it: the same scene and number give the same takes."""
    yield first
    for index in range(1, num_takes):
        yield int.from_bytes(hashlib.sha256(f"{first}/take/{index}".encode()).digest()[:4], "big")


def best_seed(
    recipes: Mapping[int, Mapping[str, str]], takes: Mapping[str, StoredTake], scores: Mapping[str, float]
) -> int | None:
    """The seed whose takes have the highest mean score, the first of several; None where no take has one."""
    means: dict[int, float] = {}
    for seed, by_scene in recipes.items():
        own = [scores.get(takes[recipe].take.id) for recipe in by_scene.values() if recipe in takes]
        known = [score for score in own if score is not None]
        if len(known) == len(by_scene):
            means[seed] = sum(known) / len(known)
    return max(means, key=means.__getitem__) if means else None


def _text(one: _Round, here: set[str]) -> str:
    if not one.recipes:
        return f"{one.num_takes} takes, after the scene before"
    num_here = sum(set(by_scene.values()) <= here for by_scene in one.recipes.values())
    return f"{num_here} of {one.num_takes} takes" if num_here < one.num_takes else f"{one.num_takes} takes are scored"
