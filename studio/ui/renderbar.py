"""The bar on top: title, preset, what pressing the button will do, the button, stop.

Comes in: a desk. Goes out: the panel with its handlers. No handler waits for a render: it submits and answers.
"""

import gradio as gr

from studio.studio import Desk
from studio.ui.panel import Answer, OfProject, Wish, answered, editing, panel, shown


def render(desk: Desk) -> gr.HTML:
    """The panel along the top (on a narrow screen: the bottom)."""

    @answered
    def render_film(wish: Wish) -> Answer:
        asked = OfProject.model_validate(wish)
        return {"jobs": desk.render(asked.project), **shown(desk, asked.project)}

    @answered
    def stop(wish: Wish) -> Answer:
        asked = OfProject.model_validate(wish)
        return {"jobs": desk.stop(asked.project), **shown(desk, asked.project)}

    return panel("renderbar", [editing(desk), render_film, stop])
