"""Renders in Weights & Biases: one run for each process of the studio, a step for each take.

Comes in: records. Goes out: what ``wandb`` logs: curves of seconds and scores, a table of settings, films. Needs the
extra ``wandb``. Without a key, or with WANDB_MODE=offline, all stays in a folder that ``wandb sync`` sends later. Of
this machine nothing is collected: no command line, no code, no repository. Does not know the studio.
"""

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

from studio.errors import PresetError
from studio.tracking.record import TakeRecord, film_to_send


class WandbTracker:
    """``folder``: of the runs' own files. Raises PresetError where wandb is not installed or refuses to start."""

    def __init__(self, project: str, folder: Path) -> None:
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise PresetError("--track", "wandb", "needs: pip install 'storyboard-studio[wandb]'") from error
        self._wandb = wandb
        folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        try:
            self._run: Any = wandb.init(project=project, dir=str(folder), mode=self._mode(), settings=settings)
        except wandb.Error as error:
            raise PresetError("--track", "wandb", str(error)) from error
        self._films = tempfile.TemporaryDirectory(prefix="storyboard-films-")

    def record(self, record: TakeRecord) -> None:
        film = film_to_send(record, Path(self._films.name))
        settings = {f"settings/{name}": value for name, value in record.settings.items()}
        words = {"prompt": " / ".join(record.prompts)} if record.prompts else {}
        self._run.log({**record.numbers, **settings, **words, "film": self._wandb.Video(str(film), format="mp4")})

    def close(self) -> None:
        self._run.finish()
        self._films.cleanup()

    def _mode(self) -> str:
        if mode := os.environ.get("WANDB_MODE"):
            return mode
        return "online" if self._wandb.login(prompt=False) else "offline"
