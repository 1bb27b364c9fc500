"""A network read from every published form: the same weights, the same output; and in words what is another network."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.contract.card_values import LoraUse
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.families.cosmos import CosmosSettings
from engine.models.cosmos.checkpoint import config_of, load_network
from engine.models.cosmos.keys import our_key
from engine.models.cosmos.load import load_model
from engine.models.cosmos.network import CosmosDiT
from engine.models.cosmos.recognise import recognise
from engine.storage.card_files import find_part
from tests.engine.models.cosmos.factories import (
    FORMS,
    TEXT_WIDTH,
    WRAPPINGS,
    Form,
    Kind,
    Wrapping,
    as_predict2,
    config,
    diffusers_twin,
    make_predict1,
    make_predict2,
    random_state,
)

GRID, FPS = (3, 4, 6), 16.0
MOST = 1e-4
"""Of ours against diffusers' on the same weights, in float32."""


def load(card: ModelCard, root: Path) -> CosmosDiT:
    network = load_model(card, root, "float32", with_codecs=False).network
    assert isinstance(network, CosmosDiT)
    return network


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Latents, text, a mask with the first latent frame conditioned."""
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(1, 16, *GRID, generator=generator)
    text = torch.randn(1, 5, TEXT_WIDTH, generator=generator)
    mask = torch.zeros(1, 1, *GRID)
    mask[:, :, 0] = 1
    return x, text, mask


@torch.inference_mode()
def output(network: CosmosDiT, kind: Kind, fps: float | None = None) -> Tensor:
    x, text, mask = inputs()
    given = mask if kind == "video2world" else None
    return network(x, torch.full((1, GRID[0]), 0.3), text, condition_mask=given, fps=fps)


@torch.inference_mode()
def output_of_diffusers(theirs: Any, kind: Kind, fps: float | None = None) -> Tensor:
    x, text, mask = inputs()
    channels = [x, mask, mask * 0] if kind == "video2world" else [x, mask * 0]
    return theirs(torch.cat(channels, dim=1), torch.tensor([0.3]), text, fps=fps, return_dict=False)[0]


def difference(a: Tensor, b: Tensor, what: str) -> float:
    gap = (a - b).abs()
    print(f"{what}: max {gap.max():.2e}, mean {gap.mean():.2e}")
    return float(gap.max())


def built(sizes: Any) -> CosmosDiT:
    """The network that every form was written from."""
    network = CosmosDiT(sizes).eval()
    network.load_state_dict(random_state(sizes))
    return network


@pytest.mark.parametrize("kind", ["text2image", "video2world"])
@pytest.mark.parametrize("form", [form for form in FORMS if form != "both_ema"])
def test_predict2_from_every_form(form: Form, kind: Kind, tmp_path: Path) -> None:
    network = load(make_predict2(tmp_path, form, kind), tmp_path)
    assert network.config == config("predict2", kind)
    assert difference(output(network, kind), output(built(config("predict2", kind)), kind), form) == 0


@pytest.mark.parametrize("kind", ["text2world", "video2world"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_predict1_from_every_wrapping(wrapping: Wrapping, kind: Kind, tmp_path: Path) -> None:
    network = load(make_predict1(tmp_path, wrapping, kind), tmp_path)
    assert network.config == config("predict1", kind)
    expected = output(built(config("predict1", kind)), kind, FPS)
    assert difference(output(network, kind, FPS), expected, wrapping) == 0


@pytest.mark.parametrize(
    ("generation", "kind"),
    [("predict2", "text2image"), ("predict2", "video2world"), ("predict1", "text2world"), ("predict1", "video2world")],
)
def test_same_output_as_diffusers(generation: Any, kind: Kind) -> None:
    """Predict1 with frames per second; Predict2 without, as its weights were trained."""
    sizes = config(generation, kind)
    fps = FPS if generation == "predict1" else None
    theirs = diffusers_twin(random_state(sizes), sizes, masks_given=True)
    expected = output_of_diffusers(theirs, kind, fps)
    assert difference(output(built(sizes), kind, fps), expected, f"{generation} {kind}") < MOST


def test_the_norms_epsilon_is_the_difference_to_diffusers_by_default() -> None:
    """Its q/k norms have 1e-5 where the originals have 1e-6: small queries show it."""
    sizes = config("predict2", "video2world")
    state = {name: t * 0.02 if ".q." in name or ".k." in name else t for name, t in random_state(sizes).items()}
    ours = CosmosDiT(sizes).eval()
    ours.load_state_dict(state)
    expected = output(ours, "video2world")
    default, original = (
        output_of_diffusers(diffusers_twin(state, sizes, True, eps), "video2world") for eps in (1e-5, 1e-6)
    )
    assert MOST < difference(default, expected, "epsilon 1e-5 against 1e-6") < 0.5
    assert difference(original, expected, "epsilon 1e-6 in both") < MOST


def test_frames_per_second_are_the_other_difference() -> None:
    """diffusers' pipeline gives 16 and so stretches Predict2's time by 24/16; the weights know plain indices."""
    sizes = config("predict2", "video2world")
    theirs = diffusers_twin(random_state(sizes), sizes, masks_given=True)
    expected = output(built(sizes), "video2world")
    stretched, plain = (output_of_diffusers(theirs, "video2world", fps) for fps in (16.0, 24.0))
    assert MOST < difference(stretched, expected, "diffusers at 16 frames per second") < 2.0
    assert difference(plain, expected, "diffusers at 24 frames per second") < MOST


def averaged(card: ModelCard) -> ModelCard:
    return card.model_copy(update={"cosmos": card.cosmos.model_copy(update={"ema": True})})


def test_the_averaged_copy_by_the_card(tmp_path: Path) -> None:
    """The plain copy of this file is all zeros; each is read when it is asked for."""
    card = make_predict2(tmp_path, "both_ema")
    assert not any(parameter.any() for parameter in load(card, tmp_path).parameters())
    expected = output(built(config("predict2", "video2world")), "video2world")
    assert torch.equal(output(load(averaged(card), tmp_path), "video2world"), expected)


def test_the_averaged_copy_of_predict1(tmp_path: Path) -> None:
    """Its names have "-" for "."; this file's is the plain one plus 1."""
    card = make_predict1(tmp_path, "ema")
    plain, mean = load(card, tmp_path), load(averaged(card), tmp_path)
    assert all(torch.equal(a + 1, b) for a, b in zip(plain.parameters(), mean.parameters(), strict=True))


def test_no_averaged_copy(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no averaged .EMA. copy"):
        load(averaged(make_predict2(tmp_path)), tmp_path)


def test_cast_while_loading(tmp_path: Path) -> None:
    model = load_model(make_predict2(tmp_path), tmp_path, "bfloat16", with_codecs=False)
    parameters = list(model.network.parameters())
    assert {parameter.dtype for parameter in parameters} == {torch.bfloat16}
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in parameters)
    assert not model.network.training and model.codecs is None


def test_reference_rounding_of_rope_by_the_card(tmp_path: Path) -> None:
    card = make_predict2(tmp_path)
    exact = output(load(card, tmp_path), "video2world")
    settings = card.cosmos.model_copy(update={"rope_precision": "reference_bf16"})
    rounded = output(load(card.model_copy(update={"cosmos": settings}), tmp_path), "video2world")
    assert 0 < difference(exact, rounded, "angles in bfloat16") < 1.0


@pytest.mark.parametrize("neighborhood", ["2b", "14b"])
def test_sparse_attention_by_the_card(neighborhood: Any, tmp_path: Path) -> None:
    """The same file, dense by another card: it is the card that says which pattern the weights were tuned for."""
    card = make_predict2(tmp_path, neighborhood=neighborhood)
    sparse = load(card, tmp_path)
    assert sparse.config.neighborhood == neighborhood
    settings = card.cosmos.model_copy(update={"neighborhood": ""})
    dense = load(card.model_copy(update={"cosmos": settings}), tmp_path)
    assert 1e-3 < difference(output(sparse, "video2world"), output(dense, "video2world"), "sparse against dense")


def test_a_pattern_for_another_number_of_blocks(tmp_path: Path) -> None:
    card = make_predict2(tmp_path)
    settings = card.cosmos.model_copy(update={"neighborhood": "2b"})
    with pytest.raises(Rejected, match="for 28 blocks, the network has 2"):
        load(card.model_copy(update={"cosmos": settings}), tmp_path)


# LoRA


def lora_file(root: Path, layers: tuple[str, ...], width: int = 48) -> Path:
    generator = torch.Generator().manual_seed(2)
    pairs: dict[str, Tensor] = {}
    for layer in layers:
        pairs[f"{layer}.lora_A.default.weight"] = torch.randn(2, width, generator=generator)
        pairs[f"{layer}.lora_B.default.weight"] = torch.randn(width, 2, generator=generator) * 0.1
    save_file(pairs, root / "lora.safetensors")
    return root / "lora.safetensors"


LAYERS = tuple(f"blocks.{n}.self_attn.{part}_proj" for n in (0, 1) for part in ("q", "k", "v", "output"))


@pytest.mark.parametrize("form", ["pt", "diffusers", "own"])
@pytest.mark.parametrize("prefix", ["net.", "", "base_model.model.net."])
def test_a_lora_on_every_layout(form: Form, prefix: str, tmp_path: Path) -> None:
    """Its names are the original's; whatever layout the network came in, it falls on the same weights."""
    lora_file(tmp_path, tuple(prefix + layer for layer in LAYERS))
    card = make_predict2(tmp_path, form)
    card = card.model_copy(update={"loras": (LoraUse(path="lora.safetensors", strength=0.5),)})
    changed, plain = load(card, tmp_path), built(config("predict2", "video2world"))
    for (name, tensor), before in zip(changed.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.equal(tensor, before) != (".self_attn." in name and "norm" not in name), name


def test_a_lora_in_diffusers_names(tmp_path: Path) -> None:
    originals = lora_file(tmp_path, ("net.blocks.0.self_attn.q_proj",))
    card = make_predict2(tmp_path)
    first = load(with_lora(card, originals), tmp_path)
    (tmp_path / "again").mkdir()
    renamed = lora_file(tmp_path / "again", ("transformer.transformer_blocks.0.attn1.to_q",))
    second = load(with_lora(card, renamed.rename(tmp_path / "renamed.safetensors")), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def with_lora(card: ModelCard, path: Path) -> ModelCard:
    return card.model_copy(update={"loras": (LoraUse(path=path.name),)})


def test_a_checkpoint_that_carries_its_lora(tmp_path: Path) -> None:
    """Post-training saves ``base_layer`` and the pair beside it: merged, as in training."""
    card = make_predict2(tmp_path)
    state = random_state(config("predict2", "video2world"))
    theirs = as_predict2(state)
    down, up = torch.randn(2, 48), torch.randn(48, 2)
    theirs["net.blocks.0.mlp.layer2.lora_A.default.weight"] = torch.randn(2, 192)
    theirs["net.blocks.0.mlp.layer2.lora_B.default.weight"] = torch.zeros(48, 2)
    key = "net.blocks.1.self_attn.q_proj"
    theirs[f"{key}.base_layer.weight"] = theirs.pop(f"{key}.weight")
    theirs |= {f"{key}.lora_A.default.weight": down, f"{key}.lora_B.default.weight": up}
    torch.save(theirs, find_part(card.parts.network, tmp_path))
    loaded = load(card, tmp_path).state_dict()
    name = "blocks.1.self_attn.q.weight"
    assert torch.allclose(loaded[name], state[name] + up @ down)
    assert torch.equal(loaded["blocks.0.mlp.down.weight"], state["blocks.0.mlp.down.weight"])


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (("net.blocks.7.self_attn.q_proj",), "1 of its 1 layers are not of this network: net.blocks.7"),
        (("unet.down.0.attn.to_q",), "not of this network"),
        (("net.blocks.0.mlp.layer1",), "another size"),
    ],
)
def test_a_lora_that_matches_nothing(layers: tuple[str, ...], words: str, tmp_path: Path) -> None:
    card = with_lora(make_predict2(tmp_path), lora_file(tmp_path, layers))
    with pytest.raises(Rejected, match=words) as refused:
        load(card, tmp_path)
    assert "lora.safetensors" in str(refused.value)


# Wrong files


def wider(card: ModelCard) -> dict[str, Any]:
    return {"network": card.network.model_copy(update={"width": 2048, "num_blocks": 28})}


def other_generation(card: ModelCard) -> dict[str, Any]:
    return {"cosmos": CosmosSettings(generation="predict1")}


def pictures(card: ModelCard) -> dict[str, Any]:
    return {"conditioning_num_frames": ()}


def unsaid(card: ModelCard) -> dict[str, Any]:
    return {"cosmos": None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wider, "this is Cosmos-Predict2 of width 48 Video2World.*2 blocks.*Expected: .*width 2048 with 28 blocks"),
        (other_generation, "this is Cosmos-Predict2.*Expected: Cosmos-Predict1 Video2World"),
        (pictures, "this is .*Video2World.*Expected: Cosmos-Predict2 Text2Image"),
        (unsaid, "RoPE ratios are not known from its weights"),
    ],
)
def test_a_card_for_another_network(change: Callable[[ModelCard], dict], words: str, tmp_path: Path) -> None:
    card = make_predict2(tmp_path)
    with pytest.raises(Rejected, match=words) as refused:
        load(card.model_copy(update=change(card)), tmp_path)
    print(refused.value)
    assert refused.value.code == "weights" and str(tmp_path) in str(refused.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)}, "this is Stable Diffusion"),
        ({"encoder.block.0.layer.0.SelfAttention.q.weight": (8, 8)}, "this is a T5 text encoder"),
        ({"encoder.downsamples.0.residual.0.gamma": (8, 1, 1, 1)}, "this is the Wan 2.1 autoencoder"),
        ({"dit.layers.0.seq_modeling_block.ssm.ttt.wq.weight": (8, 8)}, "this is a TTT-Video network"),
        ({"net.blocks.0.self_attn.q_proj.lora_A.weight": (2, 8)}, "this is a LoRA"),
        ({"decoder.layers.0.self_attention.linear_qkv.weight": (8, 8)}, "this is a Megatron"),
    ],
)
def test_a_file_of_another_kind(keys: dict[str, tuple[int, ...]], words: str, tmp_path: Path) -> None:
    card = make_predict2(tmp_path)
    torch.save({name: torch.zeros(shape) for name, shape in keys.items()}, find_part(card.parts.network, tmp_path))
    with pytest.raises(Rejected, match=words) as refused:
        load(card, tmp_path)
    assert "Expected: Cosmos-Predict2 Video2World of width 48 with 2 blocks" in str(refused.value)


def test_a_file_that_lacks_layers_is_not_filled_up(tmp_path: Path) -> None:
    card = make_predict2(tmp_path)
    path = find_part(card.parts.network, tmp_path)
    state = {name: tensor for name, tensor in as_predict2(random_state(config("predict2", "video2world"))).items()}
    del state["net.blocks.1.mlp.layer1.weight"], state["net.t_embedding_norm.weight"]
    torch.save({**state, "net.head.weight": torch.zeros(2)}, path)
    with pytest.raises(Rejected) as refused:
        load(card, tmp_path)
    for told in ("missing blocks.1.mlp.up.weight", "missing time_embed.norm.weight", "unexpected head.weight"):
        assert told in str(refused.value)


@pytest.mark.parametrize(
    "changes", [{"num_heads": 0}, {"width": "wide"}, {"width": -8}, {"neighborhood": "3b"}, {"colour": "red"}]
)
def test_a_damaged_configuration_of_our_own(changes: dict[str, Any], tmp_path: Path) -> None:
    card = make_predict2(tmp_path, "own")
    path = find_part(card.parts.network, tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(Rejected) as refused:
        load_network(path.parent, torch.float32)
    print(refused.value)
    assert refused.value.code == "weights" and str(path.parent) in str(refused.value)


@pytest.mark.parametrize("prefix", ["", "module.net.", "model.net.", "model.diffusion_model.", "_orig_mod.net."])
def test_other_programs_prefixes(prefix: str) -> None:
    state = as_predict2(random_state(config("predict2", "video2world")), prefix)
    found = recognise({name: tuple(tensor.shape) for name, tensor in state.items()})
    assert (found.generation, found.kind, found.form) == ("predict2", "video2world", "original")
    ours = {our_key(name) for name in state} - {None}
    assert ours == set(random_state(config("predict2", "video2world")))


@pytest.mark.parametrize("shape", [(), (8,), (8, 16, 1, 2, 2)])
@pytest.mark.parametrize("name", ["net.x_embedder.proj.1.weight", "patch_embed.proj.weight", "patch_embed.weight"])
def test_odd_shapes_are_foreign_not_an_error(name: str, shape: tuple[int, ...]) -> None:
    beside = ("net.blocks.0.self_attn.q_proj.weight", "transformer_blocks.0.attn1.to_q.weight")
    found = recognise({name: shape, **dict.fromkeys(beside, (8, 8)), "blocks.0.self_attn.q.weight": (8, 8)})
    assert found.generation is None and found.what


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    card = make_predict2(tmp_path)
    find_part(card.parts.network, tmp_path).unlink()
    with pytest.raises(Rejected, match="tiny-predict2/model.pt"):
        load(card, tmp_path)


# Full size, by names and shapes alone

MANIFESTS = json.loads(gzip.open(Path(__file__).parents[3] / "goldens/cosmos/key_manifests.json.gz").read())["variants"]


@pytest.mark.parametrize("variant", MANIFESTS)
def test_released_networks_at_full_size(variant: str) -> None:
    """The cards' own sizes too: what a file shows and what its card says are the same network."""
    told = MANIFESTS[variant]
    keys = {name: tuple(shape) for name, shape in told["other_keys"].items()}
    for index in range(told["num_blocks"]):
        prefix = told["block_prefix"].format(i=index)
        keys |= {prefix + name: tuple(shape) for name, shape in told["block_keys"].items()}
    found = recognise(keys)
    assert found.variant == variant and found.generation is not None
    ours = {name: shape for key, shape in keys.items() if (name := our_key(key))}
    with torch.device("meta"):
        network = CosmosDiT(config_of(ours, "a file", found, CosmosSettings(generation=found.generation)))
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == ours
    assert network.config.num_heads == told["num_heads"]
    assert sum(parameter.numel() for parameter in network.parameters()) == told["num_parameters"]
