"""The film: its player, the strip of its scenes, and the queue.

Comes in: a studio. Goes out: the panel with its handlers. Does not assemble anything itself.
"""

import gradio as gr

from studio.studio import Studio
from studio.ui.panel import Answer, ProjectRequest, Request, answered, panel, shown


class PauseRequest(ProjectRequest):
    paused: bool


class MoveRequest(ProjectRequest):
    job: str
    position: int


def render(studio: Studio) -> gr.HTML:
    """The panel along the bottom (on a narrow screen: the top)."""

    @answered
    def assemble(wish: Request) -> Answer:
        asked = ProjectRequest.model_validate(wish)
        studio.rendering.assemble(asked.project)
        return shown(studio, asked.project)

    @answered
    def pause(wish: Request) -> Answer:
        asked = PauseRequest.model_validate(wish)
        if asked.paused:
            studio.rendering.pause()
        else:
            studio.rendering.resume()
        return shown(studio, asked.project)

    @answered
    def render_next(wish: Request) -> Answer:
        asked = MoveRequest.model_validate(wish)
        studio.rendering.move(asked.project, asked.job, asked.position)
        return shown(studio, asked.project)

    return panel("player", [assemble, pause, render_next])
