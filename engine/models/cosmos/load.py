"""The components of a Cosmos model, read from the parts that its card names.

Comes in: a card, the models' root, a precision. Goes out: a ``Model`` on the CPU. Does not know devices, jobs or where
the files came from.
"""

import importlib
from functools import partial
from pathlib import Path

from engine.contract.cards import ModelCard, Precision
from engine.models.cosmos.checkpoint import load_network
from engine.models.model import DTYPES, Ends, Model


def warm_up() -> None:
    """Imports what ``load_model`` will import for the ends, ahead of the first job."""
    for name in ("text", "autoencoder"):
        importlib.import_module(f"engine.models.cosmos.{name}")


def load_model(card: ModelCard, models_root: Path, precision: Precision, with_ends: bool) -> Model:
    """Raises Rejected("weights") for what is missing, damaged or foreign. ``precision`` is the network's."""
    network = load_network(card.parts.network.find(models_root), DTYPES[precision])
    return Model(card, network, DTYPES[precision], _load_ends(card, models_root) if with_ends else None)


def _load_ends(card: ModelCard, models_root: Path) -> Ends:
    """diffusers and transformers take seconds to import, and only the rank that has the ends needs them."""
    from engine.models.cosmos.autoencoder import load_autoencoder
    from engine.models.cosmos.text import load_text_encoder

    encoder = card.parts.text_encoder.find(models_root)
    tokenizer = card.parts.tokenizer.find(models_root) if card.parts.tokenizer else encoder
    text = partial(load_text_encoder, encoder, tokenizer, card.text.max_tokens, DTYPES[card.text.precision])
    autoencoder = load_autoencoder(card.parts.autoencoder.find(models_root), DTYPES[card.autoencoder.precision])
    return Ends(text, autoencoder)
