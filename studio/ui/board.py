"""The board: the scene cards. Comes in: a desk. Goes out: the panel with its handlers. Does not draw: board.js does."""

import gradio as gr

from studio.studio import Desk
from studio.ui.panel import Answer, OfProject, Wish, answered, editing, panel, shown


def render(desk: Desk) -> gr.HTML:
    """The panel in the middle. Cards are moved, added and deleted through ``edit``."""

    @answered
    def undo(wish: Wish) -> Answer:
        project = desk.undo(OfProject.model_validate(wish).project)
        return {"revision": project.revision, **shown(desk, project.id)}

    @answered
    def redo(wish: Wish) -> Answer:
        project = desk.redo(OfProject.model_validate(wish).project)
        return {"revision": project.revision, **shown(desk, project.id)}

    return panel("board", [editing(desk), undo, redo])
