"""Golden cases of TTT-Video's network: whole transformers, one layer, local attention, a TTT layer, the inner scan.

``out.kernel`` is what the weights were trained with and what our network computes; ``out.torch_path`` is the original's
other form of the scan, computed here by a reference of the tests.

Letters: A heads, d head width, C tokens of a mini-batch, M mini-batches, N all tokens.
"""

from fnmatch import fnmatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.contract.families.ttt import TttSettings
from engine.layers.attention import SingleRankLayout
from engine.models.ttt.attention import LocalAttention
from engine.models.ttt.config import TttConfig, config_from
from engine.models.ttt.keys import our_key
from engine.models.ttt.layer import SeqModelingBlock, SequenceInfo, TransformerLayer, TttLayer
from engine.models.ttt.network import TttVideo
from engine.models.ttt.rotary import rotate_pairs, rotations
from engine.models.ttt.scan import (
    Group,
    InnerNorm,
    eager_step,
    inner_norm,
    recall_group,
    scan,
    standardised,
    unfolded,
)
from engine.models.ttt.scan_order import Extent, interleaved, scan_orders
from tests.engine.models.ttt.torch_form import dual_scan
from tests.goldens.runner import Case, Description, assert_close, kind

BLOCK = "layers.0.seq_modeling_block."
BF16_OBSERVED = "reference in pure bf16 vs fp32 (torch path)"
BF16_FACTOR = 2.0
BF16_SHARE = 0.1
"""Of the largest value, where a case says nothing of bfloat16: its originals differ by 0.6 to 5 per cent."""


def has(description: Description, *names: str) -> bool:
    """Whether it is a TTT-Video case with these tensors."""
    tensors = description.get("tensors")
    config = description.get("config")
    named = isinstance(tensors, dict) and all(name in tensors for name in names)
    return named and isinstance(config, dict) and str(config.get("ssm_layer", "")).startswith("ttt_")


def settings_of(case: Case) -> TttSettings:
    config = case.description["config"]
    return TttSettings(
        ssm_layer=config["ssm_layer"],
        mini_batch_size=config["mini_batch_size"],
        base_lr=config["ttt_base_lr"],
        segment_latent_frames=config["attn_length"],
    )


def weights_of(case: Case) -> dict[str, Tensor]:
    """Our key -> tensor, of every tensor that is a weight."""
    roles = {name: about["role"] for name, about in case.description["tensors"].items()}
    named = {our_key(key): value for key, value in case.tensors().items() if roles.get(key) == "weight"}
    return {key: value for key, value in named.items() if key is not None}


def loaded(module: nn.Module, state: dict[str, Tensor], prefix: str = "") -> nn.Module:
    """Strictly: every weight under the prefix, and no other."""
    module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return module.eval().requires_grad_(False)


def module_config(case: Case) -> TttConfig:
    """For cases that hold the weights of a part only."""
    config = case.description["config"]
    width = config["model_dim"]
    return TttConfig(
        width=width,
        num_layers=1,
        num_heads=config["num_heads"],
        in_channels=config["in_channels"],
        out_channels=config["in_channels"],
        text_width=config["text_dim"],
        time_width=config["time_embed_dim"],
        mlp_width=4 * width,
        ssm_layer=config["ssm_layer"],
        mini_batch_size=config["mini_batch_size"],
        base_lr=config["ttt_base_lr"],
        segment_latent_frames=config["attn_length"],
    )


def sequence_of(case: Case) -> SequenceInfo:
    config = case.description["config"]
    grid = (config["latent_frames"], config["grid_h"], config["grid_w"])
    extent = Extent(config["num_segments"], config["text_len"], grid[0], grid[1] * grid[2], config["attn_length"])
    positions = rotations(config["model_dim"] // config["num_heads"], grid)
    return SequenceInfo(
        extent, positions, scan_orders(extent, config["mini_batch_size"], positions), SingleRankLayout()
    )


def tokens_of(sequence: SequenceInfo, text: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
    """(1, n*L, D), (1, T*S, D) -> (1, n, L, D), (1, T, S, D)."""
    extent = sequence.extent
    return (
        text.unflatten(1, (extent.num_segments, extent.text_tokens)),
        video.unflatten(1, (extent.latent_frames, extent.tokens_per_frame)),
    )


def compare(case: Case, ours: dict[str, Tensor]) -> None:
    """Every tensor that the case names and states a tolerance for, at that tolerance."""
    named = case.tensors()
    compared = 0
    for pattern, about in case.description["tolerance"].items():
        for name in sorted(name for name in named if fnmatch(name, pattern) and pattern != "observed"):
            assert name in ours, f"{case.name}: {name} is not computed"
            golden = named[name].float()
            assert_close(ours[name].view_as(golden).float(), golden, about["fp32_atol"], what=f"{case.name} {name}")
            compared += 1
    assert compared, f"{case.name}: nothing compared"


def is_network(description: Description) -> bool:
    return has(description, "in.video", "in.text", "in.timestep", "out.kernel")


def network_of(case: Case) -> TttVideo:
    state = weights_of(case)
    network = TttVideo(config_from({key: tuple(value.shape) for key, value in state.items()}, settings_of(case)))
    loaded(network, state)
    return network


def run(network: TttVideo, case: Case, dtype: torch.dtype = torch.float32) -> Tensor:
    tensors = case.tensors()
    x, text = tensors["in.video"].transpose(1, 2).to(dtype), tensors["in.text"].to(dtype)
    text = text[:, None] if text.dim() == 3 else text
    return network(x, tensors["in.timestep"][:, None].expand(-1, x.shape[2]), text).transpose(1, 2)


@kind("ttt_network", recognises=is_network)
def float32(case: Case) -> None:
    network, ours = network_of(case), {}
    ours["out.kernel"] = run(network, case)
    if "out.torch_path" in case.description["tolerance"]:
        for module in network.modules():
            if isinstance(module, TttLayer):
                module.scan = dual_scan(sequence_of(case).extent)
        ours["out.torch_path"] = run(network, case)
    compare(case, ours)


@kind("ttt_network", recognises=is_network)
def bfloat16(case: Case) -> None:
    """In bfloat16 as near to the case's float32 output as the original in bfloat16 is, within a factor."""
    observed = case.description["tolerance"].get("observed", {}).get(BF16_OBSERVED)
    assert observed is None or observed > 0, f"{case.name}: {BF16_OBSERVED} is {observed}"
    golden = case.tensors()["out.kernel"].float()
    atol = BF16_FACTOR * observed if observed else BF16_SHARE * golden.abs().max().item()
    assert_close(run(network_of(case).bfloat16(), case, torch.bfloat16).float(), golden, atol, what=case.name)


@kind("ttt_block", recognises=lambda d: has(d, "in.video", "in.text", "in.t_emb", "out.video", "out.text"))
def check_block(case: Case) -> None:
    tensors, sequence = case.tensors(), sequence_of(case)
    layer = TransformerLayer(module_config(case))
    loaded(layer, weights_of(case), "layers.0.")
    text, video = layer(
        *tokens_of(sequence, tensors["in.text"], tensors["in.video"]), F.silu(tensors["in.t_emb"]), sequence
    )
    compare(case, {"out.text": text, "out.video": video})
    if "mid.seq_in.text" in tensors:
        block = layer.seq_modeling_block
        assert isinstance(block, SeqModelingBlock)
        middle = block(*tokens_of(sequence, tensors["mid.seq_in.text"], tensors["mid.seq_in.video"]), sequence)
        atol = case.description["tolerance"]["out.video"]["fp32_atol"]
        for name, ours in zip(("mid.seq_out.text", "mid.seq_out.video"), middle, strict=True):
            assert_close(ours.view_as(tensors[name]), tensors[name], atol, what=f"{case.name} {name}")


def is_local_attention(description: Description) -> bool:
    return has(description, "in.video", "in.text", "out.video", "out.text") and not has(description, "in.t_emb")


@kind("ttt_local_attention", recognises=is_local_attention)
def check_local_attention(case: Case) -> None:
    tensors, sequence, config = case.tensors(), sequence_of(case), module_config(case)
    attention = LocalAttention(config.width, config.num_heads)
    loaded(attention, weights_of(case), BLOCK)
    tokens = tokens_of(sequence, tensors["in.text"], tensors["in.video"])
    text, video = attention.attend(*tokens, sequence.extent, sequence.rotations, sequence.layout)
    compare(case, {"out.text": text, "out.video": video})


@kind("ttt_layer", recognises=lambda d: has(d, "in.x", "out.kernel"))
def check_layer(case: Case) -> None:
    tensors, sequence = case.tensors(), sequence_of(case)
    layer = TttLayer(module_config(case))
    loaded(layer, weights_of(case), BLOCK + "ssm.ttt.")
    extent, order = sequence.extent, sequence.orders[0]
    tokens = tokens_of(sequence, tensors["in.x"][:, : extent.num_text], tensors["in.x"][:, extent.num_text :])
    streams = layer.streams(*tokens, sequence)
    weights, norm = layer.inner(sequence.layout)
    recalled, final = scan(weights, norm, streams, order, layer.mini_batch_size)
    q, k = (
        rotate_pairs(F.normalize(x[:, order.tokens], dim=-1), order.rotations[:, None]) for x in (streams.q, streams.k)
    )
    goal = norm.gamma * standardised(streams.v[:, order.tokens] - k) + norm.beta + k
    ours = dict(zip(("final.W1", "final.b1", "final.W2", "final.b2"), final, strict=False))
    for name, x in {"mid.XQ": q, "mid.XK": k, "mid.XV": goal}.items():
        ours[name] = x.unflatten(1, (-1, layer.mini_batch_size)).permute(0, 3, 1, 2, 4).contiguous()
    ours["mid.eta_last"] = streams.steps[:, order.steps].transpose(1, 2).contiguous()
    ours["mid.inner_kernel"] = recalled[:, order.tokens].flatten(2)
    ours["mid.permutation"] = interleaved(extent)
    ours["out.kernel"] = flat(layer(*tokens, sequence, order))
    layer.scan = dual_scan(extent)
    ours["out.torch_path"] = flat(layer(*tokens, sequence, order))
    compare(case, ours)


def flat(tokens: tuple[Tensor, Tensor]) -> Tensor:
    return torch.cat([x.flatten(1, 2) for x in tokens], dim=1)


@kind("ttt_inner_scan", recognises=lambda d: has(d, "in.XQ", "in.XK", "in.XV", "in.eta", "out.kernel"))
def check_inner_scan(case: Case) -> None:
    tensors = case.tensors()
    norm = InnerNorm(tensors["ttt_norm_weight"], tensors["ttt_norm_bias"])
    gamma, beta = (x[:, None, None] for x in (norm.gamma, norm.beta))
    q, k, goal = (tensors[name] for name in ("in.XQ", "in.XK", "in.XV"))  # (1, A, M, C, d)
    group = Group(*(group_form(x) for x in (q, k, gamma * (goal - k - beta), tensors["in.eta"][..., None])))
    weights = tuple(tensors[name].clone() for name in ("W1", "b1", "W2", "b2") if name in tensors)
    recalled = recall_group(eager_step(weights), weights, norm.gamma[:, None], group)
    out = group.q + inner_norm(recalled) * norm.gamma[:, None] + norm.beta[:, None]
    compare(case, {"out.kernel": unfolded(out, 1).flatten(2)})
    for name, ours in zip(("W1", "b1", "W2", "b2"), weights, strict=False):
        for golden, part in ((f"final.{name}", ours), (f"final.{name}_first_row", ours[:, :1])):
            if golden in tensors:
                assert_close(part, tensors[golden], 1e-5, what=f"{case.name} {golden}")


def group_form(x: Tensor) -> Tensor:
    """(1, A, M, C, ...) -> (M, A, C, ...)."""
    return x[0].transpose(0, 1).contiguous()
