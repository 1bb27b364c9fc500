"""Prompts refined on the command line: ``storyboard refine FILE``, and ``--refine`` of the commands that render.

Comes in: a storyboard of a file, flags. Goes out: the storyboard with accepted refinements, a line for each scene. A
refiner that fails, or is not there, costs no scene. Does not know which refiner it is.
"""

import argparse
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from engine.storage import atomic
from studio.cli.engine_supervisor import EngineSession, engine_source_of
from studio.cli.flags import (
    DONE,
    FAILED,
    Commands,
    assistant_arguments,
    engine_arguments,
    file_arguments,
    signals_as_ctrl_c,
    storyboard_from_flags,
    studio_from_flags,
)
from studio.cli.terminal import Display, display_for
from studio.document.formats.yaml_file import to_text
from studio.document.storyboard import Storyboard
from studio.errors import LibraryError, StoryboardError
from studio.services.assistants.refining import RefineOutcome
from studio.studio import Studio

OWN_SUFFIXES = (".yaml", ".yml")


def add_commands(commands: Commands) -> None:
    text = "Let a refiner write the prompts of a storyboard file for its model; the result is printed, or written."
    refine = commands.add("refine", _refine, text)
    file_arguments(refine)
    where = refine.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, help="the refined storyboard (default: standard output)")
    where.add_argument("--in-place", action="store_true", help="write it back to FILE (.yaml); comments are lost")
    refine.add_argument("--scene", action="append", metavar="ID", help="only this scene; may be given again")
    engine_arguments(refine)
    assistant_arguments(refine)


class CommandRefiner:
    """``always``: also where the host's settings and flags do not say that commands refine. ``label``: of a scene."""

    def __init__(
        self,
        studio: Studio,
        session: EngineSession,
        display: Display,
        always: bool = False,
        label: Callable[[str], str] = lambda scene_id: f"scene {scene_id}",
    ) -> None:
        self._refiner = studio.assistants.refiner
        self._session = session
        self._display = display
        self._always = always
        self._label = label
        self.num_failed = 0

    def refined(self, path: Path, storyboard: Storyboard, scene_ids: Collection[str] | None = None) -> Storyboard:
        """With refinements of these scenes (None: of all) where commands refine.

        Else only of those that have a picture and no prompt at all: nothing else can be made of them.
        """
        is_on = self._always or self._refiner.by_default
        scenes = [scene for scene in storyboard.scenes if scene_ids is None or scene.id in scene_ids]
        due = [scene.id for scene in scenes if is_on or (scene.conditioning and not scene.prompt.strip())]
        if not due or (self._refiner.is_off and not self._always):
            return storyboard
        choice = self._refiner.choice(storyboard.model)
        if choice.problem:
            self._tell({"failure": choice.problem}, f"note: prompts are not refined: {choice.problem}")
            self.num_failed += len(due)
            return storyboard
        if choice.in_engine:
            self._session.attach()
        return self._refiner.refine_file(path, storyboard, self._report, due)

    def _report(self, outcome: RefineOutcome) -> None:
        where = self._label(outcome.scene_id)
        fields: dict[str, object] = {"scene": outcome.scene_id, "source": outcome.source, "failure": outcome.failure}
        if outcome.failure:
            self.num_failed += 1
            return self._tell(fields, f"{where}: not refined, your words stand: {outcome.failure}")
        notes = "".join(f"\n    {note}" for note in outcome.notes)
        self._tell({**fields, "notes": list(outcome.notes)}, f"{where}: refined by {outcome.source}{notes}")

    def _tell(self, fields: dict[str, object], text: str) -> None:
        self._display.done({"event": "refined", **fields}, text)


def _refine(flags: argparse.Namespace) -> int:
    if flags.in_place and flags.file.suffix.lower() not in OWN_SUFFIXES:
        raise StoryboardError.at("--in-place", f"{flags.file} is no YAML file; name the storyboard with --out")
    storyboard = storyboard_from_flags(flags)
    for scene_id in flags.scene or ():
        storyboard.scene(scene_id)
    with signals_as_ctrl_c():
        studio = studio_from_flags(flags)
        session = EngineSession(studio, engine_source_of(flags, studio))
        try:
            refiner = CommandRefiner(studio, session, display_for(flags.json, sys.stderr), always=True)
            refined = refiner.refined(flags.file, storyboard, flags.scene)
        finally:
            session.close()
            studio.close()
    _write(to_text(refined), flags.file if flags.in_place else flags.out)
    return FAILED if refiner.num_failed else DONE


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    try:
        atomic.write_text(out, text)
    except OSError as error:
        what = f"{out}: cannot be written ({error.strerror or error})"
        raise LibraryError(f"{what}. Choose another place with --out.") from error
