"""A loaded model: the network that every rank holds, and the codecs that rank 0 needs.

Comes in: what a family's ``load_model`` has read. Goes out: one value for the runtime. Does not know families, devices
or jobs.

Letters: B batch, C latent channels, T latent frames, h w latent size, L text length, D text width, F H W frames.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.storage.media import Frames

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Autoencoder(Protocol):
    """A module: ``encode`` (F, H, W, 3) uint8 -> (1, C, T, h, w) float32 in the network's scale; ``decode`` gives T
    parts (F_i, H, W, 3) uint8, one for each latent frame."""

    def encode(self, frames: Frames) -> Tensor: ...
    def decode(self, latents: Tensor) -> Iterator[Frames]: ...


def blocks_of(component: nn.Module) -> list[nn.Module]:
    """The transformer blocks of a network in the order in which they run: its ``blocks``. None of another component."""
    blocks = getattr(component, "blocks", None)
    return list(blocks) if isinstance(blocks, nn.ModuleList) else []


@dataclass(frozen=True, slots=True)
class Codecs:
    """Text encoder and autoencoder, before and after the network: needed by one rank only.

    ``load_text_encoder`` gives a module ``(prompts: list[str]) -> (B, L, D)``; it is called only for prompts whose
    embedding is not on the disk already. ``autoencoder``: a module that is an ``Autoencoder``.
    """

    load_text_encoder: Callable[[], nn.Module]
    autoencoder: Any


@dataclass(frozen=True, slots=True)
class Model:
    """``network``: with ``blocks``, an ``nn.ModuleList`` (``blocks_of``). ``dtype``: of the network."""

    card: ModelCard
    network: nn.Module
    dtype: torch.dtype
    codecs: Codecs | None
