"""What the verbs of the pipeline share, for one job on one rank: the job, its model, its files, its progress.

Comes in: a job, a loaded model, the group. Goes out: ``RenderContext``, which ``condition``, ``sample`` and ``decode``
read; no file is left behind where the job does not finish. Does not know how any verb is done, or sockets.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Protocol

from torch import Tensor

from engine.contract.events import Phase
from engine.contract.frames import num_latent_frames, start_step
from engine.contract.jobs import PIPELINE_VERSION, Job
from engine.contract.samplers import SAMPLER_TRAITS
from engine.diffusion.schedules import sigmas_for
from engine.models.model import Model
from engine.runtime.link import ControlFlags, Send, raise_for_action
from engine.runtime.memory.model_cache import ModelCache
from engine.runtime.memory.residency import residency_for
from engine.runtime.preview import PreviewClock, preview_frames, write_preview
from engine.runtime.progress import Progress
from engine.runtime.ranks import Ranks
from engine.runtime.resume import ResumeStore
from engine.storage.media import Frames
from engine.storage.takes import as_disk_error
from engine.storage.workspace import Workspace

PREVIEW_FILE = "preview.webp"
PAUSE_POLL_S = 0.1
"""Between two looks at whether a pause is over."""
SAVE_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class RankContext:
    """What a rank has for every job. ``flags`` and ``send`` mean something on rank 0 only.

    ``save_every_s``: seconds of sampling between two saved states.
    """

    ranks: Ranks
    models: ModelCache
    workspace: Workspace
    send: Send
    flags: ControlFlags
    save_every_s: float = SAVE_EVERY_S
    previews: bool = True
    """Whether pictures of what is made are shown on the way; not of what is made for another job."""


class Sink(Protocol):
    """Where frames go, on rank 0. ``tail``: the last of them, without loss."""

    @property
    def tail(self) -> Frames: ...
    def start(self) -> None: ...
    def write(self, frames: Frames) -> None: ...
    def leave(self) -> None: ...


class RenderContext:
    """``with RenderContext(...) as work``: leaving without ``finish`` removes what was written.

    A sampler call denoises one segment; of a joint model, all of them.
    """

    def __init__(self, job: Job, context: RankContext, model: Model, sink: Sink, phase: Phase) -> None:
        self.job, self.context, self.model, self.sink = job, context, model, sink
        self.card, self.ranks = model.card, context.ranks
        self.residency = residency_for(job.speed.offload, self.ranks.device)
        self.calls = [job.segments] if job.joint else [(segment,) for segment in job.segments]
        self.sigmas = sigmas_for(job.sampler)
        self.first_step = start_step(len(self.sigmas) - 1, job.reimagine.strength) if job.reimagine else 0
        self.num_evaluations = job.sampler.num_evaluations - self.evaluations_before(self.first_step)
        factor = self.card.autoencoder.temporal_factor
        self.num_latents = [num_latent_frames(sum(s.num_frames for s in call), factor) for call in self.calls]
        totals = self.num_evaluations * self.num_calls, sum(self.num_latents)
        self.progress = Progress(job, context.send, self.ranks.device, *totals, phase)
        self.preview_clock = PreviewClock(job.speed.preview_every)
        self._saved: ResumeStore | None = None

    @property
    def num_calls(self) -> int:
        return len(self.calls)

    def evaluations_before(self, step: int) -> int:
        """Denoiser evaluations of a sampler call before a step."""
        return step * SAMPLER_TRAITS[self.job.sampler.name].evaluations_per_step

    def __enter__(self) -> "RenderContext":
        self.ranks.lead(self._open)
        return self

    def _open(self) -> None:
        """The files of rank 0."""
        with as_disk_error(self.context.workspace.root):
            self._saved = ResumeStore(self.context.workspace, self.job, self.context.save_every_s)
            self.sink.start()

    @property
    def saved(self) -> ResumeStore:
        assert self._saved is not None, "rank 0 has files"
        return self._saved

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ranks.leads:
            self.sink.leave()

    def step_boundary(self) -> None:
        """Between two pieces of work, agreed by all ranks: waits (pause), continues, or raises Cancelled or Leaving."""
        while action := self.ranks.agree(self.context.flags.requested_action(self.job.id)):
            raise_for_action(action)
            time.sleep(PAUSE_POLL_S)

    def evaluated(self, x0: Tensor, step_s: float) -> None:
        """Reports one evaluation, and on rank 0 its preview where one is due. x0: (1, C, T, h, w)."""
        self.progress.evaluated(step_s)
        if self.ranks.leads and self.context.previews and self.preview_clock.is_due():
            self._preview(x0)

    def _preview(self, x0: Tensor) -> None:
        frames = preview_frames(x0, self.card.preview)
        frame_s = self.card.autoencoder.temporal_factor / self.job.fps
        with contextlib.suppress(OSError):  # a full disk costs the preview, not the job
            folder = self.context.workspace.job_folder(self.job.id)
            write_preview(frames, self.job.size_px, frame_s, folder / PREVIEW_FILE)
            self.progress.previewed()

    def finish(self, complete: Callable[[], None]) -> None:
        """``complete``: what rank 0 does to publish what was written."""
        self.progress.stage("write", self.num_calls - 1)
        self.ranks.lead(complete)
        if self.ranks.leads:
            self.saved.forget()


def versions() -> dict[str, str]:
    """Of the packages and the pipeline that decided the pixels."""
    packages = {name: version(name) for name in ("torch", "diffusers", "transformers", "numpy")}
    return packages | {"pipeline": str(PIPELINE_VERSION)}
