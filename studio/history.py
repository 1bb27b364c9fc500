"""Undo and redo as a value: what was, what is, and what was undone.

Comes in: a storyboard, then edits. Goes out: histories; none is ever changed. Does not know where histories are kept.
"""

from dataclasses import dataclass

from studio.edits import Edit, apply
from studio.storyboard import Storyboard

MAX_PAST = 500


@dataclass(frozen=True, slots=True)
class History:
    """``past`` ends with the storyboard just before ``present``; ``future`` ends with the one undone last."""

    present: Storyboard
    past: tuple[Storyboard, ...] = ()
    future: tuple[Storyboard, ...] = ()

    def then(self, edit: Edit) -> "History":
        """After one more edit. One that changes nothing leaves the history as it is; a new one ends redo."""
        return self.with_present(apply(self.present, edit))

    def with_present(self, board: Storyboard) -> "History":
        if board == self.present:
            return self
        return History(board, (*self.past, self.present)[-MAX_PAST:])

    def undo(self) -> "History":
        """One step back; the same history where there is none."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (*self.future, self.present))

    def redo(self) -> "History":
        """One step forward again; the same history where nothing was undone."""
        if not self.future:
            return self
        return History(self.future[-1], (*self.past, self.present), self.future[:-1])
