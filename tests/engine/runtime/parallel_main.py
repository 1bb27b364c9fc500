"""Run by each rank: samples latents of the tiny network split over all ranks, on the ranks' device; saves them."""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.diffusion.denoisers import Conditioning, NetworkDenoiser
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise
from engine.diffusion.samplers import SamplerState, res_2ab, sample
from engine.diffusion.schedules import karras_sigmas
from engine.models.cosmos.checkpoint import load_network
from engine.runtime.ranks import Ulysses, connect


def main(network_folder: Path, output: Path) -> None:
    torch.set_num_threads(1)
    ranks = connect()
    layout = Ulysses(ranks) if ranks.size > 1 else None
    network = load_network(network_folder, torch.float32).to(ranks.device)
    channels = network.config.in_channels
    text, negative = seeded_noise((2, 1, 5, network.config.text_width), 11).to(ranks.device)
    frames = seeded_noise((1, channels, 1, 6, 10), 12).to(ranks.device)
    conditioning = Conditioning(text, negative, frames)
    denoiser = Guided(NetworkDenoiser(network, layout=layout), 3.0)
    noise = seeded_noise((1, channels, 3, 6, 10), 13).to(ranks.device)  # 15 tokens a frame: padded
    start = SamplerState(noise * 80.0)
    latents = sample(res_2ab, lambda x, s: denoiser(x, s, conditioning), start, karras_sigmas(8))
    same = ranks.share_tensors(lambda: {"latents": latents})["latents"]
    ranks.together(lambda: check(torch.equal(same, latents)))
    if ranks.leads:
        save_file({"latents": latents.cpu(), "num_ranks": torch.tensor(ranks.size)}, output)
    ranks.agree(0)
    sys.stdout.flush()
    os._exit(0)  # as the worker leaves: taking the group down one rank before the other may abort either


def check(equal: bool) -> None:
    assert equal, "every rank holds the same latents"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
