"""One sampler call of the tiny model through the runtime, with a toy wrapper that has state."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.contract.jobs import Job
from engine.diffusion.denoisers import Conditioning, Denoiser
from engine.diffusion.stack import Wrapper
from engine.runtime.conditioning import condition
from engine.runtime.link import ControlFlags, Send
from engine.runtime.memory.model_cache import ModelCache, model_key
from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RankContext, RenderContext
from engine.runtime.sampling import sample
from engine.storage.media import Frames
from engine.storage.workspace import Workspace
from tests.engine.runtime.group import tiny_job

NUM_STEPS = 40
PAUSE_S = 0.05
"""After each evaluation of the process that is killed, so that a state is saved before its end."""


class Forgetful:
    """Blends each x0 with the one before, and tells nobody: a resumed run has other pixels."""

    def __init__(self, inner: Denoiser, pause_s: float = 0.0) -> None:
        self.inner, self.pause_s = inner, pause_s
        self.previous: Tensor | None = None

    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        time.sleep(self.pause_s)
        x0 = self.inner(x, sigma, conditioning)
        self.previous = x0 if self.previous is None else 0.7 * x0 + 0.3 * self.previous
        return self.previous


class Blend(Forgetful):
    """The same with its state declared."""

    def state(self) -> dict[str, Tensor]:
        return {} if self.previous is None else {"previous": self.previous}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.previous = state["previous"]


class NullSink:
    """Drops all frames."""

    tail: Frames = np.zeros((0, 32, 48, 3), np.uint8)

    def start(self) -> None: ...
    def write(self, frames: Frames) -> None: ...
    def leave(self) -> None: ...


def context_of(root: Path, workspace: Path, send: Send = lambda event: None) -> RankContext:
    """One rank on the CPU, in this process."""
    ranks = Ranks(0, 1, torch.device("cpu"))
    models = ModelCache(ranks, root / "cards", root / "models")
    return RankContext(ranks, models, Workspace.at(workspace), send, ControlFlags(), save_every_s=0.0)


def latents_of(job: Job, context: RankContext, wrappers: Sequence[Wrapper] = ()) -> Tensor:
    """(1, C, T, h, w) of the first sampler call, from its saved state where the workspace has one."""
    model = context.models.model(model_key(job))
    with torch.inference_mode(), RenderContext(job, context, model, NullSink(), "film") as work:
        return sample(work, 0, condition(work, 0), wrappers)


def render(root: Path, workspace: Path, wrap: Wrapper, send: Send = lambda event: None) -> Tensor:
    job = tiny_job(root, num_steps=NUM_STEPS)
    return latents_of(job, context_of(root, workspace, send), (wrap,))


def slowly(root: Path, workspace: Path) -> None:
    """Run in a process that is killed midway."""
    torch.set_num_threads(1)
    render(root, workspace, lambda inner: Blend(inner, PAUSE_S))
