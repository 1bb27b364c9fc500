"""What all panels share: a gr.HTML that mounts one script, and answers in place of exceptions.

Comes in: the panel's name and its functions. Goes out: a component whose script is ``static/panels/NAME.js`` and whose
functions the script may call with one JSON object each. Does not know what any panel shows.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import gradio as gr
from pydantic import ValidationError

from engine.contract.errors import EngineError
from engine.contract.values import Value
from studio.document.edits import EDIT
from studio.errors import RevisionConflict, StoryboardError, StudioError
from studio.studio import Studio

Request = dict[str, Any]
"""What a script sends: one JSON object. Any visitor may send anything: every function checks it."""

Answer = dict[str, Any]
"""``ok`` true with what was asked for, or ``ok`` false with ``problem`` in words (and ``field``, ``conflict``)."""

_MOUNT = """
const address = new URL('studio/static/panels/NAME.js', document.baseURI).href;
import(address).then((panel) => panel.mount(element, server)).catch((error) => {
  element.textContent = 'This panel could not be loaded; reload the page. (' + error + ')';
});
"""


class ProjectRequest(Value):
    project: str


class EditRequest(Value):
    """One edit, made on ``revision``."""

    project: str
    revision: int
    edit: dict[str, Any]


def panel(name: str, functions: Sequence[Callable[[Request], Answer]]) -> gr.HTML:
    """One panel of the page. Its functions are not listeners: they have no API name and no queue."""
    return gr.HTML(
        value="",
        html_template='<div class="panel-host"></div>',
        js_on_load=_MOUNT.replace("NAME", name),
        server_functions=list(functions),
        elem_id=f"panel-{name}",
        apply_default_css=False,
    )


def answered(function: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """The function with errors that are meant for the author turned into answers; our own bugs still raise."""

    @wraps(function)
    def answering(wish: Request) -> Answer:
        try:
            return {"ok": True, **function(wish)}
        except RevisionConflict as error:
            return _conflict(error)
        except StoryboardError as error:
            return {"ok": False, "problem": str(error), "field": error.field}
        except (StudioError, EngineError) as error:
            return {"ok": False, "problem": str(error)}
        except ValidationError as error:
            return {"ok": False, "problem": f"The page sent something the studio does not know: {error}"}

    return answering


def _conflict(error: RevisionConflict) -> Answer:
    yours, theirs = getattr(error, "yours", None), getattr(error, "theirs", None)
    return {
        "ok": False,
        "problem": str(error),
        "conflict": {"yours": yours, "theirs": theirs, "revision": error.current},
    }


def shown(studio: Studio, project_id: str) -> Answer:
    """The board as it is now, for an answer: the script need not wait for the stream."""
    return {"board": studio.views.board(project_id).model_dump(mode="json")}


def editing(studio: Studio) -> Callable[[Request], Answer]:
    """The function ``edit`` that several panels offer."""

    @answered
    def edit(wish: Request) -> Answer:
        asked = EditRequest.model_validate(wish)
        project = studio.projects.edit(asked.project, asked.revision, EDIT.validate_python(asked.edit))
        return {"revision": project.revision, **shown(studio, asked.project)}

    return edit
