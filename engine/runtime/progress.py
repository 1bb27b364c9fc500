"""The progress of a job: stages, steps, previews, and the seconds that are left.

Comes in: finished steps and their seconds. Goes out: events (on rank 0; the ``send`` of the other ranks drops them).
Does not know the meaning of tensors, samplers or sockets.
"""

import resource
import time
from pathlib import Path

import torch

from engine.contract.events import Phase, Preview, Stage, StageName, Step
from engine.contract.jobs import Job
from engine.runtime.link import Send

FRESH = 0.3
"""Weight of the newest time in the running mean."""


def memory_bytes(device: torch.device) -> int:
    """In use on the device; on a CPU, of this process."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Work:
    """One kind of step: how many are done, of how many, and the running mean of their seconds."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps, self.done, self.mean_s = num_steps, 0, 0.0

    def add(self, step_s: float) -> None:
        self.done += 1
        self.mean_s = step_s if self.mean_s == 0.0 else (1 - FRESH) * self.mean_s + FRESH * step_s

    def skip(self, num_steps: int) -> None:
        """Steps that an earlier attempt has done already."""
        self.done += num_steps

    @property
    def left_s(self) -> float:
        return max(0, self.num_steps - self.done) * self.mean_s


class Progress:
    """``evaluations``: denoiser calls of the whole phase; ``latents``: latent frames to decode."""

    def __init__(
        self,
        job: Job,
        send: Send,
        device: torch.device,
        num_evaluations: int,
        num_latents: int,
        phase: Phase = "film",
    ) -> None:
        self.job, self.send, self.device = job, send, device
        self.phase: Phase = phase
        self.evaluations, self.latents = Work(num_evaluations), Work(num_latents)
        self.timings_s: dict[str, float] = {"encode": 0.0, "denoise": 0.0, "decode": 0.0, "write": 0.0}
        self._stage: StageName | None = None
        self._since_s = 0.0

    def stage(self, stage: StageName, segment: int) -> None:
        self._settle()
        self._stage = stage
        self.send(
            Stage(
                time_s=time.time(),
                job_id=self.job.id,
                phase=self.phase,
                stage=stage,
                segment=segment,
                num_segments=len(self.job.segments),
            )
        )

    def evaluated(self, step_s: float) -> None:
        self._step("denoise", self.evaluations, step_s)

    def decoded(self, step_s: float) -> None:
        self._step("decode", self.latents, step_s)

    def previewed(self) -> None:
        self.send(Preview(time_s=time.time(), job_id=self.job.id, step=self.evaluations.done))

    def timings(self) -> dict[str, float]:
        """Seconds by stage so far, of this attempt."""
        self._settle()
        return {name: round(seconds, 4) for name, seconds in self.timings_s.items()}

    def _settle(self) -> None:
        now = time.monotonic()
        if self._stage is not None:
            self.timings_s[self._stage] = self.timings_s.get(self._stage, 0.0) + now - self._since_s
        self._since_s = now

    def _step(self, stage: StageName, work: Work, step_s: float) -> None:
        work.add(step_s)
        self.send(
            Step(
                time_s=time.time(),
                job_id=self.job.id,
                phase=self.phase,
                stage=stage,
                step=work.done,
                num_steps=work.num_steps,
                step_s=step_s,
                left_s=self.evaluations.left_s + self.latents.left_s,
                memory_bytes=memory_bytes(self.device),
            )
        )
