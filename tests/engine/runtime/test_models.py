"""Reading a model's folder, checking a job against its card, decoding as a stream."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.contract.errors import Rejected
from engine.contract.jobs import FromTake, Job, SamplerSettings, Speed
from engine.models import family
from engine.models.model import Model
from engine.runtime.checks import check_job
from engine.runtime.decode import decode_into, undropped
from engine.runtime.link import ControlFlags
from engine.runtime.memory.model_cache import ModelCache, model_key
from engine.runtime.memory.residency import KeepResident
from engine.runtime.pipeline import loaded
from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RankContext
from engine.storage.workspace import Workspace
from tests.engine.models.ttt.memory import PeakMemory
from tests.engine.runtime.group import make_model_once, tiny_job
from tests.engine.runtime.tiny import LATENT_CHANNELS, MAX_TOKENS

ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def model(root: Path) -> Model:
    return family("cosmos").load_model(make_model_once(root), root / "models", "float32", with_codecs=True)


def test_text_is_padded_with_zeros(model: Model) -> None:
    assert model.codecs is not None
    encoder = model.codecs.load_text_encoder()
    short, empty, long = encoder(["a cat", "", "a red ball that is far too long for it"], MAX_TOKENS)
    assert short.shape == (MAX_TOKENS, 16)
    lengths = [int((embedding.abs().sum(-1) > 0).sum()) for embedding in (short, empty, long)]
    assert lengths == [7, 1, MAX_TOKENS], "characters and the end; the end alone; cut"


@pytest.mark.parametrize("num_latents", [1, 2, 5])
def test_stream_equals_whole(model: Model, num_latents: int) -> None:
    assert model.codecs is not None
    latents = torch.randn(1, LATENT_CHANNELS, num_latents, 4, 6, generator=torch.Generator().manual_seed(num_latents))
    stream = np.concatenate(list(model.codecs.autoencoder.decode(latents)))
    whole = model.codecs.autoencoder.decode_whole(latents)
    difference = np.abs(stream.astype(int) - whole.astype(int))
    print(f"{num_latents} latent frames: max {difference.max()}, mean {difference.mean():.2e} levels")
    assert stream.shape == (4 * num_latents - 3, 32, 48, 3)
    assert np.array_equal(stream, whole)


def test_memory_does_not_grow_with_length(model: Model) -> None:
    """60 latent frames of 128 x 96 decoded whole are 35 MB of float32."""
    assert model.codecs is not None
    peaks: dict[int, int] = {}
    for num_latents in (20, 60):
        latents = torch.randn(1, LATENT_CHANNELS, num_latents, 12, 16)
        with PeakMemory() as memory:
            assert sum(len(part) for part in model.codecs.autoencoder.decode(latents)) == 4 * num_latents - 3
        peaks[num_latents] = memory.peak_bytes - latents.nbytes
    print(f"peak beside the latents: {peaks[20] / 1e6:.1f} MB for 20 latent frames, {peaks[60] / 1e6:.1f} MB for 60")
    assert peaks[20] > 1e6 and peaks[60] - peaks[20] < 1e6


@pytest.mark.parametrize("dropped", [0, 1, 3, 5, 6])
def test_overlap_is_dropped_across_parts(dropped: int) -> None:
    parts = [np.arange(1), np.arange(1, 5), np.arange(5, 9)]
    kept = list(undropped(iter(parts), dropped))
    assert len(kept) == 3 and np.concatenate(kept).tolist() == list(range(dropped, 9))


def test_every_latent_frame_has_a_step_boundary() -> None:
    met: list[str] = []
    parts = [np.zeros((1, 2, 2, 3), np.uint8)] * 3
    decode_into(
        lambda frames: met.append("write"),
        torch.zeros(1, 1, 3, 1, 1),
        lambda latents: iter(parts),
        ALONE,
        0,
        lambda: met.append("boundary"),
        lambda step_s: met.append("progress"),
    )
    assert met == ["boundary", "write", "progress"] * 3


def damage_cut(folder: Path) -> None:
    path = folder / "transformer/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def damage_foreign(folder: Path) -> None:
    save_file({"some.weight": torch.zeros(3)}, folder / "transformer/model.safetensors")


def damage_shape(folder: Path) -> None:
    path = folder / "transformer/model.safetensors"
    save_file(load_file(path) | {"patch_embed.weight": torch.zeros(2, 2)}, path)


def damage_config(folder: Path) -> None:
    path = folder / "transformer/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "red"}))


def damage_text(folder: Path) -> None:
    (folder / "text_encoder/model.safetensors").write_bytes(b"nothing")


def damage_autoencoder(folder: Path) -> None:
    (folder / "autoencoder/diffusion_pytorch_model.safetensors").unlink()


DAMAGES = [damage_cut, damage_foreign, damage_shape, damage_config, damage_text, damage_autoencoder]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_or_foreign_weights(damage: Callable[[Path], None], root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "models/tiny", tmp_path / "tiny")
    damage(tmp_path / "tiny")
    with pytest.raises(Rejected) as refused:
        loaded = family("cosmos").load_model(make_model_once(root), tmp_path, "float32", with_codecs=True)
        loaded.codecs.load_text_encoder()
    print(refused.value)
    assert refused.value.code == "weights" and str(tmp_path) in str(refused.value)


def test_models_keeps_a_model_and_sees_a_changed_file(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "models", tmp_path / "models")
    models = ModelCache(ALONE, root / "cards", tmp_path / "models")
    job = tiny_job(root)
    wanted = model_key(job)
    assert not models.holds(wanted)
    first = models.model(wanted)
    assert models.holds(wanted) and models.model(wanted) is first
    config = tmp_path / "models/tiny/transformer/config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(Rejected, match="fingerprint"):
        models.model(wanted)


class Travelling(torch.nn.Module):
    """Writes down where it was sent, and stays."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def to(self, *where: Any, **how: Any) -> "Travelling":
        self.sent.append(torch.device(where[0]).type)
        return self


@pytest.mark.parametrize(("offload", "sent"), [("components", ["cpu"]), ("none", [])])
def test_offload_begins_with_an_empty_device(offload: Any, sent: list[str], root: Path, tmp_path: Path) -> None:
    """A job before it, without offload, has left all three components there."""
    models = ModelCache(Ranks(0, 1, torch.device("cuda")), root / "cards", root / "models")
    context = RankContext(models.ranks, models, Workspace.at(tmp_path), lambda event: None, ControlFlags())
    job = tiny_job(root, speed=Speed(precision="float32", offload=offload))
    model = models.model(model_key(job))
    assert model.codecs is not None
    models._kept[model_key(job)].content = replace(
        model, network=Travelling(), codecs=replace(model.codecs, autoencoder=Travelling())
    )
    models.prompt_cache(context.workspace).encode(["a"], MAX_TOKENS, KeepResident(ALONE.device))
    left = loaded(job, context, "film")
    assert isinstance(left.network, Travelling) and left.codecs is not None
    assert left.network.sent == left.codecs.autoencoder.sent == sent
    assert (models.prompt_cache(context.workspace).encoder.loaded is None) == (offload == "components")


FIVE = FromTake(recipe="a" * 64, num_frames=5)
TURNED = SamplerSettings(name="euler", num_steps=2, sigma_max=1.0, sigma_min=2.0, rho=7.0)


@pytest.mark.parametrize(
    ("code", "num_ranks", "changes"),
    [
        ("size", 1, {"size_px": (40, 32)}),
        ("ranks", 3, {}),
        ("frames", 1, {"num_frames": 10}),
        ("frames", 1, {"overlaps": (9,), "num_frames": 1}),
        ("conditioning", 1, {"overlaps": (5,)}),
        ("conditioning", 1, {"overlaps": (0, 3)}),
        ("conditioning", 1, {"overlaps": (0, 0)}),
        ("conditioning", 1, {"overlaps": (1,), "conditioning": FIVE}),
        ("conditioning", 1, {"conditioning": FIVE.model_copy(update={"num_frames": 4})}),
    ],
)
def test_what_a_card_does_not_allow(code: str, num_ranks: int, changes: dict, root: Path) -> None:
    with pytest.raises(Rejected) as refused:
        check_job(tiny_job(root, **changes), make_model_once(root), num_ranks)
    print(refused.value)
    assert refused.value.code == code


def test_a_size_beyond_the_positions_that_were_learned(root: Path) -> None:
    card = make_model_once(root).model_copy(update={"max_size_px": (48, 32)})
    check_job(tiny_job(root), card, 1)
    with pytest.raises(Rejected, match="positions end at 48 x 32"):
        check_job(tiny_job(root, size_px=(64, 32)), card, 1)


def test_noise_levels_the_wrong_way_round(root: Path) -> None:
    job = tiny_job(root)
    turned = Job.model_construct(**{**job.__dict__, "sampler": TURNED})
    with pytest.raises(Rejected) as refused:
        check_job(turned, make_model_once(root), 1)
    assert refused.value.code == "sampler"
