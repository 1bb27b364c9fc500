"""The projects on the left: a list, new, duplicate, delete and bring back.

Comes in: a desk. Goes out: the panel with its handlers. Does not know which project a tab shows.
"""

import gradio as gr

from studio.studio import Desk
from studio.ui.panel import Answer, OfProject, Wish, answered, panel


class NewWish(OfProject):
    project: str = ""
    title: str = "Untitled film"


def render(desk: Desk) -> gr.HTML:
    """The panel on the left."""

    @answered
    def projects(wish: Wish) -> Answer:
        return _listed(desk)

    @answered
    def create(wish: Wish) -> Answer:
        project = desk.create(title=NewWish.model_validate(wish).title)
        return {"project": project.id, **_listed(desk)}

    @answered
    def duplicate(wish: Wish) -> Answer:
        project = desk.duplicate(OfProject.model_validate(wish).project)
        return {"project": project.id, **_listed(desk)}

    @answered
    def delete(wish: Wish) -> Answer:
        desk.delete(OfProject.model_validate(wish).project)
        return _listed(desk)

    @answered
    def restore(wish: Wish) -> Answer:
        project = desk.restore(OfProject.model_validate(wish).project)
        return {"project": project.id, **_listed(desk)}

    return panel("projects", [projects, create, duplicate, delete, restore])


def _listed(desk: Desk) -> Answer:
    return {"projects": [summary.model_dump(mode="json") for summary in desk.projects()]}
