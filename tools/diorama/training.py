"""What every training stage shares: a clock that the rates follow, and checkpoints that survive being stopped.

In: minutes, a path. Out: a rate factor, saved and loaded state. Does not know: what is trained.
"""

import time
from pathlib import Path

import torch

from engine.storage.atomic import replacing

SAVE_EVERY_S = 120.0


class Clock:
    """Counts the seconds spent training, over restarts, and says when to stop and when to save."""

    def __init__(self, minutes: float, spent_s: float = 0.0) -> None:
        self.budget_s, self.before_s = minutes * 60, spent_s
        self.started = self.saved = time.monotonic()

    def spent_s(self) -> float:
        return self.before_s + time.monotonic() - self.started

    def is_over(self) -> bool:
        return self.spent_s() >= self.budget_s

    def factor(self, step: int, warmup_steps: int = 30, flat: float = 0.3) -> float:
        """Rises over the first steps, stays, then falls to 2% in a straight line as the budget runs out."""
        share = min(1.0, self.spent_s() / self.budget_s)
        falling = 1.0 if share < flat else 1.0 - 0.98 * (share - flat) / (1.0 - flat)
        return min(1.0, (step + 1) / warmup_steps) * falling

    def should_save(self) -> bool:
        if time.monotonic() - self.saved < SAVE_EVERY_S:
            return False
        self.saved = time.monotonic()
        return True


def save_state(path: Path, state: dict) -> None:
    """Written beside and renamed, so that a stop in the middle leaves the last one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        torch.save(state, draft)


def load_state(path: Path) -> dict | None:
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def log(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")
