"""The three components of a Cosmos model, read from one folder.

Comes in: a card, its folder ``{tokenizer,text_encoder,autoencoder,transformer}``, a precision. Goes out: a
``CosmosModel`` on the CPU. Does not know devices, jobs or where a folder came from.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from engine.contract.cards import ModelCard, Precision
from engine.models.cosmos.autoencoder import VideoAutoencoder, load_autoencoder
from engine.models.cosmos.checkpoint import load_network
from engine.models.cosmos.network import CosmosDiT
from engine.models.cosmos.text import TextEncoder, load_text_encoder

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Ends:
    """What stands before and behind the network: needed by one rank only."""

    text_encoder: TextEncoder
    autoencoder: VideoAutoencoder


@dataclass(frozen=True, slots=True)
class CosmosModel:
    card: ModelCard
    network: CosmosDiT
    dtype: torch.dtype
    """Of the network."""
    ends: Ends | None


def load_model(card: ModelCard, folder: Path, precision: Precision, with_ends: bool) -> CosmosModel:
    """Raises Rejected("weights") for what is missing, damaged or foreign.

    ``precision`` is the network's; text encoder and autoencoder, small beside it, work in float32.
    """
    network = load_network(folder / "transformer", DTYPES[precision])
    ends = None
    if with_ends:
        text_encoder = load_text_encoder(folder, card.text.max_tokens, torch.float32)
        ends = Ends(text_encoder, load_autoencoder(folder / "autoencoder", torch.float32))
    return CosmosModel(card, network, DTYPES[precision], ends)
