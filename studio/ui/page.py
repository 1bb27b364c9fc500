"""The page: one Gradio shell with its panels, mounted beside our own routes.

Comes in: a studio. Goes out: a FastAPI app, or a served page. Gradio holds no truth: each tab reads the board's stream
and calls actions; closing a tab stops nothing. Does not know engines, jobs' contents or files.
"""

from pathlib import Path
from typing import Any, cast

import gradio as gr
import uvicorn
from fastapi import FastAPI, Response

from studio.studio import Studio
from studio.ui.actions import ACTIONS, PANELS
from studio.ui.guard import LOOPBACK, Guard
from studio.ui.identity import Identify, Policy, local_user
from studio.ui.panel import panel
from studio.ui.routes import MAX_UPLOAD_BYTES, Scripts, routes
from studio.ui.theme import theme

STATIC = Path(__file__).parent / "static"
STYLES = ("tokens", "shell", "bar", "board", "inspector", "fields", "player")
_HEAD = "\n".join(
    [
        '<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">',
        '<link rel="icon" href="studio/static/mark.svg" type="image/svg+xml">',
        *(f'<link rel="stylesheet" href="studio/static/styles/{name}.css">' for name in STYLES),
    ]
)


def build_app(studio: Studio, loopback_only: bool = True, policy: Policy = local_user) -> FastAPI:
    """The whole page as an app; ``loopback_only`` refuses requests that name another host.

    ``policy``: whose request it is.
    """
    app = FastAPI(title="Storyboard Studio", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Identify, policy=policy)
    app.add_middleware(Guard, loopback_only=loopback_only, max_body_bytes=MAX_UPLOAD_BYTES)
    app.mount("/studio/static", Scripts(directory=STATIC), name="scripts")
    app.include_router(routes(studio))

    @app.get("/healthz")
    def healthz() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response("ok", media_type="text/plain")

    return gr.mount_gradio_app(  # pyright: ignore[reportUnknownMemberType]
        app,
        shell(studio),
        path="/",
        run_history=False,
        ssr_mode=False,
        footer_links=cast(Any, []),
        enable_monitoring=False,
        max_file_size=MAX_UPLOAD_BYTES,
        theme=theme(),
        head=_HEAD,
    )


def shell(studio: Studio) -> gr.Blocks:
    """The panels, in reading order. No listeners: a panel's functions are called by its script alone."""
    with gr.Blocks(title="Storyboard Studio", fill_width=True, analytics_enabled=False) as blocks:
        with gr.Column(elem_id="studio"):
            for name, actions in PANELS.items():
                panel(name, {action: ACTIONS[action] for action in actions}, studio)
    return blocks


def serve(studio: Studio, host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serves the page until the process is stopped. Raises OSError where the port is taken."""
    app = build_app(studio, loopback_only=host in LOOPBACK)
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run()
