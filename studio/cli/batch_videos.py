"""``storyboard batch FILE`` for TTT-Video's prompt files: a film for each video of the file.

Comes in: a studio, the file's storyboards, options for all of them. Goes out: ``prompt-0.mp4`` and so on, counted as
the authors' script counts; why one video failed, while the others are made. Does not know argument
names or how films are made.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from studio.cli.batch import DONE, FAILED, BatchOptions
from studio.cli.engine_supervisor import EngineSession
from studio.cli.render import Delivery, RenderFile
from studio.document.storyboard import Storyboard
from studio.errors import FilmError, PlanError, StoryboardError
from studio.studio import Studio


class RunVideos:
    """``session``: the engine, if there is something to render."""

    def __init__(self, studio: Studio, path: Path, as_json: bool, session: EngineSession) -> None:
        self._studio = studio
        self._path = path
        self._as_json = as_json
        self._session = session

    def run(self, storyboards: Sequence[Storyboard], options: BatchOptions) -> int:
        """-> exit code: 0 where every film was made. Raises EngineError, KeyboardInterrupt."""
        failed = 0
        for number, storyboard in enumerate(storyboards, start=1):
            try:
                failed += self._film(number, storyboard, options) != DONE
            except (StoryboardError, PlanError, FilmError) as error:
                failed += 1
                self._report(number, str(error))
        return FAILED if failed else DONE

    def _film(self, number: int, storyboard: Storyboard, options: BatchOptions) -> int:
        changes = {"preset": options.preset} | ({"model": options.model} if options.model else {})
        out = options.out / f"prompt-{number - 1}.mp4"
        delivery = Delivery(out, prompts=options.prompts, num_takes=options.num_takes, verbose=number == 1)
        file = RenderFile(self._studio, place_of(self._path, number), self._as_json, self._session)
        return file.run(storyboard.model_copy(update=changes), delivery, options.settings)

    def _report(self, number: int, reason: str) -> None:
        fields = {"event": "error", "video": number, "text": reason}
        message = json.dumps(fields, ensure_ascii=False) if self._as_json else f"video {number}: {reason}"
        print(message, file=sys.stdout if self._as_json else sys.stderr, flush=True)


def place_of(path: Path, number: int) -> Path:
    """The path of one storyboard of a file: imported again, it is the same project."""
    return Path(f"{path}#{number}")
