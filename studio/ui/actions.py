"""Everything that the page's panels can ask for, as one table: a name, what a request holds, and who handles it.

Comes in: who asks, one JSON object. Goes out: an answer; errors that are meant for the author are answers too.
No handler waits for a render: it submits and answers. Does not know gradio or HTTP.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from engine.contract.errors import EngineError
from engine.contract.values import Sha256, Value
from studio.document.edits import EDIT
from studio.errors import RevisionConflict, StoryboardError, StudioError
from studio.services.identity import Identity
from studio.studio import Studio
from studio.ui.stream import board_for

Answer = dict[str, Any]
"""``ok`` true with what was asked for, or ``ok`` false with ``problem`` as text (and ``field``, ``conflict``)."""


class EmptyRequest(Value):
    """``project``: the page sends the one that it shows with every request; it does not matter here."""

    project: str = ""


class ProjectRequest(Value):
    project: str


class NewProjectRequest(EmptyRequest):
    """``id``: made by the page, which shows the project before it is saved; None: made here."""

    title: str = "Untitled film"
    id: Annotated[str, Field(pattern=r"^p-[0-9a-f]{10}$")] | None = None


class EditRequest(ProjectRequest):
    """One edit, made on ``revision``."""

    revision: int
    edit: dict[str, Any]


class SceneRequest(ProjectRequest):
    scene: str


class RefineRequest(ProjectRequest):
    """``scenes`` None: all. ``again``: another text than the last."""

    scenes: tuple[str, ...] | None = None
    again: bool = False


class TakesRequest(ProjectRequest):
    """``scene`` None: all scenes."""

    scene: str | None = None
    num_takes: int


class PauseRequest(ProjectRequest):
    paused: bool


class GuardRequest(ProjectRequest):
    on: bool


class ReleaseRequest(ProjectRequest):
    """``media``: the file of a take that the guard withholds."""

    media: Sha256


class MoveRequest(ProjectRequest):
    job: str
    position: int


R = TypeVar("R", bound=Value)


@dataclass(frozen=True, slots=True)
class Action:
    """``request``: the model that the JSON object is checked against. ``handler``: gets who asks, studio, request."""

    request: type[Value]
    handler: Callable[[Identity, Studio, Any], Answer]


def handled(request: type[R], handler: Callable[[Identity, Studio, R], Answer]) -> Action:
    """An ``Action`` whose handler takes what its request model makes."""
    return Action(request, handler)


def dispatch(action: Action, identity: Identity, studio: Studio, content: object) -> Answer:
    """The answer to one request of a script. Anybody may send anything: ``content`` is checked here.

    Errors that are meant for the author become answers; those of this program are raised.
    """
    try:
        return {"ok": True, **action.handler(identity, studio, action.request.model_validate(content))}
    except RevisionConflict as error:
        conflict = {"yours": error.yours, "theirs": error.theirs, "revision": error.current}
        return {"ok": False, "problem": str(error), "conflict": conflict}
    except StoryboardError as error:
        return {"ok": False, "problem": str(error), "field": error.field}
    except (StudioError, EngineError) as error:
        return {"ok": False, "problem": str(error)}
    except ValidationError as error:
        return {"ok": False, "problem": f"The page sent something the studio does not know: {error}"}


def _with_board(identity: Identity, studio: Studio, project_id: str, **answer: Any) -> Answer:
    """With the board as it is now: the script need not wait for the stream."""
    return {**answer, "board": board_for(studio, project_id, identity).model_dump(mode="json")}


def _with_list(studio: Studio, **answer: Any) -> Answer:
    return {**answer, "projects": [summary.model_dump(mode="json") for summary in studio.projects.summaries()]}


# ---- projects
def projects(identity: Identity, studio: Studio, request: EmptyRequest) -> Answer:
    return _with_list(studio)


def create(identity: Identity, studio: Studio, request: NewProjectRequest) -> Answer:
    project = studio.projects.create(title=request.title, project_id=request.id)
    return _with_list(studio, project=project.id, revision=project.revision)


def duplicate(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    return _with_list(studio, project=studio.projects.duplicate(request.project).id)


def delete(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    studio.projects.delete(request.project)
    return _with_list(studio)


def restore(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    return _with_list(studio, project=studio.projects.restore(request.project).id)


# ---- edits
def edit(identity: Identity, studio: Studio, request: EditRequest) -> Answer:
    project = studio.projects.edit(request.project, request.revision, EDIT.validate_python(request.edit))
    return _with_board(identity, studio, project.id, revision=project.revision)


def undo(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    project = studio.projects.undo(request.project)
    return _with_board(identity, studio, project.id, revision=project.revision)


def redo(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    project = studio.projects.redo(request.project)
    return _with_board(identity, studio, project.id, revision=project.revision)


def keep_picture(identity: Identity, studio: Studio, request: SceneRequest) -> Answer:
    studio.rendering.use_first_frame(request.project, request.scene, identity)
    return _with_board(identity, studio, request.project)


def refine(identity: Identity, studio: Studio, request: RefineRequest) -> Answer:
    scenes = studio.assistants.refiner.refine(request.project, request.scenes, request.again)
    return _with_board(identity, studio, request.project, scenes=scenes)


# ---- rendering
def render_film(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    return _with_board(identity, studio, request.project, jobs=studio.rendering.render(request.project))


def render_scene(identity: Identity, studio: Studio, request: SceneRequest) -> Answer:
    return _with_board(
        identity, studio, request.project, jobs=studio.rendering.render(request.project, [request.scene])
    )


def render_takes(identity: Identity, studio: Studio, request: TakesRequest) -> Answer:
    scenes = [request.scene] if request.scene is not None else None
    jobs = studio.rendering.render_takes(request.project, request.num_takes, scenes)
    return _with_board(identity, studio, request.project, jobs=jobs)


def another_take(identity: Identity, studio: Studio, request: SceneRequest) -> Answer:
    jobs = studio.rendering.render_again(request.project, request.scene)
    return _with_board(identity, studio, request.project, jobs=jobs)


def another_picture(identity: Identity, studio: Studio, request: SceneRequest) -> Answer:
    jobs = studio.rendering.reroll_first_frame(request.project, request.scene)
    return _with_board(identity, studio, request.project, jobs=jobs)


def stop(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    return _with_board(identity, studio, request.project, jobs=studio.rendering.stop(request.project))


def pause(identity: Identity, studio: Studio, request: PauseRequest) -> Answer:
    if request.paused:
        studio.rendering.pause()
    else:
        studio.rendering.resume()
    return _with_board(identity, studio, request.project)


def render_next(identity: Identity, studio: Studio, request: MoveRequest) -> Answer:
    studio.rendering.move(request.project, request.job, request.position)
    return _with_board(identity, studio, request.project)


def assemble(identity: Identity, studio: Studio, request: ProjectRequest) -> Answer:
    studio.rendering.assemble(request.project)
    return _with_board(identity, studio, request.project)


def guard(identity: Identity, studio: Studio, request: GuardRequest) -> Answer:
    """Switches the guard of the storyboard on or off."""
    model = studio.projects.open(request.project).storyboard.model
    studio.assistants.guards.switch(request.project, model, request.on)
    return _with_board(identity, studio, request.project)


def release_take(identity: Identity, studio: Studio, request: ReleaseRequest) -> Answer:
    studio.assistants.guards.release(identity, request.media)
    return _with_board(identity, studio, request.project)


ACTIONS: Mapping[str, Action] = {
    "projects": handled(EmptyRequest, projects),
    "create": handled(NewProjectRequest, create),
    "duplicate": handled(ProjectRequest, duplicate),
    "delete": handled(ProjectRequest, delete),
    "restore": handled(ProjectRequest, restore),
    "edit": handled(EditRequest, edit),
    "undo": handled(ProjectRequest, undo),
    "redo": handled(ProjectRequest, redo),
    "keep_picture": handled(SceneRequest, keep_picture),
    "refine": handled(RefineRequest, refine),
    "render_film": handled(ProjectRequest, render_film),
    "render_scene": handled(SceneRequest, render_scene),
    "render_takes": handled(TakesRequest, render_takes),
    "another_take": handled(SceneRequest, another_take),
    "another_picture": handled(SceneRequest, another_picture),
    "stop": handled(ProjectRequest, stop),
    "pause": handled(PauseRequest, pause),
    "render_next": handled(MoveRequest, render_next),
    "assemble": handled(ProjectRequest, assemble),
    "guard": handled(GuardRequest, guard),
    "release_take": handled(ReleaseRequest, release_take),
}
"""By the name that scripts call."""

PANELS: Mapping[str, tuple[str, ...]] = {
    "renderbar": ("edit", "render_film", "render_takes", "stop"),
    "projects": ("projects", "create", "duplicate", "delete", "restore"),
    "board": ("edit", "undo", "redo"),
    "inspector": (
        *("edit", "refine", "render_scene", "render_takes", "another_take", "another_picture", "keep_picture"),
        *("guard", "release_take"),
    ),
    "player": ("assemble", "pause", "render_next"),
}
"""The panels in reading order, and which actions each one's script may call."""
