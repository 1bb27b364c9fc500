"""The bar on top: title, preset, what pressing the button will do, the button, stop.

Comes in: a studio. Goes out: the panel with its handlers. No handler waits for a render: it submits and answers.
"""

import gradio as gr

from studio.studio import Studio
from studio.ui.panel import Answer, ProjectRequest, Request, answered, editing, panel, shown


def render(studio: Studio) -> gr.HTML:
    """The panel along the top (on a narrow screen: the bottom)."""

    @answered
    def render_film(wish: Request) -> Answer:
        asked = ProjectRequest.model_validate(wish)
        return {"jobs": studio.rendering.render(asked.project), **shown(studio, asked.project)}

    @answered
    def stop(wish: Request) -> Answer:
        asked = ProjectRequest.model_validate(wish)
        return {"jobs": studio.rendering.stop(asked.project), **shown(studio, asked.project)}

    return panel("renderbar", [editing(studio), render_film, stop])
