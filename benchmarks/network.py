"""Our network against diffusers' ``CosmosTransformer3DModel`` on equal weights, and against the machine's matmul rate.

``python -m benchmarks.network [--json] [--rounds N]``. One thread. The contenders take turns, so that a busy machine
slows all of them; times are CPU seconds of the one thread, and the median of the rounds' ratios is reported. Comes in:
nothing. Goes out: figures. Does not know jobs.

Letters: B batch, C channels, T latent frames, h w latent size, D width, L text length.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers import transformer_cosmos
from torch import Tensor

from engine.models.cosmos.network import CosmosConfig, CosmosDiT

THEIR_NAMES: tuple[tuple[str, str], ...] = (
    ("patch_embed.", "patch_embed.proj."),
    ("time_embed.linear_", "time_embed.t_embedder.linear_"),
    ("final.modulation.down", "norm_out.linear_1"),
    ("final.modulation.up", "norm_out.linear_2"),
    ("final.linear", "proj_out"),
    ("blocks.", "transformer_blocks."),
    ("modulation_self_attn.", "norm1."),
    ("modulation_cross_attn.", "norm2."),
    ("modulation_mlp.", "norm3."),
    ("norm1.down", "norm1.linear_1"),
    ("norm1.up", "norm1.linear_2"),
    ("norm2.down", "norm2.linear_1"),
    ("norm2.up", "norm2.linear_2"),
    ("norm3.down", "norm3.linear_1"),
    ("norm3.up", "norm3.linear_2"),
    ("self_attn.", "attn1."),
    ("cross_attn.", "attn2."),
    (".q_norm", ".norm_q"),
    (".k_norm", ".norm_k"),
    (".out.", ".to_out.0."),
    ("mlp.up", "ff.net.0.proj"),
    ("mlp.down", "ff.net.2"),
)
"""Our key -> theirs, in order."""

SMALL = {"width": 256, "num_blocks": 4, "num_heads": 4, "grid": (5, 16, 24)}
"""480 tokens."""
LARGE = {"width": 1024, "num_blocks": 2, "num_heads": 8, "grid": (9, 32, 48)}
"""3,456 tokens."""
TEXT_LENGTH, TEXT_WIDTH = 512, 1024
MATMUL_SIZE = 2048


def their_key(key: str) -> str:
    for ours, theirs in THEIR_NAMES:
        key = key.replace(ours, theirs)
    for name in "qkv":
        key = key.replace(f"attn1.{name}.", f"attn1.to_{name}.").replace(f"attn2.{name}.", f"attn2.to_{name}.")
    return key


def nearest_resize(mask: Tensor, size: list[int], interpolation: object) -> Tensor:
    return F.interpolate(mask, size, mode="nearest")


def make_ours(width: int, num_blocks: int, num_heads: int) -> CosmosDiT:
    torch.manual_seed(0)
    config = CosmosConfig(width=width, num_blocks=num_blocks, num_heads=num_heads, text_width=TEXT_WIDTH)
    return CosmosDiT(config).eval().requires_grad_(False)


def make_theirs(ours: CosmosDiT) -> Any:
    """diffusers' network with our weights, its q/k norm epsilon ours, its torchvision resize a nearest one."""
    nearest = SimpleNamespace(resize=nearest_resize)
    transformer_cosmos.transforms = SimpleNamespace(functional=nearest, InterpolationMode=SimpleNamespace(NEAREST=0))
    config = ours.config
    theirs = transformer_cosmos.CosmosTransformer3DModel(
        in_channels=config.in_channels + 1,
        out_channels=config.out_channels,
        num_attention_heads=config.num_heads,
        attention_head_dim=config.head_dim,
        num_layers=config.num_blocks,
        mlp_ratio=config.mlp_ratio,
        text_embed_dim=config.text_width,
        adaln_lora_dim=config.adaln_lora_dim,
        rope_scale=(config.rope_ratio_t, config.rope_ratio_h, config.rope_ratio_w),
        concat_padding_mask=True,
        extra_pos_embed_type=None,
    )
    theirs.load_state_dict({their_key(key): value for key, value in ours.state_dict().items()})
    for module in theirs.modules():
        if type(module).__name__ == "RMSNorm":
            module.eps = 1e-6
    return theirs.eval().requires_grad_(False)


def inputs(grid: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x (1, 16, T, h, w), timesteps (1, T) of which the first is a conditioning frame's, text, condition mask."""
    torch.manual_seed(1)
    x, text = torch.randn(1, 16, *grid), torch.randn(1, TEXT_LENGTH, TEXT_WIDTH)
    timesteps, mask = torch.full((1, grid[0]), 0.7), torch.zeros(1, 1, *grid)
    timesteps[:, 0], mask[:, :, 0] = 1e-4, 1.0
    return x, timesteps, text, mask


def run_theirs(theirs: Any, x: Tensor, timesteps: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    padding = x.new_zeros(1, 1, x.shape[3] * 8, x.shape[4] * 8)
    per_frame = timesteps[:, None, :, None, None]
    return theirs(x, per_frame, text, condition_mask=mask, padding_mask=padding, fps=None, return_dict=False)[0]


def seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def num_tokens(ours: CosmosDiT, grid: tuple[int, int, int]) -> int:
    return grid[0] * grid[1] * grid[2] // ours.config.patch_spatial**2


def linear_flops(ours: CosmosDiT, grid: tuple[int, int, int]) -> int:
    """Of all linear layers: per token, per latent frame or per text token, as each works."""
    rows = {"patch_embed": num_tokens(ours, grid), "final.linear": num_tokens(ours, grid), "norm": 0}
    rows |= {"cross_attn.k": TEXT_LENGTH, "cross_attn.v": TEXT_LENGTH, "modulation": grid[0], "time_embed": grid[0]}
    total = 0
    for name, weight in ours.named_parameters():
        found = [count for part, count in rows.items() if part in name and weight.dim() == 2]
        total += 2 * weight.numel() * (found[0] if found else num_tokens(ours, grid)) * (weight.dim() == 2)
    return total


def attention_flops(ours: CosmosDiT, grid: tuple[int, int, int]) -> int:
    """Queries times keys, and weights times values: of tokens with tokens, and of tokens with text."""
    tokens, config = num_tokens(ours, grid), ours.config
    return config.num_blocks * 4 * tokens * (tokens + TEXT_LENGTH) * config.width


def against_diffusers(rounds: int) -> dict[str, float]:
    ours = make_ours(SMALL["width"], SMALL["num_blocks"], SMALL["num_heads"])
    theirs, given = make_theirs(ours), inputs(SMALL["grid"])
    x, timesteps, text, mask = given
    difference = (ours(x, timesteps, text, condition_mask=mask) - run_theirs(theirs, *given)).abs()
    times = [
        (seconds(lambda: ours(x, timesteps, text, condition_mask=mask)), seconds(lambda: run_theirs(theirs, *given)))
        for _ in range(rounds)
    ]
    return {
        "max_difference": difference.max().item(),
        "ours_s": statistics.median(own for own, _ in times),
        "diffusers_s": statistics.median(other for _, other in times),
        "speedup": statistics.median(other / own for own, other in times),
    }


def against_matmul(rounds: int) -> dict[str, float]:
    ours = make_ours(LARGE["width"], LARGE["num_blocks"], LARGE["num_heads"])
    theirs, given = make_theirs(ours), inputs(LARGE["grid"])
    x, timesteps, text, mask = given
    a, b = torch.randn(2, MATMUL_SIZE, MATMUL_SIZE)
    flops = linear_flops(ours, LARGE["grid"]) + attention_flops(ours, LARGE["grid"])
    matmul_flops = 2 * MATMUL_SIZE**3
    shares: list[tuple[float, float, float]] = []
    for _ in range(rounds + 1):
        before = seconds(lambda: a @ b)
        own = seconds(lambda: ours(x, timesteps, text, condition_mask=mask))
        between = seconds(lambda: a @ b)
        other = seconds(lambda: run_theirs(theirs, *given))
        rate = 2 * matmul_flops / (before + between)
        shares.append((rate, flops / own / rate, flops / other / rate))
    shares = shares[1:]
    return {
        "matmul_gflops": statistics.median(rate for rate, _, _ in shares) / 1e9,
        "share_of_matmul": statistics.median(own for _, own, _ in shares),
        "diffusers_share_of_matmul": statistics.median(other for _, _, other in shares),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the network on one thread.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        figures = {"tokens_480": against_diffusers(options.rounds)}
        figures["tokens_3456"] = against_matmul(max(3, options.rounds // 4))
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, values in figures.items():
        print(name + ": " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))


if __name__ == "__main__":
    main()
