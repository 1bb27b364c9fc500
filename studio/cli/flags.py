"""What the commands of the command line share: exit codes, flags that several have, and the studio that they call.

Comes in: parsed flags. Goes out: a studio, a storyboard, exit codes. Does not know what any command does.
"""

import argparse
import json
import logging
import os
import signal
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import cast

from engine.contract.assistants import AssistantKind
from engine.contract.errors import EngineError, Unreachable
from engine.storage.workspace import Workspace
from studio.document.formats.reading import read_file
from studio.document.storyboard import Storyboard
from studio.errors import LibraryError, PlanError, PresetError, StoryboardError, StudioError
from studio.services.assistants.settings import FILE as ASSISTANTS_FILE
from studio.services.assistants.settings import AssistantSettings, read_settings, with_flags, with_refining
from studio.services.take_rounds import MOST_TAKES
from studio.studio import MODELS_ROOT, Studio
from studio.tracking.tracking import TrackingSettings

DONE, FAILED, WRONG, NO_ENGINE, STOPPED = 0, 1, 2, 3, 130
LOG_BYTES = 2 * 2**20

Run = Callable[[argparse.Namespace], int]


class Commands:
    """Makes the commands of one parser; each has ``--workspace`` and ``--models-root``."""

    def __init__(self, parser: argparse.ArgumentParser, required: bool = True) -> None:
        self._inner = not required
        self._parsers = parser.add_subparsers(required=required, metavar="COMMAND")

    def add(self, name: str, run: Run, text: str) -> argparse.ArgumentParser:
        made = self._parsers.add_parser(name, help=text, description=text, parents=[_places(self._inner)])
        made.set_defaults(run=run)
        return made


def _places(inner: bool) -> argparse.ArgumentParser:
    """``inner``: of a command inside another, which has the same flags and must keep their values."""
    places = argparse.ArgumentParser(add_help=False)
    where = os.environ.get("STORYBOARD_WORKSPACE") or "workspace"
    root = Path(os.environ.get("STORYBOARD_MODELS_ROOT") or MODELS_ROOT)
    workspace, models = (argparse.SUPPRESS,) * 2 if inner else (Path(where), root)
    places.add_argument("--workspace", type=Path, default=workspace, help=f"folder of all state (default: {where})")
    text = "folder that the models' folders stand in (default: models/ in the project)"
    places.add_argument("--models-root", type=Path, default=models, help=text)
    return places


def exit_code(error: StudioError | EngineError) -> int:
    if isinstance(error, Unreachable):
        return NO_ENGINE
    return WRONG if isinstance(error, StoryboardError | PresetError | PlanError | LibraryError) else FAILED


def counted(number: int, what: str) -> str:
    """``1 scene``, ``2 scenes``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON lines for programs")


def show_line(as_json: bool, fields: dict[str, object], text: str) -> None:
    """One line of a command's answer."""
    print(json.dumps(fields, ensure_ascii=False) if as_json else text, flush=True)


def file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a storyboard (YAML or JSON, or another tool's list)")
    plan_arguments(parser)


def plan_arguments(
    parser: argparse.ArgumentParser,
    preset: str = "instead of the storyboard's",
    model: str = "instead of the storyboard's",
) -> None:
    """``preset``, ``model``: what is taken without the flag."""
    parser.add_argument("--preset", help=f"draft, fast, balanced, quality or max ({preset})")
    parser.add_argument("--model", help=f"as `storyboard models list` names it ({model})")
    json_argument(parser)


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ranks", type=int, help="processes that render (default: one for each GPU, else one)")
    parser.add_argument("--engine", help="address of an engine elsewhere")
    tracking_arguments(parser)


def takes_argument(parser: argparse.ArgumentParser) -> None:
    text = "takes of each scene, one for each seed; the critic's best is in the film (default: 1)"
    parser.add_argument("--takes", type=_num_takes, default=1, metavar="N", help=text)


def _num_takes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_TAKES:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1 to {MOST_TAKES}")
    return int(text)


def assistant_arguments(parser: argparse.ArgumentParser) -> None:
    """Which assistants answer, in place of the workspace's ``assistants.yaml``."""
    group = parser.add_argument_group("assistants", "auto, built-in, off, an assistant's name, or a URL with #MODEL")
    group.add_argument("--refiner", metavar="WHICH", help="what rewrites prompts for the model")
    guard = group.add_mutually_exclusive_group()
    guard.add_argument("--guard", metavar="WHICH", help="what judges prompts and takes")
    text = "judge nothing, where this host and the model's licence allow it (as --guard off)"
    guard.add_argument("--no-guard", dest="guard", action="store_const", const="off", help=text)
    group.add_argument("--critic", metavar="WHICH", help="what scores takes")


def refine_argument(parser: argparse.ArgumentParser) -> None:
    """Of a command that renders; without it, the workspace's ``assistants.yaml`` decides."""
    text = "let the refiner write the prompts first, or never (default: only prompts that are missing beside a picture)"
    parser.add_argument("--refine", action=argparse.BooleanOptionalAction, default=None, help=text)


def assistant_settings(flags: argparse.Namespace, workspace: Workspace) -> AssistantSettings:
    """The workspace's, with the flags in them. Raises PresetError."""
    kinds: tuple[AssistantKind, ...] = ("refiner", "guard", "critic")
    named: dict[AssistantKind, str | None] = {kind: cast(str | None, getattr(flags, kind, None)) for kind in kinds}
    settings = with_flags(read_settings(workspace.root / ASSISTANTS_FILE), named)
    return with_refining(settings, cast(bool | None, getattr(flags, "refine", None)))


def tracking_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tracking", "finished takes in an experiment tracker; off by default")
    text = "tensorboard[=FOLDER] or wandb[=PROJECT]; may be given twice. wandb sends films, and no prompts"
    group.add_argument("--track", action="append", default=[], metavar="TRACKER", help=text)
    group.add_argument("--track-prompts", action="store_true", help="record what authors write, too")


def tracking_settings(flags: argparse.Namespace) -> TrackingSettings:
    return TrackingSettings(tuple(getattr(flags, "track", ())), bool(getattr(flags, "track_prompts", False)))


def storyboard_from_flags(flags: argparse.Namespace) -> Storyboard:
    """The file, with the flags' preset and model in it."""
    storyboard = read_file(flags.file)
    wished = {"preset": flags.preset, "model": flags.model}
    return storyboard.model_copy(update={name: value for name, value in wished.items() if value})


def workspace_of(flags: argparse.Namespace) -> Workspace:
    """Raises LibraryError."""
    try:
        return Workspace.at(flags.workspace)
    except OSError as error:
        raise _unusable(flags.workspace, error) from error


def studio_from_flags(flags: argparse.Namespace, examples: bool = False) -> Studio:
    """Raises LibraryError."""
    workspace = workspace_of(flags)
    try:
        _log_to(workspace.logs / "studio.log")
        settings = assistant_settings(flags, workspace)
        return Studio(
            workspace,
            models_root=models_root_of(flags),
            examples=examples,
            assistants=settings,
            tracking=tracking_settings(flags),
        )
    except OSError as error:
        raise _unusable(flags.workspace, error) from error


def models_root_of(flags: argparse.Namespace) -> Path:
    return flags.models_root.expanduser().resolve()


def _unusable(workspace: Path, error: OSError) -> LibraryError:
    what = f"{workspace}: cannot be used as workspace ({error.strerror or error})"
    return LibraryError(f"{what}. Choose another folder with --workspace.")


def _log_to(path: Path) -> None:
    """What goes wrong behind the scenes is written there, not between the progress bars."""
    logger = logging.getLogger("studio")
    for handler in tuple(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=2, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


class signals_as_ctrl_c:
    """SIGTERM is handled as Ctrl-C is: jobs are cancelled, nothing is left behind."""

    def __enter__(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        self._before = signal.signal(signal.SIGTERM, stop)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)
