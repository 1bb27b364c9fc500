"""The projects on the left: a list, new, duplicate, delete and bring back.

Comes in: a studio. Goes out: the panel with its handlers. Does not know which project a tab shows.
"""

from typing import Annotated

import gradio as gr
from pydantic import Field

from studio.studio import Studio
from studio.ui.panel import Answer, ProjectRequest, Request, answered, panel


class NewProjectRequest(ProjectRequest):
    """``id``: made by the page, which shows the project before it is saved; None: made here."""

    project: str = ""
    title: str = "Untitled film"
    id: Annotated[str, Field(pattern=r"^p-[0-9a-f]{10}$")] | None = None


def render(studio: Studio) -> gr.HTML:
    """The panel on the left."""

    @answered
    def projects(wish: Request) -> Answer:
        return _listed(studio)

    @answered
    def create(wish: Request) -> Answer:
        asked = NewProjectRequest.model_validate(wish)
        project = studio.projects.create(title=asked.title, project_id=asked.id)
        return {"project": project.id, "revision": project.revision, **_listed(studio)}

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
