"""``storyboard critique FILES...``: scores clips that exist already.

Comes in: flags. Goes out: a line (or a JSON line) for each clip, a report on request, an exit code: 0 all were scored,
1 some could not be, 2 none could. Does not know how a clip is scored.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.contract.errors import EngineError
from studio.cli.critique_report import Judged, write_report
from studio.cli.flags import DONE, FAILED, WRONG, Commands, engine_arguments, signals_as_ctrl_c, studio_from_flags
from studio.errors import PlanError, PresetError, StudioError
from studio.studio import Studio

CLIP_SUFFIXES = (".mp4", ".webm", ".m4v", ".mov")
MOST_TRIALS = 100


def add_command(commands: Commands) -> None:
    critique = commands.add("critique", _critique, "Score clips that exist already, and say why.")
    critique.add_argument("files", type=Path, nargs="+", metavar="FILE", help="clips, or folders of clips")
    words = "what the clips should show (default: the text in CLIP's name with .txt, where it is there)"
    critique.add_argument("--prompt", metavar="TEXT", help=words)
    model = "the film model whose words the built-in critic reads by (default: one that the clip's size fits)"
    critique.add_argument("--model", default="", help=model)
    critique.add_argument("--trials", type=int, default=5, help="how often a model is asked (default: 5)")
    critique.add_argument("--seed", type=int, default=0, help="of a model's answers (default: 0)")
    critique.add_argument("--report", type=Path, metavar="DIR", help="a report with all clips, as HTML and JSON")
    critique.add_argument("--critic", metavar="WHICH", help="auto, built-in, an assistant's name, or a URL with #MODEL")
    critique.add_argument("--json", action="store_true", help="JSON lines for programs")
    engine_arguments(critique)


def _critique(flags: argparse.Namespace) -> int:
    _check(flags)
    with signals_as_ctrl_c():
        studio = studio_from_flags(flags)
        try:
            judged = _judged_all(studio, flags)
        finally:
            studio.close()
    if flags.report:
        print(f"report: {write_report(flags.report, judged)}", file=sys.stderr)
    num_wrong = sum(one.critique is None for one in judged)
    return WRONG if num_wrong == len(judged) else FAILED if num_wrong else DONE


def _check(flags: argparse.Namespace) -> None:
    if not 1 <= flags.trials <= MOST_TRIALS:
        raise PlanError("", f"--trials {flags.trials}: must be 1 to {MOST_TRIALS}.")
    if not 0 <= flags.seed < 2**32:
        raise PlanError("", f"--seed {flags.seed}: must be 0 to {2**32 - 1}.")


def _judged_all(studio: Studio, flags: argparse.Namespace) -> list[Judged]:
    if flags.model and flags.model not in studio.rendering.models():
        raise PlanError("", f"no model is called {flags.model}. storyboard models list names them.")
    if studio.assistants.critic.needs_engine:
        from studio.cli.engine_supervisor import EngineSession, engine_source_of

        session = EngineSession(studio, engine_source_of(flags, studio))
        try:
            session.attach()
            return list(_judge_each(studio, flags))
        finally:
            session.close()
    return list(_judge_each(studio, flags))


def _judge_each(studio: Studio, flags: argparse.Namespace) -> Iterator[Judged]:
    for path, problem in clips_in(flags.files):
        one = Judged(path, "", None, problem) if problem else _judged(studio, path, flags)
        _show(one, flags.json)
        yield one


def clips_in(files: Sequence[Path]) -> list[tuple[Path, str]]:
    """The clips of files and folders, in order, each with "" or why it is none."""
    clips: list[tuple[Path, str]] = []
    for path in files:
        try:
            inside = sorted(path.iterdir()) if path.is_dir() else None
        except OSError as error:
            clips.append((path, f"cannot be looked into ({error.strerror or error})"))
            continue
        found = [each for each in inside or [path] if inside is None or each.suffix.lower() in CLIP_SUFFIXES]
        clips += [(each, "") for each in found]
        if not found:
            clips.append((path, "no clip is in this folder. Clips end in .mp4 or .webm"))
    return clips


def _judged(studio: Studio, path: Path, flags: argparse.Namespace) -> Judged:
    try:
        prompt = flags.prompt if flags.prompt is not None else _prompt_beside(path)
        critique = studio.assistants.critic.critique_file(path, prompt, flags.model, flags.trials, flags.seed)
        return Judged(path, prompt, critique)
    except PresetError:  # of the critic, not of this clip
        raise
    except (EngineError, StudioError) as error:
        return Judged(path, "", None, str(error).removeprefix(f"{path.name}: "))
    except OSError as error:
        return Judged(path, "", None, f"cannot be read ({error.strerror or error})")


def _prompt_beside(path: Path) -> str:
    try:
        return path.with_suffix(".txt").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _show(one: Judged, as_json: bool) -> None:
    if as_json:
        fields: dict[str, object] = {"event": "error", "file": str(one.path), "problem": one.problem}
        if one.critique is not None:
            fields = {"event": "critique", "file": str(one.path), "prompt": one.prompt}
            fields |= {key: value for key, value in one.critique.model_dump(mode="json").items() if key != "kind"}
        print(json.dumps(fields), flush=True)
    elif one.critique is None:
        print(f"{one.path}: {one.problem}", file=sys.stderr)
    else:
        print(f"{one.path}: {round(100 * one.critique.score)}%: {'; '.join(one.critique.reasons)}", flush=True)
