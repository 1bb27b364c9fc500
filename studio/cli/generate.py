"""``storyboard generate``: one clip from one command, as a storyboard of one scene.

Comes in: flags. Goes out: a clip or picture, a prompt file, an exit code. The clip goes the way of every storyboard:
plan, service, ranks, take, film. Does not know how any of them works.
"""

import argparse
from pathlib import Path

from engine.contract.cards import ModelCard
from studio.cli.benchmark import Benchmark
from studio.cli.engine_supervisor import EngineSession, engine_source_of
from studio.cli.flags import (
    Commands,
    assistant_arguments,
    engine_arguments,
    plan_arguments,
    refine_argument,
    signals_as_ctrl_c,
    studio_from_flags,
    takes_argument,
)
from studio.cli.render import Delivery, RenderFile, learned_card
from studio.cli.scenes.flags import (
    SceneSettings,
    add_scene_flags,
    settings_from_flags,
    with_default_length,
    with_settings,
)
from studio.cli.scenes.weights import add_weight_flags, model_from_flags
from studio.cli.terminal import display_for
from studio.document.formats.text_file import read_text
from studio.document.storyboard import Scene, Storyboard
from studio.errors import StoryboardError
from studio.studio import Studio

DEFAULT_MODEL = "diorama"
PUBLISHED = "quality"
"""The preset that takes the steps, sampler and guidance that a model was published with."""
SCENE_ID = "clip"
NAME = "generated"


def add_commands(commands: Commands) -> None:
    text = "One clip from one prompt, with the settings that the model was published with."
    generate = commands.add("generate", _generate, text)
    words = generate.add_mutually_exclusive_group()
    words.add_argument("--prompt", metavar="TEXT", help="what is to be seen; - reads it from a pipe")
    words.add_argument("--prompt-file", metavar="FILE", help="a text file with the prompt; - reads a pipe")
    plan_arguments(generate, f"default: {PUBLISHED}, as the model was published", f"default: {DEFAULT_MODEL}")
    generate.add_argument("--out", type=Path, metavar="FILE", help=f"the clip (default: {NAME}.mp4, or .jpg)")
    generate.add_argument("--save-prompts", action="store_true", help="write the prompt beside it, as .txt")
    text = "render it N times after a time that is not counted, and show what each stage took; no clip is written"
    generate.add_argument("--benchmark", type=int, metavar="N", help=text)
    add_scene_flags(generate)
    add_weight_flags(generate)
    engine_arguments(generate)
    takes_argument(generate)
    assistant_arguments(generate)
    refine_argument(generate)


def _generate(flags: argparse.Namespace) -> int:
    if flags.benchmark is not None and not 1 <= flags.benchmark <= 1000:
        raise StoryboardError.at("--benchmark", f"must be from 1 to 1000 runs, not {flags.benchmark}")
    prompt = prompt_of(flags)
    settings = settings_from_flags(flags, seed=0)
    model = model_from_flags(flags, flags.model or DEFAULT_MODEL)
    delivery = Delivery(flags.out, prompts=flags.save_prompts, num_takes=flags.takes, verbose=True)
    with signals_as_ctrl_c():
        studio = studio_from_flags(flags)
        try:
            session = EngineSession(studio, engine_source_of(flags, studio))
            storyboard, settings = _planned(studio, session, prompt, model, flags.preset or PUBLISHED, settings)
            if flags.benchmark is not None:
                return _benchmark(studio, session, storyboard, settings, flags)
            return RenderFile(studio, project_path(flags.out), flags.json, session).run(storyboard, delivery, settings)
        finally:
            studio.close()


def _benchmark(
    studio: Studio,
    session: EngineSession,
    storyboard: Storyboard,
    settings: SceneSettings,
    flags: argparse.Namespace,
) -> int:
    card = studio.rendering.models()[storyboard.model].card
    benchmark = Benchmark(studio, session, display_for(flags.json))
    return benchmark.run(with_settings(storyboard, settings, card), card, flags.benchmark)


def _planned(
    studio: Studio, session: EngineSession, prompt: str, model: str, preset: str, settings: SceneSettings
) -> tuple[Storyboard, SceneSettings]:
    try:
        card = learned_card(studio, session, model)
    except BaseException:
        session.close()
        raise
    return single_scene(prompt, card, preset), with_default_length(settings, card)


def prompt_of(flags: argparse.Namespace) -> str:
    """The prompt, wherever a flag says that it is. Raises StoryboardError."""
    if flags.prompt is not None and flags.prompt != "-":
        text = flags.prompt
    elif flags.prompt == "-" or flags.prompt_file is not None:
        text = read_text(Path(flags.prompt_file or "-")).text
    elif flags.input is not None:
        return ""  # a refiner writes it from the picture
    else:
        message = "there is no prompt; say what is to be seen, with --prompt TEXT or --prompt-file FILE"
        raise StoryboardError.at("--prompt", message)
    if not text.strip():
        raise StoryboardError.at("--prompt", "is empty; say what is to be seen")
    return text.strip()


def single_scene(prompt: str, card: ModelCard, preset: str) -> Storyboard:
    """Its length is set by ``with_default_length``."""
    title = " ".join(prompt.split())[:80] or NAME
    scene = Scene(id=SCENE_ID, prompt=prompt)
    return Storyboard(title=title, aspect=card.default_aspect, model=card.name, preset=preset, scenes=(scene,))


def project_path(out: Path | None) -> Path:
    """What the clip's project belongs to: generated again to the same file, it is the same project."""
    return (out / NAME if out is not None and out.is_dir() else out or Path(NAME)).with_suffix("")
