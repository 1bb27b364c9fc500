"""The projects on the left: a list, new, duplicate, delete and bring back.

Comes in: a studio. Goes out: the panel with its handlers. Does not know which project a tab shows.
"""

import gradio as gr

from studio.studio import Studio
from studio.ui.panel import Answer, ProjectRequest, Request, answered, panel


class NewProjectRequest(ProjectRequest):
    project: str = ""
    title: str = "Untitled film"


def render(studio: Studio) -> gr.HTML:
    """The panel on the left."""

    @answered
    def projects(wish: Request) -> Answer:
        return _listed(studio)

    @answered
    def create(wish: Request) -> Answer:
        project = studio.projects.create(title=NewProjectRequest.model_validate(wish).title)
        return {"project": project.id, **_listed(studio)}

    @answered
    def duplicate(wish: Request) -> Answer:
        project = studio.projects.duplicate(ProjectRequest.model_validate(wish).project)
        return {"project": project.id, **_listed(studio)}

    @answered
    def delete(wish: Request) -> Answer:
        studio.projects.delete(ProjectRequest.model_validate(wish).project)
        return _listed(studio)

    @answered
    def restore(wish: Request) -> Answer:
        project = studio.projects.restore(ProjectRequest.model_validate(wish).project)
        return {"project": project.id, **_listed(studio)}

    return panel("projects", [projects, create, duplicate, delete, restore])


def _listed(studio: Studio) -> Answer:
    return {"projects": [summary.model_dump(mode="json") for summary in studio.projects.summaries()]}
