"""Reading checkpoints: every form gives the same network, and what does not fit is refused by name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.contract.errors import Rejected
from engine.models.dfm.checkpoint import load_network, network_of, newest
from engine.models.dfm.keys import bare_key, from_megatron
from engine.models.dfm.positions import sincos_table
from engine.models.dfm.run_config import RunConfig, read_run_config
from tests.engine.models.dfm.factories import (
    FORMS,
    MAX_FRAMES,
    MAX_IMG,
    NUM_BLOCKS,
    WIDTH,
    prefixed,
    stacked,
    tiny_state,
    write_network,
    write_run_config,
)

CARD = RunConfig(max_frames=MAX_FRAMES, max_img_h=MAX_IMG, max_img_w=MAX_IMG)
ATTENTION = "decoder.layers.0.full_self_attention"
TABLE = "pos_embedder.pos_embedding.weight"


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    return load_network(folder, dtype, CARD).state_dict()


def refused(folder: Path) -> str:
    with pytest.raises(Rejected) as caught:
        loaded(folder)
    assert caught.value.code == "weights"
    return str(caught.value)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "ranks"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_form_is_the_same_network(tmp_path: Path, form: str, dtype: torch.dtype) -> None:
    write_network(tmp_path, form)
    expected = network_of(from_megatron(tiny_state(), "tiny"), CARD, "tiny", dtype).state_dict()
    found = loaded(tmp_path, dtype)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(tensor.dtype == dtype and tensor.device.type == "cpu" for tensor in found.values())


def test_the_newest_iteration_by_number(tmp_path: Path) -> None:
    for name in ("iter_0000009", "iter_10", "iter_0000002", "iter_latest", "10"):
        (tmp_path / name).mkdir()
    assert newest(tmp_path).name == "iter_10"
    assert newest(tmp_path / "10") == tmp_path / "10"


@pytest.mark.parametrize("prefix", ["", "module.", "module.module.", "0.module.", "model.module.", "model.0.module."])
def test_known_prefixes(prefix: str) -> None:
    assert from_megatron(prefixed(tiny_state(), prefix), "tiny").keys() == from_megatron(tiny_state(), "tiny").keys()


@pytest.mark.parametrize(
    "key",
    [
        "module.affline_norm.weight",
        "module.decoder.layers.mlp.linear_fc1._extra_state/shard_0_4",
        "module.decoder.layers.0.mlp.linear_fc1._extra_state",
        "optimizer.state.exp_avg.module.x_embedder.weight",
        "chained_0.optimizer.state.exp_avg.module.x_embedder.weight",
        "rng_state/shard_0.0_1.1",
        "rerun_state_machine_state/shard_0_1",
        "iteration",
    ],
)
def test_what_is_no_weight(key: str) -> None:
    assert bare_key(key) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: prefixed(state, "net."), r"another network: net\.affline_norm.*and 22 more .known prefixes"),
        (lambda state: state | {"x_embedder2.weight": torch.zeros(1)}, r"x_embedder2\.weight"),
        (lambda state: state | {"decoder.layers.0.mlp.extra.weight": torch.zeros(1)}, r"blocks\.0\.mlp\.extra\.weight"),
        (lambda state: state | {"module.x_embedder.bias": torch.zeros(WIDTH)}, "same weight twice"),
        (lambda state: state | {"decoder.layers.mlp.linear_fc1.weight": torch.zeros(4, 1, 1)}, "stacked and by its"),
        (lambda state: without(state, "decoder.layers.1.mlp.linear_fc1.weight"), r"missing blocks\.1\.mlp\.up\.weight"),
        (lambda state: without(state, "x_embedder.weight"), r"missing patch_embed\.weight, without which"),
        (
            lambda state: state | {"final_layer_linear.bias": torch.zeros(63)},
            r"final\.bias is \(63,\), expected \(64,\)",
        ),
        (lambda state: state | {TABLE: torch.zeros(5, WIDTH)}, r"positions\.table is \(5, 64\), expected \(384, 64\)"),
        (lambda state: state | {f"{ATTENTION}.q_layernorm.weight": torch.zeros(128)}, "width 64 and heads of 128"),
        (lambda state: state | {f"{ATTENTION}.q_layernorm.weight": torch.zeros(4, 4)}, "expected 1 sizes"),
        (lambda state: {"optimizer.step": torch.zeros(1)}, "no weights"),
    ],
)
def test_states_that_do_not_fit(tmp_path: Path, change, told: str) -> None:  # noqa: ANN001
    save_file(change(tiny_state()), tmp_path / "model.safetensors")
    with pytest.raises(Rejected, match=told):
        loaded(tmp_path)


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize("names", [["__0_1.distcp"], ["__0_0.distcp", "__0_1.distcp"]])
def test_a_missing_shard_is_named(tmp_path: Path, names: list[str]) -> None:
    write_network(tmp_path, "stacked")
    for name in names:
        (tmp_path / name).unlink()
    message = refused(tmp_path)
    assert all(name in message for name in names)


def test_a_folder_in_parts_names_the_command(tmp_path: Path) -> None:
    write_network(tmp_path, "ranks")
    assert f"storyboard models consolidate {tmp_path}" in refused(tmp_path)


def test_without_a_table_it_is_computed(tmp_path: Path) -> None:
    write_network(tmp_path, "pth", without(tiny_state(), TABLE))
    table = sincos_table((MAX_FRAMES, MAX_IMG // 2, MAX_IMG // 2), WIDTH)
    assert torch.equal(loaded(tmp_path)["positions.table"], table)


def test_without_a_run_config_the_card_tells(tmp_path: Path) -> None:
    write_network(tmp_path, "stacked")
    (tmp_path / "run_config.yaml").unlink()
    network = load_network(tmp_path, torch.float32, RunConfig(norm_eps=3e-6, max_frames=6, max_img_h=16, max_img_w=16))
    assert (network.config.norm_eps, network.config.largest) == (3e-6, (6, 8, 8))
    assert network.blocks[0].norm.eps == network.blocks[0].self_attn.q_norm.eps == 3e-6


def test_the_run_config_wins_over_the_card(tmp_path: Path) -> None:
    write_network(tmp_path, "stacked")
    write_run_config(tmp_path, layernorm_epsilon=1e-6)
    assert load_network(tmp_path, torch.float32, CARD).config.norm_eps == 1e-6


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_layers": NUM_BLOCKS + 1}, "num_blocks is 5 there and 4 here"),
        ({"num_attention_heads": 8}, "num_heads is 8 there and 4 here"),
        ({"num_query_groups": 2}, "num_query_groups is 2 there and 4 here"),
        ({"sigma_data": 1.0}, "sigma_data is 1 and 0.5 on the card"),
        ({"max_frames": 4}, "the position table has 4 patches of frames, and 6 on the card"),
        ({"gated_linear_unit": True}, "gated_linear_unit is True; .* has False"),
        ({"activation_func": {"_target_": "torch.nn.functional.silu"}}, "activation_func is silu; .* has gelu"),
        ({"hidden_size": "wide"}, "width is 'wide', expected a positive number"),
        ({"hidden_size": -1}, "width is -1"),
        ({"hidden_size": 63.5}, "width is 63.5"),
        ({"max_frames": float("inf")}, "max_frames is inf"),
        ({"layernorm_epsilon": float("nan")}, "norm_eps is nan"),
        ({"patch_spatial": 4}, "the position table has 4 patches of height, and 8 on the card"),
    ],
)
def test_run_configs_that_do_not_fit(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    write_network(tmp_path, "stacked")
    write_run_config(tmp_path, **changes)
    with pytest.raises(Rejected, match=told):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("text", "eps"),
    [
        (
            "model: {layernorm_epsilon: 1.0e-6, num_layers: null, activation_func: !!python/name:torch._C._nn.gelu ''}",
            1e-6,
        ),
        ("layernorm_epsilon: 2e-5\nparams_dtype: !!python/object/apply:builtins.exec [raise]", 2e-5),
        ("model: {_target_: some.Provider}", 7e-6),
    ],
)
def test_run_configs_with_names_of_python(tmp_path: Path, text: str, eps: float) -> None:
    (tmp_path / "run_config.yaml").write_text(text)
    assert read_run_config(tmp_path / "run_config.yaml", RunConfig(norm_eps=7e-6)).norm_eps == eps


@pytest.mark.parametrize("text", ["model: [1, 2]", "- 1", "model: {a: b", ""])
def test_run_configs_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "run_config.yaml").write_text(text)
    with pytest.raises(Rejected, match="run_config.yaml"):
        read_run_config(tmp_path / "run_config.yaml", RunConfig())


def test_stacked_layers_come_apart_in_order() -> None:
    found, expected = from_megatron(stacked(tiny_state()), "stacked"), from_megatron(tiny_state(), "indexed")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_folder_of_the_guide(tmp_path: Path) -> None:
    """``iter_5000/{model.pth, extra_state.pt}`` beside the file that names the newest iteration."""
    folder = tmp_path / "iter_5000"
    folder.mkdir()
    state = {**prefixed(tiny_state(), "0.module."), "0.module._extra_state": torch.zeros(3)}
    torch.save(state, folder / "model.pth")
    torch.save({"iteration": 5000}, folder / "extra_state.pt")
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("5000")
    assert (
        loaded(tmp_path).keys()
        == network_of(from_megatron(tiny_state(), "tiny"), CARD, "tiny", torch.float32).state_dict().keys()
    )
