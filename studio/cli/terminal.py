"""Shows a rendering on a terminal, as lines in a log, or as JSON lines.

Comes in: boards as they change. Goes out: text. Does not know who renders, nor when it is over.
"""

import json
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from studio.views.types import BoardView, SceneCard

BAR_WIDTH = 24
MARKS = {"fresh": "done", "failed": "failed", "unplannable": "cannot be rendered"}


class Display(Protocol):
    def show(self, board: BoardView) -> None: ...
    def done(self, fields: dict[str, object], text: str) -> None: ...


def display_for(as_json: bool, out: TextIO | None = None) -> Display:
    where: TextIO = out if out is not None else sys.stdout
    if as_json:
        return JsonLines(where)
    return Bars(where) if where.isatty() else Lines(where)


class JsonLines:
    """``{"event": "scene", ...}`` whenever the state of a scene changes, then ``{"event": "film"|"error"}``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._printed: dict[str, dict[str, object]] = {}

    def show(self, board: BoardView) -> None:
        for card in board.scenes:
            message = _fields_of(card)
            if self._printed.get(card.id) != message:
                self._printed[card.id] = message
                self._print({"event": "scene", **message})

    def done(self, fields: dict[str, object], text: str) -> None:
        self._print({**fields, "text": text})

    def _print(self, fields: dict[str, object]) -> None:
        print(json.dumps(fields, ensure_ascii=False), file=self._out, flush=True)


class Lines:
    """One line whenever a scene changes its state or stage: for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._printed: dict[str, str] = {}

    def show(self, board: BoardView) -> None:
        for card in board.scenes:
            line = _line(card)
            reached = f"{card.state} {card.progress.stage_text if card.progress else ''}"
            if self._printed.get(card.id) != reached:
                self._printed[card.id] = reached
                print(line, file=self._out, flush=True)

    def done(self, fields: dict[str, object], text: str) -> None:
        print(text, file=self._out, flush=True)


class Bars:
    """A bar for every scene, drawn over itself."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._num_lines = 0

    def show(self, board: BoardView) -> None:
        up = f"\x1b[{self._num_lines}A" if self._num_lines else ""
        lines = bars(board.scenes)
        print(up + "\n".join(f"\x1b[2K{line}" for line in lines), file=self._out, flush=True)
        self._num_lines = len(lines)

    def done(self, fields: dict[str, object], text: str) -> None:
        self._num_lines = 0
        print(text, file=self._out, flush=True)


def bars(cards: Sequence[SceneCard]) -> list[str]:
    """``  2  [########················]  denoising, step 7 of 20, 12 s left``"""
    return [f"{card.number:3}  [{_bar(card)}]  {_words(card)}" for card in cards]


def _bar(card: SceneCard) -> str:
    share = 1.0 if card.state == "fresh" else 0.0
    if card.progress is not None and card.progress.num_steps:
        share = card.progress.step / card.progress.num_steps
    filled = round(BAR_WIDTH * share)
    return "#" * filled + "·" * (BAR_WIDTH - filled)


def _words(card: SceneCard) -> str:
    if card.progress is not None:
        return card.progress.text
    mark = MARKS.get(card.state, card.state)
    return f"{mark}: {card.reason}" if card.reason else mark


def _line(card: SceneCard) -> str:
    return f"scene {card.number} ({card.id}): {_words(card)}"


def _fields_of(card: SceneCard) -> dict[str, object]:
    fields: dict[str, object] = {"number": card.number, "id": card.id, "state": card.state, "reason": card.reason}
    if card.progress is not None:
        numbers = card.progress
        fields |= {"stage": numbers.stage, "step": numbers.step, "of": numbers.num_steps, "left_s": numbers.left_s}
    return fields
