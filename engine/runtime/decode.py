"""The third verb of the pipeline: latent frame by latent frame through the autoencoder, straight into the take.

Comes in: a ``RenderContext`` and clean latents. Goes out: frames in its sink; memory does not grow with length. Rank 0
decodes; all ranks meet at every latent frame, so that a cancel is agreed here too. Does not know samplers or text.

Letters: C latent channels, T latent frames, h w latent size, F frames.
"""

import time
from collections.abc import Callable, Iterator

from torch import Tensor

from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RenderContext
from engine.storage.media import Frames


def decode(work: RenderContext, call: int, latents: Tensor) -> None:
    """The latents (1, C, T, h, w) of a sampler call become frames in the sink."""
    work.progress.stage("decode", call)
    num_dropped_frames = work.calls[call][0].num_overlap_frames
    common = work.ranks, num_dropped_frames, work.step_boundary, work.progress.decoded
    if work.model.codecs is None:
        return decode_into(None, latents, None, *common)
    with work.residency.on_device(work.model.codecs.autoencoder) as autoencoder:
        decode_into(work.sink.write, latents, autoencoder.decode, *common)


def decode_into(
    write: Callable[[Frames], None] | None,
    latents: Tensor,
    decode: Callable[[Tensor], Iterator[Frames]] | None,
    ranks: Ranks,
    num_dropped_frames: int,
    step_boundary: Callable[[], None],
    on_latent: Callable[[float], None],
) -> None:
    """latents: (1, C, T, h, w). ``write`` and ``decode`` are None on ranks that do not decode.

    The first ``num_dropped_frames`` frames repeat what came before and are not written. ``step_boundary`` may
    raise; ``on_latent`` gets the seconds of each latent frame.
    """
    frames = undropped(decode(latents), num_dropped_frames) if decode is not None else iter(())
    for _ in range(latents.shape[2]):
        step_boundary()
        began_s = time.monotonic()
        ranks.lead(lambda: write(next(frames)) if write is not None else None)
        on_latent(time.monotonic() - began_s)


def undropped(parts: Iterator[Frames], num_dropped_frames: int) -> Iterator[Frames]:
    """The same number of parts, without the first frames; a part may become empty."""
    left = num_dropped_frames
    for part in parts:
        yield part[left:]
        left = max(0, left - len(part))
