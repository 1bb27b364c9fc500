"""The inspector: the selected scene, field by field, and what the whole film shares.

Comes in: a desk. Goes out: the panel with its handlers. Does not know which scene is selected: every wish names it.
"""

import gradio as gr

from studio.studio import Desk
from studio.ui.panel import Answer, OfProject, Wish, answered, editing, panel, shown


class OfScene(OfProject):
    scene: str


def render(desk: Desk) -> gr.HTML:
    """The panel on the right."""

    @answered
    def render_scene(wish: Wish) -> Answer:
        asked = OfScene.model_validate(wish)
        jobs = desk.render(asked.project, [asked.scene])
        return {"jobs": jobs, **shown(desk, asked.project)}

    @answered
    def another_take(wish: Wish) -> Answer:
        asked = OfScene.model_validate(wish)
        jobs = desk.render_again(asked.project, asked.scene)
        return {"jobs": jobs, **shown(desk, asked.project)}

    @answered
    def another_picture(wish: Wish) -> Answer:
        asked = OfScene.model_validate(wish)
        jobs = desk.reroll_first_frame(asked.project, asked.scene)
        return {"jobs": jobs, **shown(desk, asked.project)}

    @answered
    def keep_picture(wish: Wish) -> Answer:
        asked = OfScene.model_validate(wish)
        desk.use_first_frame(asked.project, asked.scene)
        return shown(desk, asked.project)

    return panel("inspector", [editing(desk), render_scene, another_take, another_picture, keep_picture])
