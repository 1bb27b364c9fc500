"""TTT-Video: our scan against its plain form and compiled, and the whole network against local attention alone.

``python -m benchmarks.ttt [--json] [--rounds N] [--no-compile] [--full-width]``. One thread. The contenders take
turns, so that a busy machine slows all of them; times are CPU seconds of the one thread, and the median of the rounds'
ratios is reported. The paper's figure: TTT-MLP costs 2.5 times local attention at 63 s on a GPU. Comes in: nothing.
Goes out: figures. Does not know jobs.

Letters: B batch, C channels, T latent frames, h w latent size, n segments, L text tokens, N all tokens, A heads,
d head width.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from engine.models.ttt.config import TttConfig
from engine.models.ttt.network import TttVideo
from engine.models.ttt.plain import scan_plain
from engine.models.ttt.rotary import rotations
from engine.models.ttt.scan import InnerNorm, Scan, Streams, Weights, scan, scan_compiled
from engine.models.ttt.scan_order import Extent, ScanOrder, scan_orders

Kind = Literal["ttt_mlp", "ttt_linear"]
MINI_BATCH: dict[Kind, int] = {"ttt_mlp": 64, "ttt_linear": 16}
"""As trained."""
HEAD_DIM = 64
SMALL = {"width": 512, "num_layers": 2, "num_segments": 3, "grid": (10, 15)}
"""150 tokens a latent frame: windows of 1,950."""
TRAINED_FRAME = {"width": 256, "num_layers": 1, "num_segments": 2, "grid": (30, 45)}
"""1,350 tokens a latent frame, as trained: windows of 17,550. Narrow: attention and scan cost the same per head."""
FULL_WIDTH = {"width": 3072, "num_layers": 1, "num_segments": 1, "grid": (30, 45)}
"""A layer of the published network on 3 s: minutes."""
TEXT_TOKENS, TEXT_WIDTH = 226, 256
SCAN_HEADS, SCAN_GRID, SCAN_SEGMENTS = 8, (8, 8), 2


def config_of(kind: Kind, width: int, num_layers: int) -> TttConfig:
    return TttConfig(
        width=width,
        num_layers=num_layers,
        num_heads=width // HEAD_DIM,
        in_channels=16,
        out_channels=16,
        text_width=TEXT_WIDTH,
        time_width=128,
        mlp_width=4 * width,
        ssm_layer=kind,
        mini_batch_size=MINI_BATCH[kind],
        base_lr=0.1,
    )


def seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def turns_taken(
    contenders: Mapping[str, Callable[[], object]], rounds: int, warm: bool = True
) -> dict[str, list[float]]:
    """CPU seconds of each, in turn. ``warm``: after a round that is not counted."""
    if warm:
        turns_taken(contenders, 1, warm=False)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            times[name].append(seconds(work))
    return times


def ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def scan_inputs(kind: Kind) -> tuple[Weights, InnerNorm, Streams, ScanOrder, int]:
    """Random streams of one small film."""
    torch.manual_seed(1)
    a, d, size = SCAN_HEADS, HEAD_DIM, MINI_BATCH[kind]
    extent = Extent(SCAN_SEGMENTS, 16, 12 * SCAN_SEGMENTS + 1, SCAN_GRID[0] * SCAN_GRID[1], 12)
    there, _ = scan_orders(extent, size, rotations(d, (extent.latent_frames, *SCAN_GRID)))
    hidden = 4 * d if kind == "ttt_mlp" else d
    weights = (torch.randn(a, d, hidden) * 0.05, torch.zeros(a, 1, hidden))
    if kind == "ttt_mlp":
        weights += (torch.randn(a, hidden, d) * 0.05, torch.zeros(a, 1, d))
    q, k, v = torch.randn(3, 1, extent.num_tokens, a, d)
    steps = torch.rand(1, extent.num_tokens, a) * 0.1 / d / size
    return weights, InnerNorm(torch.ones(a, d), torch.zeros(a, d)), Streams(q, k, v, steps), there, size


def scans(kind: Kind, rounds: int, compiled: bool) -> dict[str, float]:
    """Plain: token by token, once, since it is slow. Differences are to it."""
    given = scan_inputs(kind)
    forms: dict[str, Scan] = {"ours": scan} | ({"compiled": scan_compiled} if compiled else {})
    times = turns_taken({name: (lambda form=form: form(*given)) for name, form in forms.items()}, rounds)
    golden: list[Tensor] = []
    plain_s = seconds(lambda: golden.append(scan_plain(*given)[0]))
    difference = (scan(*given)[0] - golden[0]).abs()
    figures = {
        "num_tokens": float(given[2].q.shape[1]),
        "max_difference": difference.max().item(),
        "mean_difference": difference.mean().item(),
        "ours_s": statistics.median(times["ours"]),
        "plain_s": plain_s,
        "speedup": plain_s / statistics.median(times["ours"]),
    }
    return figures | ({"compiled_speedup": ratio(times["ours"], times["compiled"])} if compiled else {})


def networks(
    kind: Kind, width: int, num_layers: int, num_segments: int, grid: tuple[int, int], rounds: int, warm: bool = True
) -> dict[str, float]:
    """The whole network, and the same without its TTT layers, on one film."""
    config = config_of(kind, width, num_layers)
    torch.manual_seed(2)
    both = {"ttt": TttVideo(config).eval(), "local": TttVideo(replace(config, ssm_layer="none")).eval()}
    frames = num_segments * config.segment_latent_frames + 1
    x = torch.randn(1, 16, frames, 2 * grid[0], 2 * grid[1])
    text, timesteps = torch.randn(1, num_segments, TEXT_TOKENS, TEXT_WIDTH), torch.full((1, frames), 500.0)
    times = turns_taken({name: (lambda n=n: n(x, timesteps, text)) for name, n in both.items()}, rounds, warm)
    return {
        "num_tokens": float(frames * grid[0] * grid[1] + num_segments * TEXT_TOKENS),
        "ttt_s": statistics.median(times["ttt"]),
        "local_attention_s": statistics.median(times["local"]),
        "ratio": ratio(times["ttt"], times["local"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of TTT-Video's network on one thread.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--full-width", action="store_true", help="only a layer of the published width")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, dict[str, float]] = {}
    kinds: tuple[Kind, ...] = ("ttt_mlp", "ttt_linear")
    with torch.inference_mode():
        for kind in kinds:
            if options.full_width:
                figures[f"{kind}_full_width"] = networks(kind, **FULL_WIDTH, rounds=1, warm=False)
                continue
            figures[f"{kind}_scan"] = scans(kind, options.rounds, not options.no_compile)
            figures[f"{kind}_small"] = networks(kind, **SMALL, rounds=options.rounds)
            figures[f"{kind}_trained_frame"] = networks(kind, **TRAINED_FRAME, rounds=1)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, values in figures.items():
        print(name + ": " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))


if __name__ == "__main__":
    main()
