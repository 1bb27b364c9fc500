"""The three components of a Cosmos model, read from one folder.

Comes in: a card, its folder ``{tokenizer,text_encoder,autoencoder,transformer}``, a precision. Goes out: a
``CosmosModel`` on the CPU. Does not know devices, jobs or where a folder came from.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engine.contract.cards import ModelCard, Precision
from engine.models.cosmos.checkpoint import load_network
from engine.models.cosmos.network import CosmosDiT

if TYPE_CHECKING:  # diffusers and transformers take seconds to import, and only the rank that has the ends needs them
    from engine.models.cosmos.autoencoder import VideoAutoencoder
    from engine.models.cosmos.text import TextEncoder

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Ends:
    """What stands before and behind the network: needed by one rank only."""

    text_encoder: "TextEncoder"
    autoencoder: "VideoAutoencoder"


@dataclass(frozen=True, slots=True)
class CosmosModel:
    card: ModelCard
    network: CosmosDiT
    dtype: torch.dtype
    """Of the network."""
    ends: Ends | None


def warm_up() -> None:
    """Imports what ``load_model`` will import for the ends, ahead of the first job."""
    for name in ("text", "autoencoder"):
        importlib.import_module(f"engine.models.cosmos.{name}")


def load_model(card: ModelCard, folder: Path, precision: Precision, with_ends: bool) -> CosmosModel:
    """Raises Rejected("weights") for what is missing, damaged or foreign.

    ``precision`` is the network's; text encoder and autoencoder, small beside it, work in float32.
    """
    network = load_network(folder / "transformer", DTYPES[precision])
    return CosmosModel(card, network, DTYPES[precision], _load_ends(card, folder) if with_ends else None)


def _load_ends(card: ModelCard, folder: Path) -> Ends:
    from engine.models.cosmos.autoencoder import load_autoencoder
    from engine.models.cosmos.text import load_text_encoder

    text_encoder = load_text_encoder(folder, card.text.max_tokens, torch.float32)
    return Ends(text_encoder, load_autoencoder(folder / "autoencoder", torch.float32))
