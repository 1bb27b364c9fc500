"""Autoencoders of every kind and form, against diffusers or against the TorchScript program itself, in the same run.

Letters: F H W frames and pixels, C latent channels, T latent frames, h w latent size.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from diffusers.models.autoencoders.autoencoder_kl_cosmos import AutoencoderKLCosmos
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from safetensors.torch import load_file
from torch import Tensor

from engine.contract.errors import Rejected
from engine.models.cosmos.autoencoder import load_wan
from engine.models.cosmos.chunk_autoencoder import load_cv8x8x8
from engine.models.cosmos.image_autoencoder import load_image_jit
from engine.models.cosmos.load import load_model
from engine.storage.media import Frames
from tests.engine.models.cosmos.codec_factories import (
    LATENT_CHANNELS,
    WAN_WEIGHTS,
    write_cv8x8x8_diffusers,
    write_cv8x8x8_jit,
    write_fast_tokenizer,
    write_wan,
)
from tests.engine.models.cosmos.factories import make_predict1, make_predict2

MOST = 1e-4
SCALE, CHUNK = 0.5, 17


def clip(num_frames: int) -> Frames:
    return np.random.RandomState(num_frames).randint(0, 256, (num_frames, 32, 48, 3), dtype=np.uint8)


def pixels_of(frames: Frames, divisor: float) -> Tensor:
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / divisor - 1


def difference(ours: Tensor, theirs: Tensor, what: str) -> float:
    assert ours.shape == theirs.shape
    gap = (ours - theirs).abs()
    print(f"{what}: max {gap.max():.2e}, mean {gap.mean():.2e}")
    return float(gap.max())


# Wan 2.1


def wan_twin() -> Any:
    """diffusers' own class, by diffusers' own reading of the original layout."""
    model = AutoencoderKLWan(base_dim=4)
    weights = {name: tensor.float() for name, tensor in load_file(WAN_WEIGHTS).items()}
    model.load_state_dict(convert_wan_vae_to_diffusers(weights), strict=True)
    return model.eval()


def original(folder: Path) -> Path:
    write_wan(folder / "tokenizer.pth")
    return folder / "tokenizer.pth"


def in_diffusers_layout(folder: Path) -> Path:
    wan_twin().save_pretrained(folder / "vae")
    return folder / "vae"


WAN_FORMS = [original, in_diffusers_layout]


@pytest.mark.parametrize("write", WAN_FORMS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("num_frames", [1, 5, 9])
@torch.inference_mode()
def test_wan_as_diffusers(write: Callable[[Path], Path], num_frames: int, tmp_path: Path) -> None:
    ours, theirs, frames = load_wan(write(tmp_path), torch.float32), wan_twin(), clip(num_frames)
    mean, std = (torch.tensor(theirs.config[f"latents_{name}"]).view(1, -1, 1, 1, 1) for name in ("mean", "std"))
    expected = (theirs.encode(pixels_of(frames, 127.5)).latent_dist.mode() - mean) / std
    latents = ours.encode(frames)
    assert difference(latents, expected, f"latents of {num_frames} frames") < MOST
    shown = theirs.decode(latents * std + mean).sample[0].permute(1, 2, 3, 0)
    made = torch.from_numpy(np.concatenate(list(ours.decode(latents)))).float() / 127.5 - 1
    assert difference(made, shown, "frames, rounded to whole levels") < 0.5 / 127.5 + MOST


def test_the_latents_statistics_are_the_released_ones(tmp_path: Path) -> None:
    """cosmos-predict2 ``tokenizer.py``: the first and last of sixteen."""
    model = load_wan(original(tmp_path), torch.float32)
    assert torch.allclose(model.mean.flatten()[[0, 15]], torch.tensor([-0.7571, -0.2921]))
    assert torch.allclose(model.std.flatten()[[0, 15]], torch.tensor([2.8184, 1.9160]))


# Predict1's CV8x8x8


def jit_folder(folder: Path) -> Path:
    write_cv8x8x8_jit(folder / "cv")
    return folder / "cv"


def diffusers_folder(folder: Path) -> Path:
    write_cv8x8x8_diffusers(folder / "cv")
    return folder / "cv"


def jit_twin(folder: Path) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Tensor, Tensor]:
    """The programs themselves, and the statistics of a chunk as (1, C, T, 1, 1)."""
    encoder, decoder = (torch.jit.load(str(folder / f"{name}.jit")) for name in ("encoder", "decoder"))
    mean, std = (values.view(1, 16, 32, 1, 1) for values in torch.load(folder / "mean_std.pt", weights_only=True))
    return lambda x: encoder(x)[0], decoder, mean, std


def diffusers_chunk_twin(folder: Path) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Tensor, Tensor]:
    model: Any = AutoencoderKLCosmos.from_pretrained(folder)
    mean, std = (torch.tensor(model.config[f"latents_{name}"]).view(1, 16, 16, 1, 1) for name in ("mean", "std"))
    return lambda x: model.encode(x).latent_dist.mode(), lambda z: model.decode(z).sample, mean, std


CV_FORMS = [(jit_folder, jit_twin), (diffusers_folder, diffusers_chunk_twin)]


@pytest.mark.parametrize(("write", "twin"), CV_FORMS, ids=["jit", "diffusers"])
@pytest.mark.parametrize("num_frames", [1, 9, 17])
@torch.inference_mode()
def test_cv8x8x8_as_its_own_program(write: Any, twin: Any, num_frames: int, tmp_path: Path) -> None:
    """Value / 128 - 1, filled up to the chunk with grey, statistics by channel and latent frame, times sigma_data."""
    folder, frames = write(tmp_path), clip(num_frames)
    ours, (encode, decode, mean, std) = load_cv8x8x8(folder, SCALE, CHUNK, torch.float32), twin(folder)
    filled = torch.zeros(1, 3, CHUNK, 32, 48)
    filled[:, :, :num_frames] = pixels_of(frames, 128.0)
    kept = (num_frames - 1) // 8 + 1
    expected = ((encode(filled)[:, :, :kept] - mean[:, :, :kept]) / std[:, :, :kept]) * SCALE
    latents = ours.encode(frames)
    assert difference(latents, expected, f"latents of {num_frames} frames") < MOST
    shown = decode(latents / SCALE * std[:, :, :kept] + mean[:, :, :kept])
    assert difference(ours.decode_pixels(latents), shown, "pixels") < MOST


@pytest.mark.parametrize(("write", "twin"), CV_FORMS, ids=["jit", "diffusers"])
@torch.inference_mode()
def test_what_fills_the_chunk_up_does_not_matter(write: Any, twin: Any, tmp_path: Path) -> None:
    """Causal: the latents of the first frames are the same whatever follows them."""
    ours = load_cv8x8x8(write(tmp_path), SCALE, CHUNK, torch.float32)
    whole = clip(17)
    assert difference(ours.encode(whole)[:, :, :2], ours.encode(whole[:9]), "first of two chunks") < MOST


def test_cv8x8x8_gives_a_part_for_each_latent_frame(tmp_path: Path) -> None:
    ours = load_cv8x8x8(jit_folder(tmp_path), SCALE, CHUNK, torch.float32)
    parts = list(ours.decode(torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(1))))
    assert [part.shape for part in parts] == [(1, 32, 48, 3), (8, 32, 48, 3), (8, 32, 48, 3)]
    assert all(part.dtype == np.uint8 for part in parts)


def test_levels_are_cut_not_rounded(tmp_path: Path) -> None:
    """As the reference writes its frames: (x + 1) / 2 * 255 without its fraction."""
    ours = load_cv8x8x8(jit_folder(tmp_path), SCALE, CHUNK, torch.float32)
    latents = torch.randn(1, 16, 1, 4, 6, generator=torch.Generator().manual_seed(1))
    exact = ((ours.decode_pixels(latents)[0, :, 0].permute(1, 2, 0) + 1) / 2).clamp(0, 1) * 255
    made = torch.from_numpy(next(ours.decode(latents))[0]).float()
    assert torch.equal(made, exact.floor()) and not torch.equal(made, exact.round())


def test_more_latent_frames_than_statistics(tmp_path: Path) -> None:
    ours = load_cv8x8x8(jit_folder(tmp_path), SCALE, CHUNK, torch.float32)
    with pytest.raises(Rejected, match="one chunk at a time: 33 latent frames, and statistics for 32"):
        next(ours.decode(torch.zeros(1, 16, 33, 1, 1)))


# The fast picture tokenizer


@torch.inference_mode()
def test_fast_tokenizer_as_its_own_programs(tmp_path: Path) -> None:
    write_fast_tokenizer(tmp_path / "tokenizer.pth")
    document = torch.load(tmp_path / "tokenizer.pth", weights_only=True)
    encoder, decoder = (torch.jit.load(io.BytesIO(document[name])) for name in ("encoder", "decoder"))
    mean, std = (values.view(1, -1, 1, 1) for values in document["mean_std"])
    ours, frames = load_image_jit(tmp_path / "tokenizer.pth", torch.float32), clip(1)
    latents = ours.encode(frames)
    expected = (encoder(pixels_of(frames, 127.5)[:, :, 0]) - mean) / std
    assert difference(latents, expected[:, :, None], "latents") < MOST
    shown = ((decoder(expected * std + mean)[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round()
    made = torch.from_numpy(np.concatenate(list(ours.decode(latents))))
    assert made.shape == (1, 32, 48, 3) and torch.equal(made[0].float(), shown)


def test_fast_tokenizer_is_for_pictures(tmp_path: Path) -> None:
    write_fast_tokenizer(tmp_path / "tokenizer.pth")
    with pytest.raises(Rejected, match="for pictures; it was given 5 frames"):
        load_image_jit(tmp_path / "tokenizer.pth", torch.float32).encode(clip(5))


# In bfloat16, and through a card


def test_in_bfloat16_latents_are_float32(tmp_path: Path) -> None:
    for made in (
        load_wan(original(tmp_path), torch.bfloat16),
        load_cv8x8x8(jit_folder(tmp_path), SCALE, CHUNK, torch.bfloat16),
    ):
        latents = made.encode(clip(9))
        assert latents.dtype == torch.float32 and latents.shape[1] == LATENT_CHANNELS
        assert np.concatenate(list(made.decode(latents))).shape == (9, 32, 48, 3)


def test_the_card_says_which_kind(tmp_path: Path) -> None:
    kinds = {
        "VideoAutoencoder": make_predict2(tmp_path),
        "ImageAutoencoder": make_predict2(tmp_path, kind="text2image", name="pictures", fast_tokenizer=True),
        "ChunkAutoencoder": make_predict1(tmp_path),
    }
    for name, card in kinds.items():
        ends = load_model(card, tmp_path, "float32", with_codecs=True).codecs
        assert ends is not None and type(ends.autoencoder).__name__ == name


# Wrong and damaged files


def write_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def foreign_wan(folder: Path) -> Path:
    torch.save({"encoder.conv_in.weight": torch.zeros(4, 3, 3, 3)}, folder / "tokenizer.pth")
    return folder / "tokenizer.pth"


def other_class(folder: Path) -> Path:
    path = in_diffusers_layout(folder)
    write_json(path / "config.json", _class_name="AutoencoderKL")
    return path


def other_sizes(folder: Path) -> Path:
    path = in_diffusers_layout(folder)
    write_json(path / "config.json", base_dim=8)
    return path


def lacking(folder: Path) -> Path:
    path = original(folder)
    state = torch.load(path, weights_only=True)
    del state["decoder.head.2.bias"]
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (foreign_wan, "this is an image or video autoencoder. Expected: the Wan 2.1"),
        (other_class, "this is diffusers' AutoencoderKL. Expected: AutoencoderKLWan"),
        (other_sizes, "expected"),
        (lacking, "missing decoder.conv_out.bias"),
    ],
)
def test_no_wan_autoencoder(write: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=words) as refused:
        load_wan(write(tmp_path), torch.float32)
    assert str(tmp_path) in str(refused.value)


def without(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()

    return damage


def unreadable(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(b"PK\x03\x04 no program")

    return damage


def statistics_of_three(folder: Path) -> None:
    torch.save((torch.zeros(3), torch.ones(3)), folder / "mean_std.pt")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without("decoder.jit"), "decoder.jit missing, of encoder.jit, decoder.jit, mean_std.pt"),
        (without("mean_std.pt"), "mean_std.pt missing"),
        (unreadable("encoder.jit"), "encoder.jit: not a readable TorchScript file"),
        (statistics_of_three, "not a mean and a deviation for 16 latent channels"),
    ],
)
def test_no_cv8x8x8(damage: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    folder = jit_folder(tmp_path)
    damage(folder)
    with pytest.raises(Rejected, match=words) as refused:
        load_cv8x8x8(folder, SCALE, CHUNK, torch.float32)
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"encoder": b"x"}, "it must hold encoder, decoder, mean_std"),
        ({"encoder": b"x", "decoder": b"x", "mean_std": (torch.zeros(16), torch.ones(16))}, "encoder: not a readable"),
        ({"encoder": 3, "decoder": 3, "mean_std": 3}, "holds a int, where the bytes"),
    ],
)
def test_no_fast_tokenizer(document: dict[str, Any], words: str, tmp_path: Path) -> None:
    torch.save(document, tmp_path / "tokenizer.pth")
    with pytest.raises(Rejected, match=words) as refused:
        load_image_jit(tmp_path / "tokenizer.pth", torch.float32)
    assert str(tmp_path) in str(refused.value)
