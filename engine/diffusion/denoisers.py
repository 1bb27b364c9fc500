"""Denoisers: ``(x, sigma, conditioning) -> x0``, made of a bare network and the meaning of its output.

Comes in: a noisy latent x, its noise level sigma and what the film should show. Goes out: the estimate of x0. Does not
know samplers, guidance, previews or ranks (the network's ``TokenLayout`` does).

x = x0 + sigma * noise (the variables of Karras et al. 2022, arXiv 2206.00364), but for ``ZeroSnrDenoiser``: x = alpha *
x0 + sigma * noise with alpha^2 + sigma^2 = 1 (Salimans and Ho 2022, arXiv 2202.00512).

Letters: B batch, C latent channels, T latent frames, h w latent size, L text length.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

import torch
from torch import Tensor

from engine.diffusion.noise import DrawNoise
from engine.diffusion.schedules import sigma_of, zero_snr_levels
from engine.layers.attention import TokenLayout
from engine.models.model import Network

SIGMA_CONDITIONAL = 1e-4
"""Noise level that the network gets for clean conditioning frames (Cosmos-Predict2)."""
SIGMA_AUGMENT = 1e-3
"""Noise level of the conditioning frames in the network's input (Cosmos-Predict1)."""


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What one sampler call is conditioned on.

    text: (B, L, Dtext). negative_text: the same shape, or None. frames: clean latents of the first frames,
    (1, C, T0, h, w) with T0 of at least 1 and less than T, or None. fps: of the film, for networks that read it.
    """

    text: Tensor
    negative_text: Tensor | None = None
    frames: Tensor | None = None
    fps: float | None = None


class Denoiser(Protocol):
    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        """x (B, C, T, h, w) float32 at noise level ``sigma`` -> x0 of the same shape, float32."""
        ...


@dataclass(frozen=True, slots=True)
class Scaling:
    """x0 = skip * x + out * network(in_ * x, noise), Karras et al. 2022, equation 7."""

    skip: float
    out: float
    in_: float
    noise: float


def rectified_flow(sigma: float) -> Scaling:
    """Cosmos-Predict2: t = sigma / (1 + sigma), the network gives the velocity noise - x0 of (1 - t) x0 + t noise."""
    t = sigma / (1.0 + sigma)
    return Scaling(skip=1.0 - t, out=-t, in_=1.0 - t, noise=t)


def edm(sigma: float, sigma_data: float = 0.5) -> Scaling:
    """Karras et al. 2022, table 1, as Cosmos-Predict1 uses it."""
    total = sigma**2 + sigma_data**2
    return Scaling(
        skip=sigma_data**2 / total,
        out=sigma * sigma_data / math.sqrt(total),
        in_=1.0 / math.sqrt(total),
        noise=0.25 * math.log(sigma),
    )


def v_prediction(sigma: float) -> Scaling:
    """Salimans and Ho 2022 (arXiv 2202.00512): v = cos(a) noise - sin(a) x0, with tan(a) = sigma; noise is 2a / pi."""
    total = 1.0 + sigma**2
    return Scaling(
        skip=1.0 / total,
        out=-sigma / math.sqrt(total),
        in_=1.0 / math.sqrt(total),
        noise=2.0 / math.pi * math.atan(sigma),
    )


class NetworkDenoiser:
    """The denoiser of a network, with conditioning frames by replacement (Cosmos-Predict2 "frame_replace").

    On conditioning frames the network sees the clean latents (over ``sigma_data``, never scaled by ``in_``) at the
    noise level SIGMA_CONDITIONAL, and their x0 is the clean latent itself, in every guidance branch.
    """

    def __init__(
        self,
        network: Network,
        scaling: Callable[[float], Scaling] = rectified_flow,
        dtype: torch.dtype = torch.float32,
        layout: TokenLayout | None = None,
        sigma_data: float = 1.0,
    ) -> None:
        self.network, self.scaling, self.dtype, self.layout = network, scaling, dtype, layout
        self.sigma_data = sigma_data

    @torch.inference_mode()
    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        scaling, clean = self.scaling(sigma), conditioning.frames
        seen = x * scaling.in_
        timesteps = torch.full((x.shape[0], x.shape[2]), scaling.noise, dtype=torch.float32, device=x.device)
        num_clean = 0 if clean is None else clean.shape[2]
        if clean is not None:
            seen = _replace(seen, clean / self.sigma_data)
            timesteps[:, :num_clean] = self.scaling(SIGMA_CONDITIONAL).noise
        output = _evaluated(self, seen, timesteps, num_clean, conditioning)
        x0 = scaling.skip * x + scaling.out * output
        return x0 if clean is None else _replace(x0, clean)


class AugmentedFramesDenoiser:
    """The denoiser of an EDM network with slightly noisy conditioning frames in its input (Cosmos-Predict1).

    Above the level SIGMA_AUGMENT the network sees them with noise of that level, scaled as at that level, whatever the
    level of the rest; it gets one noise level for all frames, and their x0 is the clean latent. At lower levels they
    are frames like the others. NVIDIA's script answers clean + skip * x * (1 - out) there, which is not the inverse of
    its own scaling: its frames end 1.588 times too large. ``noise`` is drawn for all of x, so that a seed means the
    same whatever the number of conditioning frames.
    """

    def __init__(
        self,
        network: Network,
        noise: DrawNoise,
        dtype: torch.dtype = torch.float32,
        layout: TokenLayout | None = None,
        sigma_data: float = 0.5,
    ) -> None:
        self.network, self.dtype, self.layout = network, dtype, layout
        self.scaling: Callable[[float], Scaling] = partial(edm, sigma_data=sigma_data)
        self.noise = cache(noise)

    @torch.inference_mode()
    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        scaling = self.scaling(sigma)
        frames = conditioning.frames if sigma > SIGMA_AUGMENT else None
        num_clean = 0 if frames is None else frames.shape[2]
        if frames is not None:
            x = self.placed(x, sigma, frames)
        timesteps = torch.full((x.shape[0], x.shape[2]), scaling.noise, dtype=torch.float32, device=x.device)
        output = _evaluated(self, x * scaling.in_, timesteps, num_clean, conditioning)
        x0 = scaling.skip * x + scaling.out * output
        return x0 if frames is None else _replace(x0, frames)

    def placed(self, x: Tensor, sigma: float, frames: Tensor) -> Tensor:
        """x with its first frames such that the network, which sees in_(sigma) * x, sees in_(SIGMA_AUGMENT) * them."""
        noise = self.noise((1, *x.shape[1:]))[:, :, : frames.shape[2]].to(x)
        augmented = frames + SIGMA_AUGMENT * noise
        return _replace(x, augmented * (self.scaling(SIGMA_AUGMENT).in_ / self.scaling(sigma).in_))


class ZeroSnrDenoiser:
    """x0 = alpha * x - sigma * v, the network's output, at the level's own timestep.

    alpha is that of the nearest of the 1000 trained levels (and sigma what belongs to it), as the authors' denoiser
    combines them; the timestep stays the run's own. Levels: those of ``zero_snr_sigmas(num_steps)``, looked up exactly.
    """

    def __init__(
        self,
        network: Network,
        num_steps: int,
        dtype: torch.dtype = torch.float32,
        layout: TokenLayout | None = None,
        shift: float = 1.0,
    ) -> None:
        self.network, self.dtype, self.layout = network, dtype, layout
        self.levels = zero_snr_levels(num_steps, shift)

    @torch.inference_mode()
    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        """x (B, C, T, h, w) float32 -> x0 of the same shape, float32."""
        assert conditioning.frames is None, "networks of this schedule take no conditioning frames"
        timestep, alpha = self.levels[sigma]
        timesteps = torch.full((x.shape[0], x.shape[2]), timestep, dtype=torch.float32, device=x.device)
        text = conditioning.text.to(self.dtype)
        v = self.network(x.to(self.dtype), timesteps.to(self.dtype), text, fps=conditioning.fps, layout=self.layout)
        return alpha * x - sigma_of(alpha) * v.float()


def _evaluated(
    denoiser: NetworkDenoiser | AugmentedFramesDenoiser,
    seen: Tensor,
    timesteps: Tensor,
    num_clean: int,
    conditioning: Conditioning,
) -> Tensor:
    """One evaluation in the network's own dtype, the first ``num_clean`` frames marked as conditioning. -> float32."""
    dtype = denoiser.dtype
    mask = seen.new_zeros(seen.shape[0], 1, *seen.shape[2:])
    mask[:, :, :num_clean] = 1.0
    output = denoiser.network(
        seen.to(dtype),
        timesteps.to(dtype),
        conditioning.text.to(dtype),
        condition_mask=mask.to(dtype),
        fps=conditioning.fps,
        layout=denoiser.layout,
    )
    return output.float()


def _replace(x: Tensor, frames: Tensor) -> Tensor:
    """x (B, C, T, h, w) with its first frames replaced by ``frames`` (1, C, T0, h, w)."""
    x = x.clone()
    x[:, :, : frames.shape[2]] = frames
    return x
