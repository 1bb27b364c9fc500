"""The inspector: the selected scene, field by field, and what the whole film shares.

Comes in: a studio. Goes out: the panel with its handlers. Does not know which scene is selected: every wish names it.
"""

import gradio as gr

from studio.studio import Studio
from studio.ui.panel import Answer, ProjectRequest, Request, answered, editing, panel, shown


class SceneRequest(ProjectRequest):
    scene: str


def render(studio: Studio) -> gr.HTML:
    """The panel on the right."""

    @answered
    def render_scene(wish: Request) -> Answer:
        asked = SceneRequest.model_validate(wish)
        jobs = studio.rendering.render(asked.project, [asked.scene])
        return {"jobs": jobs, **shown(studio, asked.project)}

    @answered
    def another_take(wish: Request) -> Answer:
        asked = SceneRequest.model_validate(wish)
        jobs = studio.rendering.render_again(asked.project, asked.scene)
        return {"jobs": jobs, **shown(studio, asked.project)}

    @answered
    def another_picture(wish: Request) -> Answer:
        asked = SceneRequest.model_validate(wish)
        jobs = studio.rendering.reroll_first_frame(asked.project, asked.scene)
        return {"jobs": jobs, **shown(studio, asked.project)}

    @answered
    def keep_picture(wish: Request) -> Answer:
        asked = SceneRequest.model_validate(wish)
        studio.rendering.use_first_frame(asked.project, asked.scene)
        return shown(studio, asked.project)

    return panel("inspector", [editing(studio), render_scene, another_take, another_picture, keep_picture])
