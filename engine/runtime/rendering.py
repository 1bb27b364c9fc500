"""The four verbs of the pipeline, for one job on one rank.

Comes in: a job, a loaded model, the group. Goes out: conditioning, latents, frames in a file, a take; and events. All
ranks call the same verbs in the same order; rank 0 alone reads, encodes text, decodes and writes.
Does not know sockets.

Letters: B batch, C latent channels, T latent frames, h w latent size.
"""

import contextlib
import time
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Any

from torch import Tensor

from engine.contract.frames import num_latent_frames
from engine.contract.jobs import PIPELINE_VERSION, Job, Take
from engine.contract.media import Frames
from engine.contract.workspace import Workspace
from engine.runtime.conditioning import conditioning_frames
from engine.runtime.decode import decode_into
from engine.runtime.denoiser import Conditioning, NetworkDenoiser
from engine.runtime.guidance import Guided
from engine.runtime.link import Leaving, Send, Wishes, obey
from engine.runtime.offload import resident
from engine.runtime.preview import PreviewClock, preview_frames, write_preview
from engine.runtime.progress import Progress
from engine.runtime.ranks import Ranks, Ulysses
from engine.runtime.sampling import SAMPLERS, SamplerState, karras_sigmas, num_evaluations, sample, seeded_noise
from engine.runtime.saved import SavedWork
from engine.runtime.shelf import Shelf
from engine.runtime.takes import TakeWriter, told_as_disk_error

PREVIEW_FILE = "preview.webp"
WAIT_S = 0.1
"""Between two looks at whether a pause is over."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a rank has at hand for every job. ``wishes`` and ``send`` mean something on rank 0 only."""

    ranks: Ranks
    shelf: Shelf
    workspace: Workspace
    send: Send
    wishes: Wishes


class Rendering:
    """``with Rendering(job, room, model) as work``: leaving without ``finish`` leaves no take behind."""

    def __init__(self, job: Job, room: Room, model: Any) -> None:
        self.job, self.room, self.model, self.ranks = job, room, model, room.ranks
        self.stays = job.speed.offload == "none"
        settings = job.sampler
        self.sigmas = karras_sigmas(settings.num_steps, settings.sigma_max, settings.sigma_min, settings.rho)
        self.num_evaluations = num_evaluations(settings.name, settings.num_steps)
        factor = model.card.autoencoder.temporal_factor
        self.num_latents = [num_latent_frames(segment.num_frames, factor) for segment in job.segments]
        totals = self.num_evaluations * len(job.segments), sum(self.num_latents)
        self.progress = Progress(job, room.send, room.ranks.device, *totals)
        self.preview_clock = PreviewClock(job.speed.preview_every)
        self._saved: SavedWork | None = None
        self._writer: TakeWriter | None = None

    def __enter__(self) -> "Rendering":
        self.ranks.lead(self._open)
        return self

    def _open(self) -> None:
        """Rank 0's files."""
        num_tail_frames = max([self.model.card.continue_num_frames, *(s.num_overlap_frames for s in self.job.segments)])
        with told_as_disk_error(self.room.workspace.root):
            self._saved = SavedWork(self.room.workspace, self.job)
            self._writer = TakeWriter(self.room.workspace, self.job, num_tail_frames)
            self._writer.start()

    @property
    def saved(self) -> SavedWork:
        assert self._saved is not None, "rank 0 has files"
        return self._saved

    @property
    def writer(self) -> TakeWriter:
        assert self._writer is not None, "rank 0 has files"
        return self._writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.leave()

    def edge(self) -> None:
        """The agreed moment between two pieces of work: stands still, goes on, or raises Cancelled or Leaving."""
        while verdict := self.ranks.agree(self.room.wishes.verdict(self.job.id)):
            obey(verdict)
            time.sleep(WAIT_S)

    # Condition ---------------------------------------------------------------------------------------------------

    def condition(self, segment: int) -> Conditioning:
        """Text and frames as the network takes them; read and encoded by rank 0, the same on every rank."""
        self.progress.stage("encode", segment)
        self.edge()
        given = self.ranks.share_tensors(lambda: self._encode(segment))
        return Conditioning(given["text"], given.get("negative"), given.get("frames"), float(self.job.fps))

    def _encode(self, index: int) -> dict[str, Tensor]:
        segment, ends, device = self.job.segments[index], self.model.ends, self.ranks.device
        guided = self.job.guidance_scale != 1.0
        prompts = [segment.prompt, segment.negative_prompt] if guided else [segment.prompt]
        with resident(ends.text_encoder, device, self.stays) as text_encoder:
            texts = text_encoder(prompts).split(1)
        encoded: dict[str, Tensor] = {"text": texts[0]} | ({"negative": texts[1]} if guided else {})
        frames = self._given_frames(index)
        if frames is not None:
            with resident(ends.autoencoder, device, self.stays) as autoencoder:
                encoded["frames"] = autoencoder.encode(frames)
        return encoded

    def _given_frames(self, index: int) -> Frames | None:
        """What the segment starts from: of the job, or the lossless end of the segment before."""
        if index > 0:
            return self.writer.tail[-self.job.segments[index].num_overlap_frames :]
        if self.job.conditioning is None:
            return None
        return conditioning_frames(self.job.conditioning, self.job.size_px, self.room.workspace)

    # Sample ------------------------------------------------------------------------------------------------------

    def sample(self, segment: int, conditioning: Conditioning) -> Tensor:
        """-> clean latents (1, C, T, h, w), the same on every rank."""
        self.progress.stage("denoise", segment)
        newest = self._first_state(segment)
        layout = Ulysses(self.ranks) if self.ranks.size > 1 else None

        def on_step(state: SamplerState) -> None:
            nonlocal newest
            newest = state
            if self.ranks.leads:
                self.saved.keep(segment, state)

        with resident(self.model.network, self.ranks.device, self.stays) as network:
            inner = NetworkDenoiser(network, dtype=self.model.dtype, layout=layout)
            guided = Guided(inner, self.job.guidance_scale, self.job.speed.guidance == "batched")

            def denoise(x: Tensor, sigma: float) -> Tensor:
                self.edge()
                began_s = time.monotonic()
                x0 = guided(x, sigma, conditioning)
                self._evaluated(x0, began_s)
                return x0

            try:
                latents = sample(SAMPLERS[self.job.sampler.name], denoise, newest, self.sigmas, on_step)
            except Leaving:
                if self.ranks.leads:
                    self.saved.keep(segment, newest, now=True)
                raise
        if self.ranks.leads:
            self.saved.keep_latents(segment, latents)
        return latents

    def _first_state(self, segment: int) -> SamplerState:
        """The state saved by an earlier attempt, or seeded noise; one for all ranks."""
        state = self.saved.state(segment) if self.ranks.leads else None
        step = self.ranks.agree(state.step if state is not None else 0)
        if step == 0:
            return SamplerState(self._noise(segment).to(self.ranks.device) * self.sigmas[0])
        tensors = self.ranks.share_tensors(lambda: self._tensors(state))
        per_step = (self.num_evaluations - 1) // self.job.sampler.num_steps
        self.progress.evaluations.skip(step * per_step)
        return SamplerState(tensors["x"], step, tensors.get("previous_x0"))

    @staticmethod
    def _tensors(state: SamplerState | None) -> dict[str, Tensor]:
        assert state is not None, "rank 0 has the state it agreed on"
        return {"x": state.x} | ({"previous_x0": state.previous_x0} if state.previous_x0 is not None else {})

    def _noise(self, segment: int) -> Tensor:
        """(1, C, T, h, w); chunk k has the seed of the job plus k."""
        sizes, (width, height) = self.model.card.autoencoder, self.job.size_px
        space = height // sizes.spatial_factor, width // sizes.spatial_factor
        return seeded_noise((1, sizes.latent_channels, self.num_latents[segment], *space), self.job.seed + segment)

    def _evaluated(self, x0: Tensor, began_s: float) -> None:
        if self.ranks.device.type == "cuda":
            x0[..., 0, 0].cpu()  # waits, so that the time told is the evaluation's own
        self.progress.evaluated(time.monotonic() - began_s)
        if self.ranks.leads and self.preview_clock.is_due():
            card, fps = self.model.card, self.job.fps
            frames = preview_frames(x0, card.preview)
            frame_s = card.autoencoder.temporal_factor / fps
            with contextlib.suppress(OSError):  # no room for a preview is no reason to stop
                folder = self.room.workspace.job_folder(self.job.id)
                write_preview(frames, self.job.size_px, frame_s, folder / PREVIEW_FILE)
                self.progress.previewed()

    # Decode and write --------------------------------------------------------------------------------------------

    def saved_latents(self, segment: int) -> Tensor | None:
        """A segment that an earlier attempt has denoised, on every rank; None where it has not."""
        latents = self.saved.latents(segment) if self.ranks.leads else None
        if not self.ranks.agree(int(latents is not None)):
            return None
        self.progress.evaluations.skip(self.num_evaluations)
        return self.ranks.share_tensors(lambda: {"latents": latents} if latents is not None else {})["latents"]

    def decode(self, segment: int, latents: Tensor) -> None:
        """(1, C, T, h, w) -> frames in the take."""
        self.progress.stage("decode", segment)
        dropped = self.job.segments[segment].num_overlap_frames
        common = self.ranks, dropped, self.edge, self.progress.decoded
        if not self.ranks.leads:
            return decode_into(None, latents, None, *common)
        with resident(self.model.ends.autoencoder, self.ranks.device, self.stays) as autoencoder:
            decode_into(self.writer.write, latents, autoencoder.decode, *common)

    def finish(self, began_s: float) -> Take | None:
        """-> the take, complete on the disk, on rank 0; None on the others."""
        self.progress.stage("write", len(self.job.segments) - 1)
        takes: list[Take] = []
        self.ranks.lead(lambda: takes.append(self.writer.finish(self.progress.timings, began_s, versions())))
        if not takes:
            return None
        self.saved.forget()
        return takes[0]


def versions() -> dict[str, str]:
    """Of what decided the pixels."""
    packages = {name: version(name) for name in ("torch", "diffusers", "transformers", "numpy")}
    return packages | {"pipeline": str(PIPELINE_VERSION)}
