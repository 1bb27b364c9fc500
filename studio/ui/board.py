"""The board: the scene cards.

Comes in: a studio. Goes out: the panel with its handlers. Does not draw: board.js does.
"""

import gradio as gr

from studio.studio import Studio
from studio.ui.panel import Answer, ProjectRequest, Request, answered, editing, panel, shown


def render(studio: Studio) -> gr.HTML:
    """The panel in the middle. Cards are moved, added and deleted through ``edit``."""

    @answered
    def undo(wish: Request) -> Answer:
        project = studio.projects.undo(ProjectRequest.model_validate(wish).project)
        return {"revision": project.revision, **shown(studio, project.id)}

    @answered
    def redo(wish: Request) -> Answer:
        project = studio.projects.redo(ProjectRequest.model_validate(wish).project)
        return {"revision": project.revision, **shown(studio, project.id)}

    return panel("board", [editing(studio), undo, redo])
