"""The four verbs of the pipeline, for one job on one rank.

Comes in: a job, a loaded model, the group. Goes out: conditioning, latents, frames in a file, a take; and events. All
ranks call the same verbs in the same order; rank 0 alone reads, encodes text, decodes and writes.
Does not know sockets.

Letters: B batch, C latent channels, T latent frames, h w latent size.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Protocol

from torch import Tensor

from engine.contract.errors import EngineError
from engine.contract.events import Phase
from engine.contract.frames import num_latent_frames, start_step
from engine.contract.jobs import PIPELINE_VERSION, Job
from engine.contract.samplers import SAMPLER_TRAITS
from engine.diffusion.denoisers import Conditioning
from engine.diffusion.guidance import Guided, guidance_weight
from engine.diffusion.noise import seeded_noise, step_noise
from engine.diffusion.samplers import SamplerState, sample, step_of
from engine.diffusion.schedules import sigmas_for
from engine.diffusion.stack import denoiser_for
from engine.models.model import Model
from engine.runtime.conditioning import clip_frames, conditioning_frames
from engine.runtime.decode import decode_into
from engine.runtime.link import ControlFlags, Leaving, Send, raise_for_action
from engine.runtime.model_cache import ModelCache
from engine.runtime.preview import PreviewClock, preview_frames, write_preview
from engine.runtime.progress import Progress
from engine.runtime.ranks import Ranks, Ulysses
from engine.runtime.residency import resident
from engine.runtime.resume import ResumeStore
from engine.storage.media import Frames
from engine.storage.takes import as_disk_error
from engine.storage.workspace import Workspace

PREVIEW_FILE = "preview.webp"
WAIT_S = 0.1
"""Between two looks at whether a pause is over."""


@dataclass(frozen=True, slots=True)
class RankContext:
    """What a rank has at hand for every job. ``wishes`` and ``send`` mean something on rank 0 only."""

    ranks: Ranks
    models: ModelCache
    workspace: Workspace
    send: Send
    flags: ControlFlags


@dataclass(frozen=True, slots=True)
class CallInputs:
    """What a sampler call is given: conditioning, and the latents (1, C, T, h, w) of a clip to re-imagine, or None."""

    conditioning: Conditioning
    init_latents: Tensor | None


class Sink(Protocol):
    """Where frames go, on rank 0. ``tail``: the last of them, without loss."""

    @property
    def tail(self) -> Frames: ...
    def start(self) -> None: ...
    def write(self, frames: Frames) -> None: ...
    def leave(self) -> None: ...


class RenderContext:
    """``with Rendering(...) as work``: leaving without ``finish`` leaves nothing behind.

    A sampler call denoises one segment; of a joint model, all of them.
    """

    def __init__(self, job: Job, room: RankContext, model: Model, sink: Sink, phase: Phase) -> None:
        self.job, self.context, self.model, self.sink, self.ranks = job, room, model, sink, room.ranks
        self.card, self.stays = model.card, job.speed.offload == "none"
        self.calls = [job.segments] if job.joint else [(segment,) for segment in job.segments]
        self.sigmas = sigmas_for(job.sampler)
        self.first_step = start_step(len(self.sigmas) - 1, job.reimagine.strength) if job.reimagine else 0
        skipped = (job.sampler.num_evaluations - 1) * self.first_step // max(1, len(self.sigmas) - 1)
        self.num_evaluations = job.sampler.num_evaluations - skipped
        factor = self.card.autoencoder.temporal_factor
        self.num_latents = [num_latent_frames(sum(s.num_frames for s in call), factor) for call in self.calls]
        totals = self.num_evaluations * self.num_calls, sum(self.num_latents)
        self.progress = Progress(job, room.send, room.ranks.device, *totals, phase)
        self.preview_clock = PreviewClock(job.speed.preview_every)
        self._saved: ResumeStore | None = None

    @property
    def num_calls(self) -> int:
        return len(self.calls)

    def __enter__(self) -> "RenderContext":
        self.ranks.lead(self._open)
        return self

    def _open(self) -> None:
        """Rank 0's files."""
        with as_disk_error(self.context.workspace.root):
            self._saved = ResumeStore(self.context.workspace, self.job)
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
        """The agreed moment between two pieces of work: stands still, goes on, or raises Cancelled or Leaving."""
        while verdict := self.ranks.agree(self.context.flags.requested_action(self.job.id)):
            raise_for_action(verdict)
            time.sleep(WAIT_S)

    # Condition ---------------------------------------------------------------------------------------------------

    def condition(self, call: int) -> CallInputs:
        """Text and frames as the network takes them; read and encoded by rank 0, the same on every rank."""
        self.progress.stage("encode", call)
        self.step_boundary()
        given = self.ranks.share_tensors(lambda: self._encode(call))
        told = Conditioning(given["text"], given.get("negative"), given.get("frames"), float(self.job.fps))
        return CallInputs(told, given.get("clip"))

    def _encode(self, call: int) -> dict[str, Tensor]:
        assert self.model.codecs is not None, "rank 0 has the ends"
        encoded = self._encode_texts(call)
        pictures = {"frames": self._conditioning_frames(call), "clip": self._clip_frames(call)}
        if any(frames is not None for frames in pictures.values()):
            with resident(self.model.codecs.autoencoder, self.ranks.device, self.stays) as autoencoder:
                encoded |= {name: autoencoder.encode(frames) for name, frames in pictures.items() if frames is not None}
        return encoded

    def _encode_texts(self, call: int) -> dict[str, Tensor]:
        """(1, L, D) each; for a joint model (1, number of segments, L, D)."""
        segments = self.calls[call]
        length = self.card.text_length(len(segments), self.job.size_px)
        wanted = {"text": [segment.prompt for segment in segments]}
        if self.job.guidance_scale != 1.0:
            wanted["negative"] = [segment.negative_prompt for segment in segments]
        prompts = [prompt for group in wanted.values() for prompt in group]
        texts = self.context.models.prompt_cache(self.context.workspace)
        embedded = texts.encode(prompts, length, self.ranks.device, self.stays).split(len(segments))
        shaped = [group[None] if self.job.joint else group for group in embedded]
        return dict(zip(wanted, shaped, strict=True))

    def _conditioning_frames(self, call: int) -> Frames | None:
        """What a call starts from: of the job, or the lossless end of the segment before."""
        if call > 0:
            return self.sink.tail[-self.calls[call][0].num_overlap_frames :]
        if self.job.conditioning is None:
            return None
        return conditioning_frames(self.job.conditioning, self.job.size_px, self.context.workspace)

    def _clip_frames(self, call: int) -> Frames | None:
        """The part of a clip that this call re-imagines."""
        if self.job.reimagine is None:
            return None
        before = sum(segment.num_frames - segment.num_overlap_frames for segment in self.job.segments[:call])
        segment = self.calls[call][0]
        start = before - (segment.num_overlap_frames if call else 0)
        return clip_frames(
            self.job.reimagine.media, max(0, start), segment.num_frames, self.job.size_px, self.context.workspace
        )

    # Sample ------------------------------------------------------------------------------------------------------

    def sample(self, call: int, given: CallInputs) -> Tensor:
        """-> clean latents (1, C, T, h, w), the same on every rank."""
        self.progress.stage("denoise", call)
        newest = self._first_state(call, given.init_latents)
        layout = Ulysses(self.ranks) if self.ranks.size > 1 else None
        seed = self.job.seed + call

        def on_step(state: SamplerState) -> None:
            nonlocal newest
            newest = state
            if self.ranks.leads:
                self.saved.keep(call, state)

        with resident(self.model.network, self.ranks.device, self.stays) as network:
            inner = denoiser_for(self.card, network, self.job.sampler.num_steps, self.model.dtype, layout, seed)
            weight = guidance_weight(self.job.guidance_schedule, self.job.guidance_scale, self.sigmas)
            guided = Guided(inner, weight, self.job.speed.guidance == "batched")

            def denoise(x: Tensor, sigma: float) -> Tensor:
                self.step_boundary()
                began_s = time.monotonic()
                x0 = guided(x, sigma, given.conditioning)
                self._evaluated(x0, began_s)
                return x0

            try:
                step = step_of(self.job.sampler.name, step_noise(seed))
                latents = sample(step, denoise, newest, self.sigmas, on_step)
            except Leaving:
                if self.ranks.leads:
                    self.saved.keep(call, newest, now=True)
                raise
        if self.ranks.leads:
            self.saved.keep_latents(call, latents)
        return latents

    def _first_state(self, call: int, clip: Tensor | None) -> SamplerState:
        """The state saved by an earlier attempt, or seeded noise (over a clip, part way down); one for all ranks."""
        state = self.saved.state(call) if self.ranks.leads else None
        step = self.ranks.agree(state.step if state is not None else 0)
        if step == 0:
            x = self._noise(call).to(self.ranks.device) * self.sigmas[self.first_step]
            return SamplerState(x if clip is None else clip + x, self.first_step)
        tensors = self.ranks.share_tensors(lambda: self._tensors(state))
        per_step = SAMPLER_TRAITS[self.job.sampler.name].evaluations_per_step
        self.progress.evaluations.skip((step - self.first_step) * per_step)
        return SamplerState(tensors["x"], step, tensors.get("previous_x0"))

    @staticmethod
    def _tensors(state: SamplerState | None) -> dict[str, Tensor]:
        assert state is not None, "rank 0 has the state it agreed on"
        return {"x": state.x} | ({"previous_x0": state.previous_x0} if state.previous_x0 is not None else {})

    def _noise(self, call: int) -> Tensor:
        """(1, C, T, h, w); chunk k has the seed of the job plus k."""
        sizes, (width, height) = self.card.autoencoder, self.job.size_px
        space = height // sizes.spatial_factor, width // sizes.spatial_factor
        return seeded_noise((1, sizes.latent_channels, self.num_latents[call], *space), self.job.seed + call)

    def _evaluated(self, x0: Tensor, began_s: float) -> None:
        """Raises EngineError where the network's answer is no numbers: its film would be black, and kept as a take."""
        has_numbers = bool(x0.isfinite().all())  # waits for the device, so that the time told is the evaluation's own
        if not self.ranks.agree(int(has_numbers)):
            told = "the network answered with infinities, or with what is no number"
            ways = "Choose precision float32 or a weaker LoRA, or get the model's files again."
            raise EngineError(f"{self.card.name}: {told}. {ways}")
        self.progress.evaluated(time.monotonic() - began_s)
        if self.ranks.leads and self.preview_clock.is_due():
            card, fps = self.card, self.job.fps
            frames = preview_frames(x0, card.preview)
            frame_s = card.autoencoder.temporal_factor / fps
            with contextlib.suppress(OSError):  # no room for a preview is no reason to stop
                folder = self.context.workspace.job_folder(self.job.id)
                write_preview(frames, self.job.size_px, frame_s, folder / PREVIEW_FILE)
                self.progress.previewed()

    # Decode and write --------------------------------------------------------------------------------------------

    def saved_latents(self, call: int) -> Tensor | None:
        """What an earlier attempt has denoised, on every rank; None where it has not."""
        latents = self.saved.latents(call) if self.ranks.leads else None
        if not self.ranks.agree(int(latents is not None)):
            return None
        self.progress.evaluations.skip(self.num_evaluations)
        return self.ranks.share_tensors(lambda: {"latents": latents} if latents is not None else {})["latents"]

    def decode(self, call: int, latents: Tensor) -> None:
        """(1, C, T, h, w) -> frames in the sink."""
        self.progress.stage("decode", call)
        dropped = self.calls[call][0].num_overlap_frames
        common = self.ranks, dropped, self.step_boundary, self.progress.decoded
        if self.model.codecs is None:
            return decode_into(None, latents, None, *common)
        with resident(self.model.codecs.autoencoder, self.ranks.device, self.stays) as autoencoder:
            decode_into(self.sink.write, latents, autoencoder.decode, *common)

    def finish(self, complete: Callable[[], None]) -> None:
        """``complete``: what rank 0 does to make a whole of what was written."""
        self.progress.stage("write", self.num_calls - 1)
        self.ranks.lead(complete)
        if self.ranks.leads:
            self.saved.forget()


def versions() -> dict[str, str]:
    """Of what decided the pixels."""
    packages = {name: version(name) for name in ("torch", "diffusers", "transformers", "numpy")}
    return packages | {"pipeline": str(PIPELINE_VERSION)}
