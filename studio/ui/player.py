"""The film: its player, the strip of its scenes, and the queue.

Comes in: a desk. Goes out: the panel with its handlers. Does not assemble anything itself.
"""

import gradio as gr

from studio.studio import Desk
from studio.ui.panel import Answer, OfProject, Wish, answered, panel, shown


class PauseWish(OfProject):
    paused: bool


class MoveWish(OfProject):
    job: str
    position: int


def render(desk: Desk) -> gr.HTML:
    """The panel along the bottom (on a narrow screen: the top)."""

    @answered
    def assemble(wish: Wish) -> Answer:
        asked = OfProject.model_validate(wish)
        desk.assemble(asked.project)
        return shown(desk, asked.project)

    @answered
    def pause(wish: Wish) -> Answer:
        asked = PauseWish.model_validate(wish)
        if asked.paused:
            desk.pause()
        else:
            desk.resume()
        return shown(desk, asked.project)

    @answered
    def render_next(wish: Wish) -> Answer:
        asked = MoveWish.model_validate(wish)
        desk.move(asked.project, asked.job, asked.position)
        return shown(desk, asked.project)

    return panel("player", [assemble, pause, render_next])
