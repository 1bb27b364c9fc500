"""The video tokenizer Cosmos-0.1-Tokenizer-CV4x8x8, from NVIDIA's TorchScript files.

Comes in: uint8 frames, or latents. Goes out: latents in the network's scale, or frames. A film is decoded whole, since
the files are one closed program each: memory grows with the film, which is at most 133 frames. Does not know noise or
files of video.

Source: NVIDIA-NeMo/DFM ``causal_video_tokenizer.py``: no statistics; the network sees latents times sigma_data.

Letters: F H W frames and pixels, C latent channels, T latent frames, h w latent size.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.checkpoints.jit import first_output, load_jit
from engine.contract.errors import Rejected
from engine.layers.pixels import pixels_from, split_by_latent_frame, truncated_frames
from engine.models.model import Autoencoder
from engine.storage.media import Frames

NAMES = ("encoder.jit", "decoder.jit")


class VideoTokenizer(Autoencoder):
    """``scale``: what latents are multiplied by for the network. ``temporal_factor``: F = factor * (T - 1) + 1."""

    here: Tensor

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, scale: float, temporal_factor: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.scale, self.temporal_factor, self.dtype = scale, temporal_factor, dtype
        self.register_buffer("here", torch.zeros(0), persistent=False)  # its device is the programs' device

    @torch.inference_mode()
    def encode(self, frames: Frames) -> Tensor:
        """(F, H, W, 3) uint8, F on the frame grid -> (1, C, T, h, w) float32."""
        pixels = pixels_from(frames, self.here.device, torch.float32).to(self.dtype)
        return first_output(self.encoder(pixels)).float() * self.scale

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Iterator[Frames]:
        """(1, C, T, h, w) -> T arrays (F_i, H, W, 3) uint8: one frame, then ``temporal_factor`` at a time.

        Levels are truncated, as the reference does."""
        yield from split_by_latent_frame(truncated_frames(self.decode_pixels(latents)), self.temporal_factor)

    @torch.inference_mode()
    def decode_pixels(self, latents: Tensor) -> Tensor:
        """(1, C, T, h, w) -> (1, 3, F, H, W), about [-1, 1]."""
        pixels = self.decoder((latents.to(self.here.device).float() / self.scale).to(self.dtype))
        expected = self.temporal_factor * (latents.shape[2] - 1) + 1
        if pixels.shape[2] != expected:
            problem = f"{pixels.shape[2]} frames of {latents.shape[2]} latent frames, not {expected}"
            raise Rejected("weights", f"decoder.jit: not the tokenizer CV4x8x8: it makes {problem}.")
        return pixels


def load_autoencoder(folder: Path, scale: float, temporal_factor: int, dtype: torch.dtype) -> VideoTokenizer:
    """From a folder with ``encoder.jit`` and ``decoder.jit``, on the CPU. Raises Rejected("weights")."""
    if missing := [name for name in NAMES if not (folder / name).is_file()]:
        problem = f"{' and '.join(missing)} missing, of {' and '.join(NAMES)}"
        raise Rejected("weights", f"{folder}: not the tokenizer CV4x8x8: {problem}. Finish the download.")
    encoder, decoder = (load_jit(folder / name, str(folder / name), dtype) for name in NAMES)
    return VideoTokenizer(encoder, decoder, scale, temporal_factor, dtype).eval().requires_grad_(False)
