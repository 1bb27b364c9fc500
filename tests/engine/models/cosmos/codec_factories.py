"""Tiny autoencoders and text encoders with random weights, written as the released ones are. For tests only.

Comes in: a path. Goes out: files. Does not know networks, cards or the engine's readers.

Letters: B batch, C latent channels, T latent frames, h w latent size, F H W frames and pixels.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_cosmos import AutoencoderKLCosmos
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration

from tests.engine.runtime.tiny import TEXT_WIDTH, characters, write_tokenizer

LATENT_CHANNELS = 16
WAN_WEIGHTS = Path(__file__).parents[3] / "goldens/cosmos/p2_wan_vae_dim4_weights.safetensors"


def write_wan(path: Path) -> None:
    """Wan 2.1 with a base width of 4, in its original layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: tensor.float() for name, tensor in load_file(WAN_WEIGHTS).items()}, path)


class TinyVideoEncoder(nn.Module):
    """The interface of NVIDIA's tokenizers: (B, 3, F, H, W) -> ((B, C, T, h, w),), causal, 8 times smaller each way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, LATENT_CHANNELS, 8, stride=8)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        first = x[:, :, :1].expand(-1, -1, 7, -1, -1)
        return (self.conv(torch.cat([first, x], dim=2)),)


class TinyVideoDecoder(nn.Module):
    """(B, C, T, h, w) -> (B, 3, 8 (T - 1) + 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(LATENT_CHANNELS, 3, 8, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))[:, :, 7:]


class TinyImageEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, LATENT_CHANNELS, 8, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TinyImageDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(LATENT_CHANNELS, 3, 8, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))


def scripted(make: Callable[[], nn.Module], seed: int) -> torch.jit.ScriptModule:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return torch.jit.script(make().eval())


def write_cv8x8x8_jit(folder: Path) -> None:
    """With statistics for 32 latent frames, of which a chunk uses the first."""
    folder.mkdir(parents=True, exist_ok=True)
    scripted(TinyVideoEncoder, 1).save(str(folder / "encoder.jit"))
    scripted(TinyVideoDecoder, 2).save(str(folder / "decoder.jit"))
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(LATENT_CHANNELS * 32, generator=generator) * 0.1
    std = torch.rand(LATENT_CHANNELS * 32, generator=generator) + 0.5
    torch.save((mean, std), folder / "mean_std.pt")


def write_cv8x8x8_diffusers(folder: Path) -> None:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(4)
        model = AutoencoderKLCosmos(
            encoder_block_out_channels=(8, 8, 8, 8),
            decode_block_out_channels=(8, 8, 8, 8),
            num_layers=1,
            attention_resolutions=(32,),
        )
    model.save_pretrained(folder)


def write_fast_tokenizer(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    def program(make: Callable[[], nn.Module], seed: int) -> bytes:
        buffer = io.BytesIO()
        torch.jit.save(scripted(make, seed), buffer)
        return buffer.getvalue()

    generator = torch.Generator().manual_seed(3)
    mean, std = (
        torch.randn(LATENT_CHANNELS, generator=generator),
        torch.rand(LATENT_CHANNELS, generator=generator) + 0.5,
    )
    programs = {"encoder": program(TinyImageEncoder, 1), "decoder": program(TinyImageDecoder, 2)}
    torch.save({**programs, "mean_std": (mean, std)}, path)


def write_t5(folder: Path, whole: bool = True) -> None:
    """As google-t5/t5-11b: tokenizer and weights in one folder. whole: encoder and decoder in ``pytorch_model.bin``;
    otherwise the encoder alone as safetensors. An existing folder is left as it is."""
    if folder.exists():
        return
    write_tokenizer(folder)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(6)
        model = (T5ForConditionalGeneration if whole else T5EncoderModel)(t5_config())
    model.config.save_pretrained(folder)
    if whole:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        model.save_pretrained(folder)


def t5_config() -> T5Config:
    made: Any = T5Config  # its annotations lack what its base class takes
    return made(
        vocab_size=len(characters()) + 3,
        d_model=TEXT_WIDTH,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
