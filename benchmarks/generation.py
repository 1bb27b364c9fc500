"""One generation of Predict2-2B with random weights on a GPU: seconds a network pass, share of the device's matmul
rate, peak memory, seconds to decode; diffusers' network on the same weights in the same run.

``python -m benchmarks.generation [--tiny] [--steps N] [--json]``. ``--tiny``: a few tokens on the CPU, to see that it
works; its times mean nothing. Comes in: nothing. Goes out: figures. Does not know jobs, text or files.

Letters: B batch, C latent channels, T latent frames, h w latent size, D width, L text length.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from benchmarks.network import (
    TEXT_LENGTH,
    TEXT_WIDTH,
    attention_flops,
    linear_flops,
    make_theirs,
    run_theirs,
)
from engine.diffusion.denoisers import Conditioning, NetworkDenoiser
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise
from engine.diffusion.samplers import SamplerState, res_2ab, sample
from engine.diffusion.schedules import karras_sigmas
from engine.models.cosmos.autoencoder import VideoAutoencoder
from engine.models.cosmos.network import CosmosConfig, CosmosDiT

KNOWN = {"pflop_a_pass": 1.925, "passes": 72, "nvidia_h200_s": 221.7}
"""At 704 x 1280, 93 frames, 35 steps; NVIDIA's published time for a whole generation on one H200."""
MATMUL_SIZE = 8192


@dataclass(frozen=True, slots=True)
class Sizes:
    width: int
    num_blocks: int
    num_heads: int
    grid: tuple[int, int, int]
    autoencoder_dim: int


RELEASED = Sizes(width=2048, num_blocks=28, num_heads=16, grid=(24, 88, 160), autoencoder_dim=96)
TINY = Sizes(width=64, num_blocks=2, num_heads=2, grid=(2, 4, 6), autoencoder_dim=8)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    _settle(device)
    began = time.monotonic()
    work()
    _settle(device)
    return time.monotonic() - began


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_network(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> CosmosDiT:
    """Random weights, made where they are used."""
    torch.manual_seed(0)
    config = CosmosConfig(sizes.width, sizes.num_blocks, sizes.num_heads, text_width=TEXT_WIDTH)
    with torch.device(device):
        return CosmosDiT(config).to(dtype).eval().requires_grad_(False)


def matmul_rate(size: int, device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of one large product, the best of several."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / min(seconds(lambda: a @ b, device) for _ in range(10))


def generation(network: CosmosDiT, sizes: Sizes, num_steps: int, device: torch.device, dtype: torch.dtype) -> float:
    """Seconds of a whole guided run, two passes an evaluation one after the other as in NVIDIA's script."""
    text = torch.randn(2, 1, TEXT_LENGTH, TEXT_WIDTH, device=device)
    given = Conditioning(text[0], text[1], torch.randn(1, 16, 1, *sizes.grid[1:], device=device))
    guided = Guided(NetworkDenoiser(network, dtype=dtype), scale=8.0, batched=False)
    start = SamplerState(seeded_noise((1, 16, *sizes.grid), 0).to(device) * 80.0)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return guided(x, sigma, given)

    return seconds(lambda: sample(res_2ab, denoise, start, karras_sigmas(num_steps)), device)


def passes(network: CosmosDiT, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Seconds of one pass, ours and diffusers', taking turns; the largest difference of their outputs."""
    x, text = torch.randn(1, 16, *sizes.grid), torch.randn(1, TEXT_LENGTH, TEXT_WIDTH)
    timesteps, mask = torch.full((1, sizes.grid[0]), 0.7), torch.zeros(1, 1, *sizes.grid)
    x, timesteps, text, mask = (tensor.to(device, dtype) for tensor in (x, timesteps, text, mask))
    theirs = make_theirs(network).to(device, dtype)
    own = partial(network, x, timesteps, text, condition_mask=mask)
    other = partial(run_theirs, theirs, x, timesteps, text, mask)
    difference = (own().float() - other().float()).abs().max().item()
    times = [(seconds(own, device), seconds(other, device)) for _ in range(3)]
    return {
        "pass_s": statistics.median(first for first, _ in times),
        "diffusers_pass_s": statistics.median(second for _, second in times),
        "max_difference": difference,
    }


def decoding(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> float:
    """Seconds to decode the film as a stream, with Wan's autoencoder at its released size."""
    with torch.device(device):
        model = AutoencoderKLWan(base_dim=sizes.autoencoder_dim, z_dim=16).to(dtype)
    autoencoder = VideoAutoencoder(model).to(device).eval()
    latents = torch.randn(1, 16, *sizes.grid, device=device)
    return seconds(lambda: [len(part) for part in autoencoder.decode(latents)], device)


def measured(sizes: Sizes, num_steps: int, device: torch.device) -> dict[str, float]:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    network = make_network(sizes, device, dtype)
    rate = matmul_rate(MATMUL_SIZE if device.type == "cuda" else 256, device, dtype)
    flops = linear_flops(network, sizes.grid) + attention_flops(network, sizes.grid)
    figures = {"matmul_tflops": rate / 1e12, "pflop_a_pass": flops / 1e15, **passes(network, sizes, device, dtype)}
    figures["share_of_matmul"] = flops / figures["pass_s"] / rate
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    figures["denoise_s"] = generation(network, sizes, num_steps, device, dtype)
    figures["decode_s"] = decoding(sizes, device, dtype)
    if device.type == "cuda":
        figures["peak_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="One generation of Predict2-2B with random weights.")
    parser.add_argument("--tiny", action="store_true", help="a few tokens on the CPU, to see that it works")
    parser.add_argument("--steps", type=int, default=35)
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    if not flags.tiny and not torch.cuda.is_available():
        print("benchmarks.generation: not measured, this machine has no GPU (--tiny runs a few tokens on the CPU)")
        return 1
    with torch.inference_mode():
        device = torch.device("cpu" if flags.tiny else "cuda")
        figures = measured(TINY if flags.tiny else RELEASED, flags.steps, device) | KNOWN
    print(json.dumps(figures, indent=2) if flags.json else ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
