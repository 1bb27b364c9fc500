"""The first verb of the pipeline: the text and the frames of one sampler call, as the network takes them.

Comes in: a ``RenderContext``; prompts, and conditioning frames from a stored picture or clip, or from the lossless end
of another take. Goes out: ``CallInputs``, the same on every rank, or Rejected("conditioning"). Does not know noise or
samplers.

Letters: C latent channels, T latent frames, h w latent size, L text length, D text width, F H W frames and pixels.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.contract.errors import Rejected
from engine.contract.jobs import FromModel, FromTake, JobConditioning
from engine.contract.values import SizePx
from engine.diffusion.denoisers import Conditioning
from engine.runtime.render_context import RenderContext
from engine.storage.media import Frames, MediaStore, read_frames, read_range
from engine.storage.takes import read_tail
from engine.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CallInputs:
    """Of one sampler call: its conditioning, and the latents (1, C, T, h, w) of a clip to re-imagine, or None."""

    conditioning: Conditioning
    init_latents: Tensor | None


def condition(work: RenderContext, call: int) -> CallInputs:
    """Text and frames of a sampler call; read and encoded by rank 0, the same on every rank."""
    work.progress.stage("encode", call)
    work.step_boundary()
    tensors = work.ranks.share_tensors(lambda: _encode(work, call))
    fps = float(work.job.fps)
    conditioning = Conditioning(tensors["text"], tensors.get("negative"), tensors.get("frames"), fps)
    return CallInputs(conditioning, tensors.get("clip"))


def _encode(work: RenderContext, call: int) -> dict[str, Tensor]:
    assert work.model.codecs is not None, "rank 0 has the codecs"
    encoded = _encode_texts(work, call)
    pictures = {"frames": _first_frames(work, call), "clip": _clip_frames(work, call)}
    if any(frames is not None for frames in pictures.values()):
        with work.residency.on_device(work.model.codecs.autoencoder) as autoencoder:
            encoded |= {name: autoencoder.encode(frames) for name, frames in pictures.items() if frames is not None}
    return encoded


def _encode_texts(work: RenderContext, call: int) -> dict[str, Tensor]:
    """(1, L, D) each; for a joint model (1, number of segments, L, D)."""
    segments = work.calls[call]
    length = work.card.traits.text_length(len(segments), work.job.size_px)
    prompts_by_name = {"text": [segment.prompt for segment in segments]}
    if work.job.guidance_scale != 1.0:
        prompts_by_name["negative"] = [segment.negative_prompt for segment in segments]
    prompts = [prompt for group in prompts_by_name.values() for prompt in group]
    cache = work.context.models.prompt_cache(work.context.workspace)
    embeddings = cache.encode(prompts, length, work.residency).split(len(segments))
    shaped = [group[None] if work.job.joint else group for group in embeddings]
    return dict(zip(prompts_by_name, shaped, strict=True))


def _first_frames(work: RenderContext, call: int) -> Frames | None:
    """What a sampler call starts from: the conditioning of the job, or the lossless end of the segment before."""
    if call > 0:
        return work.sink.tail[-work.calls[call][0].num_overlap_frames :]
    if work.job.conditioning is None:
        return None
    return conditioning_frames(work.job.conditioning, work.job.size_px, work.context.workspace)


def _clip_frames(work: RenderContext, call: int) -> Frames | None:
    """The part of a clip that this sampler call re-imagines."""
    reimagine, workspace = work.job.reimagine, work.context.workspace
    if reimagine is None:
        return None
    before = sum(segment.num_frames - segment.num_overlap_frames for segment in work.job.segments[:call])
    segment = work.calls[call][0]
    start = before - (segment.num_overlap_frames if call else 0)
    return clip_frames(reimagine.media, max(0, start), segment.num_frames, work.job.size_px, workspace)


def conditioning_frames(conditioning: JobConditioning, size_px: SizePx, workspace: Workspace) -> Frames:
    """(F, H, W, 3) uint8, as many as the conditioning says. Raises Rejected("conditioning")."""
    if isinstance(conditioning, FromTake):
        return fit(read_tail(workspace.take_folder(conditioning.recipe), conditioning.num_frames), size_px)
    if isinstance(conditioning, FromModel):
        return fit(read_frames(workspace.picture(conditioning.recipe), 1), size_px)
    path = _stored(conditioning.media, workspace)
    if conditioning.taken_from == "start" and conditioning.kind == "clip":
        return fit(read_range(path, 0, conditioning.num_frames), size_px)
    return fit(read_frames(path, conditioning.num_frames), size_px)


def clip_frames(media: str, start: int, num_frames: int, size_px: SizePx, workspace: Workspace) -> Frames:
    """(F, H, W, 3) uint8 of a stored clip from frame ``start`` on; a picture, and a clip after its end, repeats.

    Raises Rejected("conditioning").
    """
    return fit(read_range(_stored(media, workspace), start, num_frames), size_px)


def _stored(media: str, workspace: Workspace) -> Path:
    store = MediaStore(workspace.media)
    if not store.has(media):
        raise Rejected("conditioning", f"media {media[:16]} is not in the workspace. Choose it again.")
    return store.path(media)


def resized_shape(source: SizePx, target: SizePx) -> SizePx:
    """(width, height) that covers the target and keeps the aspect ratio, rounded up (Cosmos, in double precision)."""
    scale = max(target[0] / source[0], target[1] / source[1])
    return math.ceil(scale * source[0]), math.ceil(scale * source[1])


def crop_offset(resized: SizePx, target: SizePx) -> SizePx:
    """(left, top) of the centred crop; half a pixel rounds to even."""
    return round((resized[0] - target[0]) / 2), round((resized[1] - target[1]) / 2)


def fit(frames: Frames, size_px: SizePx) -> Frames:
    """(F, H, W, 3) uint8 at any size -> ``size_px``: scaled to cover (bilinear, antialiased), cropped at the centre.

    Levels are cut to whole numbers, not rounded, as Cosmos-Predict2 does.
    """
    source = frames.shape[2], frames.shape[1]
    if source == size_px:
        return frames
    width, height = resized_shape(source, size_px)
    left, top = crop_offset((width, height), size_px)
    pixels = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float() / 255.0
    if pixels.shape[2:] != (height, width):
        pixels = F.interpolate(pixels, (height, width), mode="bilinear", align_corners=False, antialias=True)
    pixels = pixels[:, :, top : top + size_px[1], left : left + size_px[0]]
    return (pixels.clamp(0, 1) * 255.0).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
