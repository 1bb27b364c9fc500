"""A plain sampler for measuring the bundled model while it is made.

In: the network, text embeddings, perhaps clean first latent frames, a seed and sampler settings. Out: normalised latents.
Does not know: the autoencoder, captions, the engine's runtime.
Legend: B batch, C channels, T h w latent frames, height and width, L text length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.models.cosmos.network import CosmosDiT

CONDITION_TIMESTEP = 1e-4


@dataclass(frozen=True, slots=True)
class Settings:
    """Karras sigmas from sigma_max to sigma_min, then zero; guidance_scale in the usual convention (1 is none)."""

    num_steps: int = 20
    guidance_scale: float = 3.0
    sigma_max: float = 80.0
    sigma_min: float = 0.02
    rho: float = 7.0
    guidance_above_sigma: float = 0.0


def sigmas(settings: Settings) -> Tensor:
    """(steps + 1,) descending, the last zero. Karras et al. 2022, equation 5."""
    ramp = torch.linspace(0, 1, settings.num_steps)
    low, high = settings.sigma_min ** (1 / settings.rho), settings.sigma_max ** (1 / settings.rho)
    return torch.cat([(high + ramp * (low - high)) ** settings.rho, torch.zeros(1)])


def denoise(network: CosmosDiT, x: Tensor, sigma: float, text: Tensor, clean: Tensor | None, num_given: int) -> Tensor:
    """x0 from x = x0 + sigma * eps, both (B, C, T, h, w); the first `num_given` latent frames are `clean`."""
    t = sigma / (1 + sigma)
    scaled = x / (1 + sigma)
    timesteps = torch.full(scaled.shape[:1] + scaled.shape[2:3], t, device=x.device)
    mask = torch.zeros_like(scaled[:, :1])
    if clean is not None and num_given:
        scaled = torch.cat([clean[:, :, :num_given], scaled[:, :, num_given:]], 2)
        timesteps[:, :num_given] = CONDITION_TIMESTEP
        mask[:, :, :num_given] = 1
    velocity = network(scaled, timesteps, text, mask).float()
    x0 = x / (1 + sigma) - t * velocity
    return torch.cat([clean[:, :, :num_given], x0[:, :, num_given:]], 2) if clean is not None else x0


@torch.no_grad()
def generate(
    network: CosmosDiT,
    text: Tensor,
    empty_text: Tensor,
    settings: Settings,
    seed: int,
    shape: tuple[int, int, int, int],
    clean: Tensor | None = None,
    num_given: int = 0,
) -> Tensor:
    """Second-order multistep (DPM-Solver++ 2M, Lu et al. 2022) in -log sigma, guided. text: (B, L, D)."""
    size, steps = len(text), sigmas(settings).tolist()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, *shape, generator=generator).to(text.device) * steps[0]
    both = torch.cat([text, empty_text.expand_as(text)])
    doubled = None if clean is None else clean.repeat(2, 1, 1, 1, 1)
    before, before_sigma = None, None
    for sigma, after in zip(steps, steps[1:], strict=False):
        if sigma < settings.guidance_above_sigma or settings.guidance_scale == 1.0:
            x0 = denoise(network, x, sigma, text, clean, num_given)
        else:
            told, free = denoise(network, x.repeat(2, 1, 1, 1, 1), sigma, both, doubled, num_given).chunk(2)
            x0 = free + settings.guidance_scale * (told - free)
        x = _step(x, x0, before, sigma, after, before_sigma)
        before, before_sigma = x0, sigma
    return x


def _step(
    x: Tensor, x0: Tensor, before: Tensor | None, sigma: float, after: float, before_sigma: float | None
) -> Tensor:
    if after == 0:
        return x0
    if before is not None and before_sigma is not None:
        log = torch.log
        h, h_before = log(torch.tensor(sigma / after)), log(torch.tensor(before_sigma / sigma))
        share = h / h_before
        x0 = (1 + share / 2) * x0 - share / 2 * before
    return after / sigma * x + (1 - after / sigma) * x0
