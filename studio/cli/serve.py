"""``storyboard serve``: a studio, an engine beside it or elsewhere, and the page.

Comes in: a studio, an address, where the engine comes from. Goes out: a served page, until the process is asked to
stop. Does not know panels.
"""

import threading

from studio.cli.engine_supervisor import EngineSource, EngineSupervisor
from studio.studio import Studio


def serve_studio(studio: Studio, host: str, port: int, source: EngineSource) -> None:
    """The page is up while the engine is still starting."""
    supervisor = EngineSupervisor(studio, source)
    supervisor.start()
    try:
        _serve(studio, host, port)
    finally:
        supervisor.close()


def _serve(studio: Studio, host: str, port: int) -> None:
    from studio.ui.page import serve  # here: gradio takes seconds to import, and the engine starts meanwhile

    address = f"[{host}]" if ":" in host else host
    ready = threading.Timer(0.0, print, [f"Storyboard Studio: http://{address}:{port}"], {"flush": True})
    ready.start()
    serve(studio, host, port)
