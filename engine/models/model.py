"""A loaded model: the network that every rank holds, the text encoder and autoencoder that one rank needs.

Comes in: what a family's ``load_model`` has read. Goes out: one value for the runtime, and the types that a family
implements: ``Network``, ``TextEncoder``, ``Autoencoder``, ``Loader``. Does not know families, devices or jobs.

The three are base classes, not protocols, because the runtime moves them between devices as modules.

Letters: B batch, C latent channels, T latent frames, h w latent size, L text length, D text width, F H W frames.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.layers.attention import TokenLayout
from engine.storage.media import Frames

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Network(nn.Module, ABC):
    """The bare network. Its ``blocks``, an ``nn.ModuleList``, are what an offload by block moves (``blocks_of``)."""

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        text: Tensor,
        condition_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        fps: float | None = None,
        layout: TokenLayout | None = None,
    ) -> Tensor:
        """One evaluation. x: (B, C, T, h, w) as the network takes it. timesteps: (B, T). text: (B, L, D), of a joint
        model (B, segments, L, D). condition_mask: (B, 1, T, h, w), 1 on conditioning frames. -> (B, C, T, h, w)."""

    if TYPE_CHECKING:
        __call__ = forward


class TextEncoder(nn.Module, ABC):
    @abstractmethod
    def forward(self, prompts: list[str], max_tokens: int) -> Tensor:
        """-> (B, L, D), L = ``max_tokens``."""

    if TYPE_CHECKING:
        __call__ = forward


class Autoencoder(nn.Module, ABC):
    @abstractmethod
    def encode(self, frames: Frames) -> Tensor:
        """(F, H, W, 3) uint8 -> (1, C, T, h, w) float32 in the network's scale."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Iterator[Frames]:
        """(1, C, T, h, w) -> T parts (F_i, H, W, 3) uint8, one for each latent frame."""


def blocks_of(component: nn.Module) -> list[nn.Module]:
    """The transformer blocks of a network in the order in which they run: its ``blocks``. None of another component."""
    blocks = getattr(component, "blocks", None)
    return list(blocks) if isinstance(blocks, nn.ModuleList) else []


@dataclass(frozen=True, slots=True)
class Codecs:
    """What one rank needs beside the network. ``load_text_encoder`` is called only for prompts whose embedding is not
    on the disk already."""

    load_text_encoder: Callable[[], TextEncoder]
    autoencoder: Autoencoder


@dataclass(frozen=True, slots=True)
class Model:
    """``network``: with ``blocks``, an ``nn.ModuleList`` (``blocks_of``). ``dtype``: of the network."""

    card: ModelCard
    network: Network
    dtype: torch.dtype
    codecs: Codecs | None


class LoadModel(Protocol):
    def __call__(self, card: ModelCard, models_root: Path, precision: Precision, with_codecs: bool) -> Model:
        """The model on the CPU. Raises Rejected("weights") or ("model")."""
        ...


@dataclass(frozen=True, slots=True)
class Loader:
    """What a family's loading module hands out as ``LOADER``. ``warm_up``: imports what ``load_model`` will need."""

    load_model: LoadModel
    warm_up: Callable[[], None]
