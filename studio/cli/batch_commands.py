"""``storyboard batch``, ``import`` and ``export``: lists of prompts of other tools, run, imported and written.

Comes in: flags. Goes out: files, projects, text; an exit code. Does not know what the formats look like.
"""

import argparse
import sys
from pathlib import Path
from typing import TypeVar

from engine.storage import atomic
from studio.cli.batch import BatchOptions, RunBatch
from studio.cli.batch_videos import RunVideos, place_of
from studio.cli.engine_supervisor import EngineSession, engine_source_of
from studio.cli.flags import (
    DONE,
    Commands,
    assistant_arguments,
    counted,
    engine_arguments,
    plan_arguments,
    signals_as_ctrl_c,
    studio_from_flags,
)
from studio.document.formats import ttt_prompts, yaml_file
from studio.document.formats.cosmos_batch import ASPECT
from studio.document.formats.reading import holds_videos, read_batch, read_storyboards
from studio.document.storyboard import MAX_SEED, Storyboard
from studio.errors import LibraryError, StoryboardError

MAX_GUIDANCE = 100.0
N = TypeVar("N", int, float)


def add_commands(commands: Commands) -> None:
    text = (
        "Run a batch file as it is: a clip or picture for each entry of Cosmos', a film for each video of TTT-Video's."
    )
    batch = commands.add("batch", _batch, text)
    text = "Predict2's JSON list, Predict1's JSON lines, or TTT-Video's prompts (.json, .jsonl)"
    batch.add_argument("file", type=Path, metavar="FILE", help=text)
    plan_arguments(batch)
    batch.add_argument("--out", type=Path, default=Path(), help="folder of the clips (default: this one)")
    text = "guidance in the usual convention, 1 is none (default: the model's)"
    batch.add_argument("--guidance", type=float, metavar="G", help=text)
    batch.add_argument("--nvidia-guidance", action="store_true", help="G is NVIDIA's, where 0 is none: 1 is added")
    batch.add_argument("--seed", type=int, default=0, help="of every entry (default: 0)")
    batch.add_argument("--num-input-frames", type=int, default=1, metavar="N", help="of a clip: 1, 5 or 9 (default: 1)")
    batch.add_argument("--aspect", default="", help=f"such as 9:16 (default: {ASPECT}; of videos 3:2)")
    batch.add_argument("--negative-prompt", default="", help="of every entry (default: the model's)")
    text = "a clip to re-imagine (SDEdit) in every entry that names no input"
    batch.add_argument("--reimagine", default="", metavar="CLIP", help=text)
    text = "how far the clip is re-imagined, 0 to 1 (default: 0.8)"
    batch.add_argument("--strength", type=float, default=0.8, help=text)
    text = "how far its first frame is, 0 to 1 (default: 0.4)"
    batch.add_argument("--first-frame-strength", type=float, help=text)
    engine_arguments(batch)
    assistant_arguments(batch)
    taking = commands.add("import", _import, "Take a file into the workspace: a project for each storyboard in it.")
    taking.add_argument("file", type=Path, metavar="FILE")
    text = "Write a file's storyboards in another form: one .yaml each, or TTT-Video's prompts (.json, .jsonl)."
    export = commands.add("export", _export, text)
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("--format", choices=("yaml", "ttt"), default="yaml", help="default: yaml")
    export.add_argument("--out", type=Path, help="the file (default: standard output)")


def _batch(flags: argparse.Namespace) -> int:
    videos = read_storyboards(flags.file) if holds_videos(flags.file) else ()
    batch = None if videos else read_batch(flags.file)
    options = _options(flags)
    with signals_as_ctrl_c():
        studio = studio_from_flags(flags)
        try:
            session = EngineSession(studio, engine_source_of(flags, studio))
            if batch is None:
                return RunVideos(studio, flags.file, flags.json, session).run(videos, options)
            return RunBatch(studio, flags.file, flags.json, session).run(batch, options)
        finally:
            studio.close()


def _options(flags: argparse.Namespace) -> BatchOptions:
    options = BatchOptions(
        out=flags.out,
        model=flags.model or "",
        preset=flags.preset or "balanced",
        guidance_scale=guidance_of(flags.guidance, flags.nvidia_guidance),
        seed=_within("--seed", flags.seed, 0, MAX_SEED),
        num_input_frames=_within("--num-input-frames", flags.num_input_frames, 1, 10_000),
        aspect=flags.aspect,
        negative_prompt=flags.negative_prompt,
        reimagine=flags.reimagine,
        strength=_within("--strength", flags.strength, 0, 1),
        first_frame_strength=_first_frame_strength(flags.first_frame_strength),
    )
    if flags.nvidia_guidance and options.guidance_scale is not None:
        message = f"NVIDIA's guidance {flags.guidance:g} is {options.guidance_scale:g} in the usual convention."
        print(message, file=sys.stderr)
    return options


def guidance_of(value: float | None, nvidias: bool) -> float | None:
    """In the usual convention: NVIDIA's g weighs what is added to the conditional answer, ours is 1 + g."""
    if value is None:
        return None
    scale = 1.0 + value if nvidias else value
    if not 0 <= scale <= MAX_GUIDANCE:
        raise StoryboardError.at("--guidance", f"{scale:g} is not from 0 to {MAX_GUIDANCE:g}; 3 to 8 is usual")
    return scale


def _first_frame_strength(value: float | None) -> float | None:
    return None if value is None else _within("--first-frame-strength", value, 0, 1)


def _within(flag: str, value: N, lowest: int, highest: int) -> N:
    if not lowest <= value <= highest:
        raise StoryboardError.at(flag, f"must be from {lowest} to {highest}, not {value}")
    return value


def _import(flags: argparse.Namespace) -> int:
    storyboards = read_storyboards(flags.file)
    studio = studio_from_flags(flags)
    try:
        for number, storyboard in enumerate(storyboards, start=1):
            project = studio.projects.open_file(
                flags.file if len(storyboards) == 1 else place_of(flags.file, number), storyboard
            )
            print(f"{project.id}: {storyboard.title} ({counted(len(storyboard.scenes), 'scene')})")
    finally:
        studio.close()
    return DONE


def _export(flags: argparse.Namespace) -> int:
    try:
        text = exported(read_storyboards(flags.file), flags.format, flags.out)
    except StoryboardError as error:
        raise StoryboardError(error.problems, str(flags.file)) from error
    if flags.out is None:
        print(text, end="")
        return DONE
    try:
        atomic.write_text(flags.out, text)
    except OSError as error:
        what = f"{flags.out}: cannot be written ({error.strerror or error})"
        raise LibraryError(f"{what}. Choose another place with --out.") from error
    print(f"{flags.out}: {len(text.encode())} bytes")
    return DONE


def exported(storyboards: tuple[Storyboard, ...], form: str, out: Path | None) -> str:
    """The text of the other format; TTT-Video's has a video on each line where the name ends in .jsonl."""
    if form == "ttt":
        return ttt_prompts.to_text(storyboards, "jsonl" if out and out.suffix.lower() == ".jsonl" else "json")
    if len(storyboards) != 1:
        message = (
            f"holds {len(storyboards)} storyboards, and one YAML file is one; import it instead (storyboard import)"
        )
        raise StoryboardError.at("", message)
    return yaml_file.to_text(storyboards[0])
