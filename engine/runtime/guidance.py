"""Classifier-free guidance, as a denoiser around a denoiser.

Comes in: a denoiser and a scale. Goes out: a denoiser. Does not know networks, samplers or noise schedules.
"""

from dataclasses import replace

import torch
from torch import Tensor

from engine.runtime.denoiser import Conditioning, Denoiser


class Guided:
    """u + scale * (c - u), Ho and Salimans 2022 (arXiv 2207.12598) in the usual convention.

    c is x0 given the text, u given the negative text. Scale 1, or no negative text, is the inner denoiser alone.
    ``batched``: both branches in one evaluation (faster); else one after the other (half the memory).
    """

    def __init__(self, inner: Denoiser, scale: float, batched: bool = True) -> None:
        self.inner, self.scale, self.batched = inner, scale, batched

    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        negative = conditioning.negative_text
        if self.scale == 1.0 or negative is None:
            return self.inner(x, sigma, replace(conditioning, negative_text=None))
        if self.batched:
            both = replace(conditioning, text=torch.cat([conditioning.text, negative]), negative_text=None)
            given, without = self.inner(torch.cat([x, x]), sigma, both).chunk(2)
        else:
            given = self.inner(x, sigma, replace(conditioning, negative_text=None))
            without = self.inner(x, sigma, replace(conditioning, text=negative, negative_text=None))
        return without + self.scale * (given - without)
