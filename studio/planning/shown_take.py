"""Which take of a scene is shown, on its card and in the film: one rule for the plan, the views and the film.

Comes in: the takes of a project, oldest first. Goes out: for a scene and its recipe, one take or none. Pure; does not
know how recipes are made, whether a take is still what is planned, or where its file is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.contract.jobs import Take
from studio.document.storyboard import Scene


@dataclass(frozen=True, slots=True)
class TakeIndex:
    """The takes of a project by what they are looked up by; several of one recipe or scene are oldest first."""

    by_id: Mapping[str, Take]
    by_recipe: Mapping[str, Sequence[Take]]
    by_scene: Mapping[str, Sequence[Take]]

    def shown(self, scene: Scene, recipe: str | None) -> Take | None:
        """The author's choice, else the newest take of ``recipe``, else the newest of the scene, else none.

        ``recipe``: of the take that would be rendered now; None where the scene cannot be planned. A chosen take that
        is gone counts as none.
        """
        if chosen := self.by_id.get(scene.chosen_take or ""):
            return chosen
        candidates = self.by_recipe.get(recipe or "") or self.by_scene.get(scene.id)
        return candidates[-1] if candidates else None


def index_takes(takes: Iterable[Take]) -> TakeIndex:
    """``takes``: all of a project, oldest first."""
    by_id: dict[str, Take] = {}
    by_recipe: dict[str, list[Take]] = {}
    by_scene: dict[str, list[Take]] = {}
    for take in takes:
        by_id[take.id] = take
        by_recipe.setdefault(take.recipe, []).append(take)
        by_scene.setdefault(take.scene_id, []).append(take)
    return TakeIndex(by_id, by_recipe, by_scene)
