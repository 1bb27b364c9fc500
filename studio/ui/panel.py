"""A panel of the page: a gr.HTML that mounts one script, which may call some of the actions.

Comes in: the panel's name, its actions by name. Goes out: a component with the script ``static/panels/NAME.js``, whose
functions take one JSON object each. Does not know what any panel shows, nor what an action does.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import gradio as gr
from starlette.requests import HTTPConnection

from studio.studio import Studio
from studio.ui.actions import Action, Answer, dispatch
from studio.ui.identity import identity_of

_MOUNT = """
const address = new URL('studio/static/panels/NAME.js', document.baseURI).href;
import(address).then((panel) => panel.mount(element, server)).catch((error) => {
  element.textContent = 'This panel could not be loaded; reload the page. (' + error + ')';
});
"""


def panel(name: str, actions: Mapping[str, Action], studio: Studio) -> gr.HTML:
    """One panel of the page. Its functions are not listeners: they have no API name and no queue."""
    return gr.HTML(
        value="",
        html_template='<div class="panel-host"></div>',
        js_on_load=_MOUNT.replace("NAME", name),
        server_functions=[_function(called, action, studio) for called, action in actions.items()],
        elem_id=f"panel-{name}",
        apply_default_css=False,
    )


def _function(name: str, action: Action, studio: Studio) -> Callable[[dict[str, Any], gr.Request], Answer]:
    """What Gradio calls for one action; the request comes from Gradio, by its annotation."""

    def function(content: dict[str, Any], request: gr.Request) -> Answer:
        connection = cast(HTTPConnection, getattr(request, "request", request))  # Gradio wraps it, or does not
        return dispatch(action, identity_of(connection), studio, content)

    function.__name__ = name
    return function
