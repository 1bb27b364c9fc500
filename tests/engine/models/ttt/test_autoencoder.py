"""CogVideoX' autoencoder: the stream against diffusers' whole decode, both layouts, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from engine.contract.errors import Rejected
from engine.models.ttt.autoencoder import CogVideoXAutoencoder, load_autoencoder, window_sizes
from tests.engine.models.ttt.model_factories import write_autoencoder

SCALE = 0.7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vae")
    for form in ("diffusers", "sat"):
        write_autoencoder(path / form, form)
    return path


@pytest.fixture(scope="module")
def autoencoder(folder: Path) -> CogVideoXAutoencoder:
    return load_autoencoder(folder / "diffusers", SCALE, torch.float32)


def latents(num_frames: int) -> torch.Tensor:
    return torch.randn(1, 16, num_frames, 2, 3, generator=torch.Generator().manual_seed(num_frames))


@pytest.mark.parametrize("num_latents", [1, 3, 5, 9])
def test_the_stream_is_the_whole_decode(num_latents: int, autoencoder: CogVideoXAutoencoder) -> None:
    parts = list(autoencoder.decode(latents(num_latents)))
    assert [len(part) for part in parts] == [1] + [4] * (num_latents - 1), "a part for each latent frame"
    whole = autoencoder.decode_whole(latents(num_latents))
    difference = np.abs(np.concatenate(parts).astype(int) - whole.astype(int))
    print(f"{num_latents} latent frames: max {difference.max()}, mean {difference.mean():.2e}")
    assert np.concatenate(parts).shape == whole.shape == (4 * num_latents - 3, 16, 24, 3)
    assert difference.max() == 0


def test_both_layouts_are_the_same(folder: Path, autoencoder: CogVideoXAutoencoder) -> None:
    """SAT's file has the training's discriminator beside it, which is not read."""
    other = load_autoencoder(folder / "sat" / "3d-vae.pt", SCALE, torch.float32)
    theirs = autoencoder.state_dict()
    assert set(other.state_dict()) == set(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in other.state_dict().items())
    ours = np.concatenate(list(other.decode(latents(3))))
    assert np.array_equal(ours, np.concatenate(list(autoencoder.decode(latents(3)))))
    halved = load_autoencoder(folder / "sat" / "3d-vae.pt", SCALE, torch.bfloat16)
    assert {parameter.dtype for parameter in halved.parameters()} == {torch.bfloat16}
    assert np.concatenate(list(halved.decode(latents(3)))).shape == ours.shape


def test_the_windows_decide_pixels(autoencoder: CogVideoXAutoencoder) -> None:
    """Group norms see one window; in one window of all they would see something else."""
    with torch.inference_mode():
        ours = torch.cat(list(autoencoder.windows(latents(5), window_sizes(5))), dim=2)
        (whole,) = autoencoder.windows(latents(5), (5,))
    assert (ours - whole).abs().max() > 1e-3


def test_the_scale_is_taken_off_before_decoding(folder: Path, autoencoder: CogVideoXAutoencoder) -> None:
    unscaled = load_autoencoder(folder / "diffusers", 1.0, torch.float32)
    first = np.concatenate(list(autoencoder.decode(latents(3) * SCALE))).astype(int)
    second = np.concatenate(list(unscaled.decode(latents(3)))).astype(int)
    assert np.abs(first - second).max() <= 1


def test_encode_is_diffusers_mean(autoencoder: CogVideoXAutoencoder) -> None:
    frames = np.random.RandomState(1).randint(0, 256, (9, 16, 24, 3), dtype=np.uint8)
    ours = autoencoder.encode(frames)
    pixels = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1.0
    with torch.inference_mode():
        golden = autoencoder.model.encode(pixels).latent_dist.mean * SCALE
    assert ours.shape == (1, 16, 3, 2, 3) and torch.allclose(ours, golden, atol=1e-6)


@pytest.mark.parametrize("num_latents", [2, 4, 12])
def test_an_even_number_is_refused_in_words(num_latents: int, autoencoder: CogVideoXAutoencoder) -> None:
    with pytest.raises(Rejected, match=f"{num_latents} latent frames.* odd number") as caught:
        next(autoencoder.decode(latents(num_latents)))
    assert caught.value.code == "frames"


@pytest.mark.parametrize(("num_latents", "sizes"), [(1, (1,)), (3, (3,)), (5, (3, 2)), (13, (3, 2, 2, 2, 2, 2))])
def test_windows(num_latents: int, sizes: tuple[int, ...]) -> None:
    assert window_sizes(num_latents) == sizes


def another_class(folder: Path) -> Path:
    config = folder / "diffusers" / "config.json"
    config.write_text(config.read_text().replace("AutoencoderKLCogVideoX", "AutoencoderKLWan"))
    return folder / "diffusers"


def no_config(folder: Path) -> Path:
    (folder / "diffusers" / "config.json").unlink()
    return folder / "diffusers"


def other_weights(folder: Path) -> Path:
    path = folder / "sat" / "3d-vae.pt"
    torch.save({"state_dict": {"weight": torch.ones(2)}}, path)
    return path


def one_key_less(folder: Path) -> Path:
    path = folder / "sat" / "3d-vae.pt"
    state = torch.load(path, weights_only=True)["state_dict"]
    del state["decoder.up.2.upsample.conv.weight"]
    torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (another_class, "holds a AutoencoderKLWan"),
        (no_config, "config.json cannot be read"),
        (other_weights, "not SAT's file of the CogVideoX autoencoder"),
        (one_key_less, "missing decoder.up_blocks.1.upsamplers.0.conv.weight"),
    ],
)
def test_files_that_are_no_good(damage: Callable[[Path], Path], told: str, tmp_path: Path) -> None:
    for form in ("diffusers", "sat"):
        write_autoencoder(tmp_path / form, form)
    place = damage(tmp_path)
    with pytest.raises(Rejected, match=told) as caught:
        load_autoencoder(place, SCALE, torch.float32)
    assert caught.value.code == "weights" and place.name in str(caught.value)


def test_sat_s_real_sizes_are_diffusers_own() -> None:
    """The published widths, on the meta device: 436 tensors, as SAT's file has."""
    with torch.device("meta"):
        model = AutoencoderKLCogVideoX(block_out_channels=(128, 256, 256, 512), layers_per_block=3, latent_channels=16)
    assert len(model.state_dict()) == 436
