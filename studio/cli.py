"""The command line: the same work as the page, without a browser.

Comes in: arguments. Goes out: text, JSON lines, a film; an exit code. Does not know how anything is done: it calls the
desk. Exit codes: 0 done (for ``render``: there is a film), 1 something failed on the way, 2 the arguments, the
storyboard or a preset are wrong, 3 no engine could be started or reached, 130 stopped by Ctrl-C.
"""

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

from engine.contract.errors import EngineError, Unreachable
from engine.contract.workspace import Workspace
from studio.desk import Desk
from studio.errors import LibraryError, PlanError, PresetError, StoryboardError, StudioError
from studio.formats.yaml_file import read_file
from studio.plan import Plan
from studio.storyboard import Storyboard
from studio.view import about, clock

DONE, FAILED, WRONG, NO_ENGINE, STOPPED = 0, 1, 2, 3, 130
DEFAULT_PORT = 7860
LOG_BYTES = 2 * 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``storyboard`` command. -> exit code."""
    flags = _parser().parse_args(arguments)
    try:
        return flags.run(flags)
    except KeyboardInterrupt:
        print("storyboard: stopped.", file=sys.stderr)
        return STOPPED
    except (StudioError, EngineError) as error:
        print(f"storyboard: {error}", file=sys.stderr)
        return _code(error)


def _code(error: StudioError | EngineError) -> int:
    if isinstance(error, Unreachable):
        return NO_ENGINE
    return WRONG if isinstance(error, StoryboardError | PresetError | PlanError | LibraryError) else FAILED


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    where = os.environ.get("STORYBOARD_WORKSPACE") or "workspace"
    shared.add_argument("--workspace", type=Path, default=Path(where), help=f"folder of all state (default: {where})")
    parser = argparse.ArgumentParser(prog="storyboard", description="From a storyboard to a film.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, parents=[shared])
        made.set_defaults(run=run)
        return made

    render = command("render", _render, "Render a storyboard file to a film; what is rendered already is not again.")
    _file_arguments(render)
    render.add_argument("--out", type=Path, help="the film (default: FILE's name with .mp4, in this folder)")
    render.add_argument(
        "--scale", type=float, default=1.0, help="enlarge the film, such as 4 (default: the takes' size)"
    )
    render.add_argument("--ranks", type=int, help="processes that render (default: one for each GPU, else one)")
    render.add_argument("--engine", help="address of an engine elsewhere")
    plan = command("plan", _plan, "What rendering a storyboard file would do, and why.")
    _file_arguments(plan)
    check = command("check", _check, "Whether a storyboard file is right; if not: what, where, what to do.")
    check.add_argument("file", type=Path, metavar="FILE")
    command("models", _models, "The models, and whether their weights are here.")
    command("presets", _presets, "The presets, from the quickest to the best.")
    serve = command("serve", _serve, "The page, with an engine.")
    serve.add_argument("--engine", help="address of an engine elsewhere (its token is read from the workspace)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}")
    serve.add_argument("--ranks", type=int, help="processes that render (default: one for each GPU, else one)")
    engine = command("engine", _engine, "The engine alone, without a page.")
    engine.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    engine.add_argument("--port", type=int, default=0, help="0: the one used last, or any free one")
    engine.add_argument("--ranks", type=int, default=0, help="0: one for each GPU, else one")
    return parser


def _file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a storyboard (YAML or JSON)")
    parser.add_argument("--preset", help="instead of the storyboard's: draft, fast, balanced, quality, max")
    parser.add_argument("--model", help="instead of the storyboard's")
    parser.add_argument("--json", action="store_true", help="JSON lines for programs")


def _words(flags: argparse.Namespace) -> Storyboard:
    """The file, with the flags' preset and model in it."""
    words = read_file(flags.file)
    wished = {"preset": flags.preset, "model": flags.model}
    return words.model_copy(update={name: value for name, value in wished.items() if value})


def _desk(flags: argparse.Namespace, examples: bool = False) -> Desk:
    try:
        workspace = Workspace.at(flags.workspace)
        _log_to(workspace.logs / "studio.log")
        return Desk(workspace, examples=examples)
    except OSError as error:
        what = f"{flags.workspace}: cannot be used as workspace ({error.strerror or error})"
        raise LibraryError(f"{what}. Choose another folder with --workspace.") from error


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


def _render(flags: argparse.Namespace) -> int:
    from studio.render_file import RenderFile

    with _signals_as_ctrl_c():
        desk = _desk(flags)
        try:
            file = RenderFile(desk, flags.file, flags.json, flags.ranks, flags.engine)
            return file.run(_words(flags), flags.out, flags.scale)
        finally:
            desk.close()


class _signals_as_ctrl_c:
    """Being told to end is the same as Ctrl-C: jobs are cancelled, nothing is left behind."""

    def __enter__(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        self._before = signal.signal(signal.SIGTERM, stop)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)


def _plan(flags: argparse.Namespace) -> int:
    desk = _desk(flags)
    try:
        plan = desk.plan_file(flags.file, _words(flags))
    finally:
        desk.close()
    print(plan.model_dump_json(indent=2) if flags.json else "\n".join(plan_lines(plan)))
    return WRONG if any(scene.state == "unplannable" for scene in plan.scenes) else DONE


def plan_lines(plan: Plan) -> list[str]:
    """The plan in words: a line for each scene with its notes, then the cost."""
    lines: list[str] = []
    for scene in plan.scenes:
        said = f"{scene.state}: {scene.reason}" if scene.reason else scene.state
        lines.append(f"{scene.number:3}  {scene.scene_id}  {clock(scene.seconds)}, {scene.num_frames} frames  {said}")
        lines += [f"       {note.text}" for note in plan.notes if note.scene_id == scene.scene_id]
    lines += [f"     {note.text}" for note in plan.notes if note.scene_id is None]
    number = len(plan.jobs)
    if not number:
        return [*lines, "nothing to render"]
    evaluations = plan.cost.num_evaluations
    cost = f"{number} job{'s' if number > 1 else ''}, {evaluations} denoiser evaluations, {about(plan.cost.seconds)}"
    return [*lines, f"to render: {cost}"]


def _check(flags: argparse.Namespace) -> int:
    desk = _desk(flags)
    try:
        words = read_file(flags.file)
        plan = desk.plan_file(flags.file, words)
    finally:
        desk.close()
    for note in plan.notes:
        where = f"scene {plan.scene(note.scene_id).number}: " if note.scene_id else ""
        print(f"{note.level}: {where}{note.text}")
    stuck = [scene for scene in plan.scenes if scene.state == "unplannable"]
    seconds = clock(sum(scene.seconds for scene in plan.scenes))
    verdict = f"{len(stuck)} of {len(plan.scenes)} scenes cannot be rendered" if stuck else "right"
    print(f"{flags.file}: {verdict} ({len(plan.scenes)} scenes, {seconds})")
    return WRONG if stuck else DONE


def _models(flags: argparse.Namespace) -> int:
    desk = _desk(flags)
    try:
        statuses = desk.models().values()
    finally:
        desk.close()
    for status in statuses:
        card = status.card
        here = f"here, {status.fingerprint[:12]}" if status.available else f"not here: {status.reason}"
        sizes = ", ".join(f"{aspect} {width}x{height}" for aspect, (width, height) in card.sizes_px.items())
        print(f"{card.name}: {card.title}. {card.summary}\n  {here}\n  {sizes}, {card.fps} fps, {card.licence}")
    return DONE


def _presets(flags: argparse.Namespace) -> int:
    desk = _desk(flags)
    desk.close()
    for preset in desk.presets.values():
        print(f"{preset.name}: {preset.title}. {preset.summary} ({preset.sampler}, {preset.num_steps} steps)")
    return DONE


def _serve(flags: argparse.Namespace) -> int:
    problem = port_problem(flags.host, flags.port)
    if problem:
        print(f"storyboard: {problem}", file=sys.stderr)
        return WRONG
    from studio.serving import serve_desk

    desk = _desk(flags, examples=True)
    try:
        serve_desk(desk, flags.host, flags.port, flags.ranks, flags.engine)
    finally:
        desk.close()
    return DONE


def port_problem(host: str, port: int) -> str:
    """Why nothing can listen there; "" if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        return f"cannot listen on {host}:{port} ({why}). Stop what uses the port, or choose another with --port."
    return ""


def _engine(flags: argparse.Namespace) -> int:
    from engine.service.__main__ import main as run_engine

    numbers = ["--port", str(flags.port), "--ranks", str(flags.ranks)]
    return run_engine(["--workspace", str(flags.workspace), "--host", flags.host, *numbers])


if __name__ == "__main__":
    sys.exit(main())
