"""The command line: the same work as the page, without a browser.

Comes in: arguments. Goes out: text, JSON lines, a film; an exit code. Does not know how anything is done: it calls the
studio. Exit codes: 0 done (for ``render``: there is a film), 1 something failed on the way, 2 the arguments, the
storyboard or a preset are wrong, 3 no engine could be started or reached, 130 stopped by Ctrl-C.
"""

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.contract.cards import ModelCard
from engine.contract.errors import EngineError
from studio.cli import batch_commands, critique, generate, models, refine
from studio.cli.clips import pixelate
from studio.cli.flags import (
    DONE,
    FAILED,
    STOPPED,
    WRONG,
    Commands,
    assistant_arguments,
    counted,
    engine_arguments,
    exit_code,
    file_arguments,
    json_argument,
    models_root_of,
    refine_argument,
    show_line,
    signals_as_ctrl_c,
    storyboard_from_flags,
    studio_from_flags,
    takes_argument,
)
from studio.cli.scenes.flags import add_scene_flags, settings_from_flags
from studio.cli.scenes.weights import add_weight_flags, model_from_flags
from studio.document.formats.reading import read_file
from studio.downloads.files import gigabytes
from studio.errors import StudioError
from studio.planning.cost import memory_bytes
from studio.planning.types import Plan
from studio.studio import Studio
from studio.views.durations import about, clock

DEFAULT_PORT = 7860


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``storyboard`` command. -> exit code."""
    flags = command_parser().parse_args(arguments)
    try:
        return flags.run(flags)
    except KeyboardInterrupt:
        print("storyboard: stopped.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (StudioError, EngineError) as error:
        print(f"storyboard: {error}", file=sys.stderr)
        return exit_code(error)


def command_parser() -> argparse.ArgumentParser:
    """Of every command."""
    parser = argparse.ArgumentParser(prog="storyboard", description="From a storyboard to a film.")
    commands = Commands(parser)
    render = commands.add(
        "render", _render, "Render a storyboard file to a film; what is rendered already is not again."
    )
    file_arguments(render)
    render.add_argument("--out", type=Path, help="the film (default: FILE's name with .mp4, in this folder)")
    enlarge = "enlarge the film, such as 4 (default: the takes' size)"
    render.add_argument("--scale", type=float, default=1.0, help=enlarge)
    render.add_argument("--save-prompts", action="store_true", help="write the prompts beside it, as .txt")
    add_scene_flags(render)
    add_weight_flags(render)
    engine_arguments(render)
    takes_argument(render)
    assistant_arguments(render)
    refine_argument(render)
    generate.add_commands(commands)
    plan = commands.add("plan", _plan, "What rendering a storyboard file would do, and why.")
    file_arguments(plan)
    check = commands.add("check", _check, "Whether a storyboard file is right; if not: what, where, what to do.")
    check.add_argument("file", type=Path, metavar="FILE")
    json_argument(check)
    batch_commands.add_commands(commands)
    refine.add_commands(commands)
    models.add_commands(commands)
    critique.add_command(commands)
    pixelate.add_command(commands)
    json_argument(commands.add("presets", _presets, "The presets, from the quickest to the best."))
    _add_processes(commands)
    return parser


def _add_processes(commands: Commands) -> None:
    serve = commands.add("serve", _serve, "The page, with an engine.")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}")
    engine_arguments(serve)
    assistant_arguments(serve)
    engine = commands.add("engine", _engine, "The engine alone, without a page.")
    engine.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    engine.add_argument("--port", type=int, default=0, help="0: the one used last, or any free one")
    engine.add_argument("--ranks", type=int, default=0, help="0: one for each GPU, else one")


def _render(flags: argparse.Namespace) -> int:
    from studio.cli.engine_supervisor import EngineSession, engine_source_of
    from studio.cli.render import Delivery, RenderFile

    storyboard = storyboard_from_flags(flags)
    settings = settings_from_flags(flags)
    storyboard = storyboard.model_copy(update={"model": model_from_flags(flags, storyboard.model)})
    with signals_as_ctrl_c():
        studio = studio_from_flags(flags)
        try:
            session = EngineSession(studio, engine_source_of(flags, studio))
            delivery = Delivery(flags.out, flags.scale, prompts=flags.save_prompts, num_takes=flags.takes)
            return RenderFile(studio, flags.file, flags.json, session).run(storyboard, delivery, settings)
        finally:
            studio.close()


def _plan(flags: argparse.Namespace) -> int:
    studio = studio_from_flags(flags)
    try:
        storyboard = storyboard_from_flags(flags)
        hash_weights(studio, storyboard.model)
        plan = studio.projects.plan_file(flags.file, storyboard)
        card = studio.rendering.models()[storyboard.model].card
    finally:
        studio.close()
    print(plan.model_dump_json(indent=2) if flags.json else "\n".join([*plan_lines(plan), *memory_lines(plan, card)]))
    return WRONG if any(scene.state == "unplannable" for scene in plan.scenes) else DONE


def hash_weights(studio: Studio, model: str) -> None:
    """Without an engine large weights are hashed here, once, with a line of progress: the plan's recipes need them."""

    def report(num_bytes: int, all_bytes: int) -> None:
        end = "\n" if num_bytes == all_bytes or not sys.stderr.isatty() else "\r"
        text = f"storyboard: hashing the weights of {model}: {gigabytes(num_bytes)} of {gigabytes(all_bytes)}"
        print(text, end=end, file=sys.stderr, flush=True)

    studio.rendering.hash_weights(model, report)


def plan_lines(plan: Plan) -> list[str]:
    """The plan as text: a line for each scene with its notes, then the cost."""
    lines: list[str] = []
    for scene in plan.scenes:
        message = f"{scene.state}: {scene.reason}" if scene.reason else scene.state
        length = f"{clock(scene.seconds)}, {counted(scene.num_frames, 'frame')}"
        lines.append(f"{scene.number:3}  {scene.scene_id}  {length}  {message}")
        notes = [note.text for note in plan.notes if note.scene_id == scene.scene_id and note.text != scene.reason]
        lines += [f"       {text}" for text in notes]
    lines += [f"     {note.text}" for note in plan.notes if note.scene_id is None]
    if not plan.jobs:
        return [*lines, "nothing to render"]
    work = f"{counted(len(plan.jobs), 'job')}, {counted(plan.cost.num_evaluations, 'denoiser evaluation')}"
    return [*lines, f"to render: {work}, {about(plan.cost.seconds)}"]


def memory_lines(plan: Plan, card: ModelCard) -> list[str]:
    """What the largest job needs of a device, where there is one."""
    needed = max((memory_bytes(job, card) for job in plan.jobs), default=0)
    return [f"memory of the device: about {gigabytes(needed)} (an estimate)"] if needed else []


def _check(flags: argparse.Namespace) -> int:
    studio = studio_from_flags(flags)
    try:
        storyboard = read_file(flags.file)
        hash_weights(studio, storyboard.model)
        plan = studio.projects.plan_file(flags.file, storyboard)
    finally:
        studio.close()
    for note in plan.notes:
        where = f"scene {plan.scene(note.scene_id).number}: " if note.scene_id else ""
        fields: dict[str, object] = {"event": "note", "level": note.level, "id": note.scene_id, "text": note.text}
        show_line(flags.json, fields, f"{note.level}: {where}{note.text}")
    stuck = [scene for scene in plan.scenes if scene.state == "unplannable"]
    seconds = sum(scene.seconds for scene in plan.scenes)
    scenes = counted(len(plan.scenes), "scene")
    verdict = f"{len(stuck)} of {scenes} cannot be rendered" if stuck else "right"
    text = f"{flags.file}: {verdict} ({scenes}, {clock(seconds)})"
    if not plan.scenes:
        text = f"{flags.file}: there is nothing to render: the storyboard has no scenes. Add one."
    right = bool(plan.scenes) and not stuck
    show_line(flags.json, {"event": "check", "right": right, "scenes": len(plan.scenes), "stuck": len(stuck)}, text)
    return DONE if right else WRONG


def _presets(flags: argparse.Namespace) -> int:
    studio = studio_from_flags(flags)
    studio.close()
    for preset in studio.presets.values():
        sampler = "the model's own sampler" if preset.sampler == "model" else preset.sampler
        steps = "as many steps as the model likes" if preset.num_steps == "model" else f"{preset.num_steps} steps"
        text = f"{preset.name}: {preset.title}. {preset.summary} ({sampler}, {steps})"
        show_line(flags.json, preset.model_dump(mode="json"), text)
    return DONE


def _serve(flags: argparse.Namespace) -> int:
    problem = port_problem(flags.host, flags.port)
    if problem:
        print(f"storyboard: {problem}", file=sys.stderr)
        return WRONG
    from studio.cli.engine_supervisor import engine_source_of
    from studio.cli.serve import serve_studio

    studio = studio_from_flags(flags, examples=True)
    try:
        serve_studio(studio, flags.host, flags.port, engine_source_of(flags, studio))
    finally:
        studio.close()
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
    from engine.service.launch import run_engine

    places = ["--workspace", str(flags.workspace), "--models-root", str(models_root_of(flags))]
    return run_engine([*places, "--host", flags.host, "--port", str(flags.port), "--ranks", str(flags.ranks)])
