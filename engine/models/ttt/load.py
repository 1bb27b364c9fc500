"""The components of a TTT-Video model, read from the parts that its card names.

Comes in: a card, the models' root, a precision. Goes out: a ``Model`` on the CPU. Does not know devices, jobs or where
the files came from.
"""

import importlib
from functools import partial
from pathlib import Path

from engine.checkpoints.lora import read_lora
from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.families.ttt import TttSettings
from engine.models.model import DTYPES, Codecs, Loader, Model
from engine.models.ttt.checkpoint import load_network
from engine.storage.card_files import find_part


def warm_up() -> None:
    """Imports what ``load_model`` will import for the codecs, ahead of the first job."""
    for name in ("text", "autoencoder"):
        importlib.import_module(f"engine.models.ttt.{name}")


def load_model(card: ModelCard, models_root: Path, precision: Precision, with_codecs: bool) -> Model:
    """Raises Rejected("weights") for what is missing, damaged or foreign. ``precision`` is the network's."""
    settings = card.settings_as(TttSettings)
    if settings is None:
        raise Rejected("model", f"{card.name}: a card of family ttt needs the group `ttt`. Correct the card.")
    loras = tuple(read_lora(models_root / lora.path, lora.strength) for lora in card.loras)
    network = load_network(find_part(card.parts.network, models_root), settings, DTYPES[precision], loras)
    return Model(card, network, DTYPES[precision], _load_codecs(card, models_root) if with_codecs else None)


def _load_codecs(card: ModelCard, models_root: Path) -> Codecs:
    """diffusers and transformers take seconds to import, and only the rank that has the codecs needs them."""
    from engine.models.ttt.autoencoder import load_autoencoder
    from engine.models.ttt.text import load_text_encoder

    encoder = find_part(card.parts.text_encoder, models_root)
    tokenizer = find_part(card.parts.tokenizer, models_root) if card.parts.tokenizer else encoder
    text = partial(load_text_encoder, encoder, tokenizer, DTYPES[card.text.precision])
    sizes, place = card.autoencoder, find_part(card.parts.autoencoder, models_root)
    return Codecs(text, load_autoencoder(place, sizes.scale, DTYPES[sizes.precision]))


LOADER = Loader(load_model, warm_up)
