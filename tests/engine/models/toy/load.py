"""The toy family's torch half: what a new family puts in ``engine/models/NAME/load.py``. Its films have one brightness.

Letters: B batch, C latent channels, T latent frames, h w latent size, L text length, F H W frames.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.layers.attention import TokenLayout
from engine.models.model import DTYPES, Autoencoder, Codecs, Loader, Model, Network, TextEncoder
from engine.storage.card_files import find_part
from engine.storage.media import Frames
from tests.engine.models.toy.traits import ToySettings

FACTOR = 8


class ToyNetwork(Network):
    """Predicts the velocity that leads from any noise to one brightness, whatever the text."""

    def __init__(self, brightness: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.register_buffer("target", torch.tensor(brightness))

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
        """x = (1 - t) x0 + t noise -> noise - x0, for an x0 of ``target`` everywhere."""
        return (x - self.target) / timesteps[:, None, :, None, None]


class ToyTextEncoder(TextEncoder):
    def forward(self, prompts: list[str], max_tokens: int) -> Tensor:
        return torch.zeros(len(prompts), max_tokens, 1)


class ToyAutoencoder(Autoencoder):
    """One latent pixel for a square of FACTOR pixels, one latent frame for each frame; channels are colours."""

    def encode(self, frames: Frames) -> Tensor:
        small = torch.from_numpy(np.array(frames[:, ::FACTOR, ::FACTOR])).float() / 127.5 - 1.0
        return small.permute(3, 0, 1, 2)[None]

    def decode(self, latents: Tensor) -> Iterator[Frames]:
        levels = ((latents[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()
        for picture in levels.repeat(FACTOR, axis=1).repeat(FACTOR, axis=2):
            yield picture[None]


def load_model(card: ModelCard, models_root: Path, precision: Precision, with_codecs: bool) -> Model:
    settings = card.settings_as(ToySettings)
    assert settings is not None and find_part(card.parts.network, models_root).is_file()
    codecs = Codecs(ToyTextEncoder, ToyAutoencoder()) if with_codecs else None
    return Model(card, ToyNetwork(settings.brightness), DTYPES[precision], codecs)


LOADER = Loader(load_model, lambda: None)
