"""``storyboard batch``, ``import`` and ``export``: lists of prompts of other tools, run, imported and written.

Comes in: flags. Goes out: files, projects, text; an exit code. Does not know what the formats look like.
"""

import argparse
import sys
from pathlib import Path

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
    json_argument,
    plan_arguments,
    refine_argument,
    show_line,
    signals_as_ctrl_c,
    studio_from_flags,
    takes_argument,
)
from studio.cli.scenes.flags import add_scene_flags, settings_from_flags
from studio.cli.scenes.weights import add_weight_flags, model_from_flags
from studio.document.formats import ttt_prompts, yaml_file
from studio.document.formats.reading import batch_in, holds_videos, read_storyboards, storyboards_in
from studio.document.formats.text_file import read_text
from studio.document.formats.ttt_config import TttConfig, read_config
from studio.document.formats.ttt_prompts import MODEL as TTT_MODEL
from studio.document.storyboard import Storyboard
from studio.errors import LibraryError, StoryboardError


def add_commands(commands: Commands) -> None:
    text = (
        "Run a batch file as it is: a clip or picture for each entry of Cosmos', a film for each video of TTT-Video's."
    )
    batch = commands.add("batch", _batch, text)
    text = "JSON, JSON lines, or - for a pipe: of Predict1, Predict2, Predict2.5, Cosmos 3 or TTT-Video"
    batch.add_argument("file", type=Path, metavar="FILE", nargs="?", help=text)
    text = "TTT-Video's configuration (TOML); what a flag says counts more"
    batch.add_argument("--config", type=Path, metavar="TOML", help=text)
    plan_arguments(batch, "default: quality, as the model was published", "default: the one that the file is for")
    batch.add_argument("--out", type=Path, metavar="DIR", help="folder of the clips (default: this one)")
    batch.add_argument("--save-prompts", action="store_true", help="write each prompt beside its clip, as .txt")
    add_scene_flags(batch)
    add_weight_flags(batch)
    engine_arguments(batch)
    takes_argument(batch)
    assistant_arguments(batch)
    refine_argument(batch)
    taking = commands.add("import", _import, "Take a file into the workspace: a project for each storyboard in it.")
    taking.add_argument("file", type=Path, metavar="FILE")
    json_argument(taking)
    text = "Write a file's storyboards in another form: one .yaml each, or TTT-Video's prompts (.json, .jsonl)."
    export = commands.add("export", _export, text)
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("--format", choices=("yaml", "ttt"), default="yaml", help="default: yaml")
    export.add_argument("--out", type=Path, help="the file (default: standard output)")


def _batch(flags: argparse.Namespace) -> int:
    if flags.config is not None:
        add_config(flags, read_config(flags.config))
    if flags.file is None:
        message = "there is no file; name one, or - for a pipe, or a --config whose eval.input_file names it"
        raise StoryboardError.at("FILE", message)
    file = read_text(flags.file)
    videos = storyboards_in(file) if holds_videos(file) else ()
    batch = None if videos else batch_in(file)
    options = batch_options(flags, batch.model if batch else TTT_MODEL)
    with signals_as_ctrl_c():
        studio = studio_from_flags(flags)
        try:
            session = EngineSession(studio, engine_source_of(flags, studio))
            if batch is None:
                return RunVideos(studio, flags.file, flags.json, session).run(videos, options)
            return RunBatch(studio, flags.file, flags.json, session).run(batch, options)
        finally:
            studio.close()


def batch_options(flags: argparse.Namespace, model: str) -> BatchOptions:
    """``model``: the one that the file is for."""
    return BatchOptions(
        out=flags.out or Path(),
        model=model_from_flags(flags, flags.model or model),
        preset=flags.preset or "quality",
        settings=settings_from_flags(flags, seed=0),
        prompts=flags.save_prompts,
        num_takes=flags.takes,
    )


def add_config(flags: argparse.Namespace, config: TttConfig) -> None:
    """What a configuration file says, where no flag says it."""
    size = f"{config.size_px[0]}x{config.size_px[1]}" if config.size_px else None
    values = {
        "file": config.input_file,
        "out": config.output_dir,
        "model": config.model,
        "network": config.network,
        "text_encoder": config.text_encoder,
        "autoencoder": config.autoencoder,
        "size": None if flags.aspect else size,
        "fps": config.fps,
        "steps": config.num_steps,
        "guidance": config.guidance_scale,
        "precision": config.precision,
        "ranks": config.num_ranks,
        "seed": config.seed,
    }
    for name, value in values.items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    for text in config.unused:
        print(f"note: {flags.config}: {text}; not used", file=sys.stderr)


def _import(flags: argparse.Namespace) -> int:
    storyboards = read_storyboards(flags.file)
    studio = studio_from_flags(flags)
    try:
        for number, storyboard in enumerate(storyboards, start=1):
            project = studio.projects.open_file(
                flags.file if len(storyboards) == 1 else place_of(flags.file, number), storyboard
            )
            num_scenes = len(storyboard.scenes)
            fields: dict[str, object] = {"id": project.id, "title": storyboard.title, "scenes": num_scenes}
            show_line(flags.json, fields, f"{project.id}: {storyboard.title} ({counted(num_scenes, 'scene')})")
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
