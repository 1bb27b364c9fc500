"""TTT-Video checkpoints: every form gives the same network, and what does not fit is said in words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.checkpoints.assign import check_keys
from engine.checkpoints.dcp import METADATA_NAME
from engine.checkpoints.lora import read_lora
from engine.contract.errors import Rejected
from engine.models.ttt.checkpoint import load_network, newest_step, read_ttt
from engine.models.ttt.config import config_from
from engine.models.ttt.keys import our_key_of_diffusers
from engine.models.ttt.network import TttVideo
from engine.storage.card_files import read_card
from tests.engine.models.ttt.factories import make_film, settings
from tests.engine.models.ttt.model_factories import (
    CONFIG,
    base_transformer,
    save_dcp,
    tiny_state,
    training,
    write_network,
)

SETTINGS = settings(CONFIG)
OWN_FORMS = {"dcp_bare": torch.bfloat16, "dcp_nested": torch.float32, "safetensors": torch.float32, "pt": torch.float32}


def place_of(folder: Path, form: str) -> Path:
    write_network(folder, form)
    return folder / "transformer" if form == "diffusers" else folder


@pytest.mark.parametrize("form", OWN_FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_form_gives_the_same_network(form: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """Of a training's folder, the one of the most steps, 200 and not 90."""
    network = load_network(place_of(tmp_path, form), SETTINGS, dtype)
    expected = {name: tensor.to(OWN_FORMS[form]).to(dtype) for name, tensor in tiny_state().items()}
    ours = network.state_dict()
    assert set(ours) == set(expected)
    for name, tensor in expected.items():
        assert ours[name].dtype == dtype and torch.equal(ours[name], tensor), name
    assert not network.training and not any(each.requires_grad for each in network.parameters())


def zero_gates(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor * 0 if name.endswith("gating_alpha") else tensor for name, tensor in state.items()}


@torch.inference_mode()
def test_cogvideox_is_the_base_with_gates_of_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same base weights under TTT layers whose gates are zero give the same film: in 3 segments too."""
    base = load_network(place_of(tmp_path, "diffusers"), SETTINGS, torch.float32)
    assert "without TTT layers" in capsys.readouterr().err
    with_ttt = zero_gates({**tiny_state(), **base.state_dict()})
    save_file(with_ttt, tmp_path / "model.safetensors")
    network = load_network(tmp_path / "model.safetensors", SETTINGS, torch.float32)
    for num_segments in (1, 3):
        film = make_film(num_segments, CONFIG)
        difference = (network(*film) - base(*film)).abs()
        print(f"{num_segments} segments: max {difference.max():.2e}, mean {difference.mean():.2e}")
        assert difference.max() < 1e-5


@torch.inference_mode()
def test_the_base_is_diffusers_transformer(tmp_path: Path) -> None:
    """One segment of the published layout, against diffusers' own network with its norms at 1e-6 as the original's."""
    base = load_network(place_of(tmp_path, "diffusers"), SETTINGS, torch.float32)
    theirs = base_transformer().eval()
    theirs.load_state_dict(shards(tmp_path / "transformer"))
    for module in theirs.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    x, timesteps, text = make_film(1, CONFIG)
    rotary = rotary_tables(base, x)
    golden = theirs(x.transpose(1, 2), text[:, 0], timesteps[:, 0], image_rotary_emb=rotary, return_dict=False)[0]
    difference = (base(x, timesteps, text) - golden.transpose(1, 2)).abs()
    print(f"max {difference.max():.2e}, mean {difference.mean():.2e}")
    assert difference.max() < 1e-4


def shards(folder: Path) -> dict[str, Tensor]:
    paths = sorted(folder.glob("*.safetensors"))
    assert len(paths) > 1, "the layout is in parts"
    return {name: tensor for path in paths for name, tensor in load_file(path).items()}


def rotary_tables(network: TttVideo, x: Tensor) -> tuple[Tensor, Tensor]:
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    size = x.shape[3] // 2, x.shape[4] // 2
    return get_3d_rotary_pos_embed(network.config.head_dim, ((0, 0), size), size, x.shape[2])


def without_shard(folder: Path) -> Path:
    (folder / "step-200" / "__0_0.distcp").unlink()
    return folder / "step-200"


def without_index(folder: Path) -> Path:
    (folder / "step-200" / METADATA_NAME).unlink()
    return folder / "step-200"


def unknown_keys(folder: Path) -> Path:
    state = {f"dit.{name}": tensor for name, tensor in tiny_state().items()}
    state["dit.layers.0.mlp.layer3.weight"] = state.pop("dit.layers.0.mlp.layer2.weight")
    save_dcp(training({**state, "encoder.weight": torch.ones(2)}), folder / "other")
    return folder / "other"


def truncated(folder: Path) -> Path:
    shard = folder / "step-200" / "__0_0.distcp"
    shard.write_bytes(shard.read_bytes()[:1000])
    return folder


def another_model(folder: Path) -> Path:
    save_file({"blocks.0.self_attn.q.weight": torch.ones(4, 4)}, folder / "wan.safetensors")
    return folder / "wan.safetensors"


def empty(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (without_shard, "1 of 1 files are missing: __0_0.distcp"),
        (without_index, "no weights here|not a torch distributed checkpoint"),
        (unknown_keys, r"missing layers.0.mlp.layer2.weight; unexpected layers.0.mlp.layer3.weight; .*encoder.weight"),
        (truncated, "cut short"),
        (another_model, "TTT layers of kind none.*The file is a Wan video network"),
        (empty, "no weights here"),
    ],
)
def test_what_does_not_fit_is_said(damage: Callable[[Path], Path], told: str, tmp_path: Path) -> None:
    write_network(tmp_path, "dcp_nested")
    place = damage(tmp_path)
    with pytest.raises(Rejected, match=told) as caught:
        load_network(place, SETTINGS, torch.float32)
    assert caught.value.code == "weights" and place.name in str(caught.value)


@pytest.mark.parametrize("held", ["ttt_mlp", "ttt_linear"])
def test_wrong_ssm_layer(held: str, tmp_path: Path) -> None:
    other = "ttt_linear" if held == "ttt_mlp" else "ttt_mlp"
    save_file(tiny_state(held), tmp_path / "model.safetensors")  # type: ignore[arg-type]
    load_network(tmp_path, settings(CONFIG, ssm_layer=held), torch.float32)
    with pytest.raises(Rejected, match=f"of kind {held}, the card's ssm_layer says {other}"):
        load_network(tmp_path, settings(CONFIG, ssm_layer=other), torch.float32)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"use_rotary_positional_embeddings": False}, "CogVideoX-2B"), ("not json", "config.json cannot be read")],
)
def test_other_cogvideox_networks(changes: dict[str, bool] | str, told: str, tmp_path: Path) -> None:
    config = place_of(tmp_path, "diffusers") / "config.json"
    config.write_text(
        changes if isinstance(changes, str) else json.dumps({**json.loads(config.read_text()), **changes})
    )
    with pytest.raises(Rejected, match=told):
        load_network(tmp_path / "transformer", SETTINGS, torch.float32)


def test_a_network_for_pictures_as_conditioning_is_refused(tmp_path: Path) -> None:
    state = tiny_state()
    state["patch_embedding.vid_proj.weight"] = torch.zeros(CONFIG.width, 32, 2, 2)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(Rejected, match="takes 32 channels and gives 16"):
        load_network(tmp_path, SETTINGS, torch.float32)


def test_a_folder_that_is_a_step_is_itself(tmp_path: Path) -> None:
    write_network(tmp_path, "dcp_nested")
    assert newest_step(tmp_path) == tmp_path / "step-200"
    assert newest_step(tmp_path / "step-90") == tmp_path / "step-90"
    shutil.rmtree(tmp_path / "step-200")
    (tmp_path / "step-300").mkdir()  # begun, and without an index
    assert newest_step(tmp_path) == tmp_path / "step-90"


@pytest.mark.parametrize("layer", ["transformer.transformer_blocks.1.attn1.to_q", "dit.layers.1.seq_modeling_block.q"])
def test_a_lora_of_either_naming(layer: str, tmp_path: Path) -> None:
    write_network(tmp_path, "safetensors")
    up, down = torch.randn(CONFIG.width, 2), torch.randn(2, CONFIG.width)
    lora = tmp_path / "lora.safetensors"
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, lora)
    loras = (read_lora(lora, 0.5),)
    network = load_network(tmp_path / "model.safetensors", SETTINGS, torch.float32, loras)
    key = "layers.1.seq_modeling_block.q.weight"
    difference = network.state_dict()[key] - (tiny_state()[key] + 0.5 * up @ down)
    assert difference.abs().max() < 1e-5


def test_keys_that_are_kept_twice(tmp_path: Path) -> None:
    state = tiny_state()
    both = {f"{prefix}{name}": tensor for prefix in ("dit.", "model.dit.") for name, tensor in state.items()}
    save_dcp(both, tmp_path)
    with pytest.raises(Rejected, match="both mean"):
        read_ttt(tmp_path)


def test_cogvideox_5b_at_full_size() -> None:
    """On the meta device: every name and shape of diffusers' own network finds its place, and none is left over."""
    with torch.device("meta"):
        theirs = CogVideoXTransformer3DModel(
            num_attention_heads=48, num_layers=42, use_rotary_positional_embeddings=True
        ).state_dict()
        renamed = {our_key_of_diffusers(name): tensor for name, tensor in theirs.items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in renamed.items()}
        network = TttVideo(config_from(shapes, SETTINGS, base=True))
    check_keys(network, renamed, "CogVideoX-5B")
    card = read_card(Path(__file__).parents[4] / "presets" / "models" / "cogvideox-5b-zero-gate.yaml")
    assert sum(each.numel() for each in network.parameters()) == card.network.num_parameters == 5_570_283_072
