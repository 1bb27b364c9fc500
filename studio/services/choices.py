"""Takes that the author chose give way: to a take that arrives, or to the one that matches the scene as written.

Comes in: a library, scenes. Goes out: an amended storyboard, which undo does not see. Does not know why.
"""

from collections.abc import Collection

from studio.document.edits import clear_take
from studio.document.storyboard import Storyboard
from studio.library.projects import Library


def clear_choices(library: Library, project_id: str, scene_ids: Collection[str]) -> None:
    """Raises ProjectMissing."""

    def cleared(storyboard: Storyboard) -> Storyboard:
        for scene in storyboard.scenes:
            if scene.id in scene_ids and scene.chosen_take is not None:
                storyboard = clear_take(storyboard, scene.id)
        return storyboard

    library.amend(project_id, cleared)
