"""``storyboard serve``: a studio, an engine beside it or elsewhere, and the page.

Comes in: a studio and addresses. Goes out: a served page, until the process is told to stop. Does not know panels.
"""

import threading
from pathlib import Path

from engine.client.client import EngineClient
from studio.cli.engine_supervisor import EngineSupervisor
from studio.studio import Studio


def serve_studio(
    studio: Studio, host: str, port: int, ranks: int | None, engine_url: str | None, models_root: Path | None = None
) -> None:
    """The page is up while the engine is still starting. ``models_root``: of an engine that is started."""
    if engine_url:
        client = EngineClient(engine_url, studio.workspace.token())
        studio.attach(client, name=engine_url)
        try:
            _serve(studio, host, port)
        finally:
            studio.detach()
            client.close()
        return
    keeper = EngineSupervisor(studio, ranks, models_root=models_root)
    keeper.start()
    try:
        _serve(studio, host, port)
    finally:
        keeper.close()


def _serve(studio: Studio, host: str, port: int) -> None:
    from studio.ui.page import serve  # here: gradio takes seconds to import, and the engine starts meanwhile

    address = f"[{host}]" if ":" in host else host
    ready = threading.Timer(0.0, print, [f"Storyboard Studio: http://{address}:{port}"], {"flush": True})
    ready.start()
    serve(studio, host, port)
