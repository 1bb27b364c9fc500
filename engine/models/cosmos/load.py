"""The components of a Cosmos model, read from the parts that its card names.

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
from engine.contract.families.cosmos import CosmosSettings
from engine.models.cosmos.checkpoint import load_network
from engine.models.cosmos.recognise import Kind
from engine.models.model import DTYPES, Autoencoder, Codecs, Loader, Model
from engine.storage.card_files import find_part


def warm_up() -> None:
    """Imports what ``load_model`` will import for the codecs, ahead of the first job."""
    for name in ("text", "autoencoder"):
        importlib.import_module(f"engine.models.cosmos.{name}")


def load_model(card: ModelCard, models_root: Path, precision: Precision, with_codecs: bool) -> Model:
    """Raises Rejected("weights") for what is missing, damaged or foreign. ``precision`` is the network's."""
    loras = tuple(read_lora(models_root / lora.path, lora.strength) for lora in card.loras)
    path, dtype = find_part(card.parts.network, models_root), DTYPES[precision]
    settings = card.settings_as(CosmosSettings)
    ema = settings is not None and settings.ema
    network = load_network(path, dtype, settings, card.network, expected_kind(card), loras, ema)
    return Model(card, network, dtype, _load_codecs(card, models_root) if with_codecs else None)


def expected_kind(card: ModelCard) -> Kind:
    """Which network a card's films need: one that takes conditioning frames, or one that makes all from text."""
    if card.conditioning_num_frames:
        return "video2world"
    settings = card.settings_as(CosmosSettings)
    return "text2world" if settings is not None and settings.generation == "predict1" else "text2image"


def _load_codecs(card: ModelCard, models_root: Path) -> Codecs:
    """transformers takes seconds to import, and only the rank that has the codecs needs it."""
    from engine.models.cosmos.text import load_text_encoder

    encoder = find_part(card.parts.text_encoder, models_root)
    tokenizer = find_part(card.parts.tokenizer, models_root) if card.parts.tokenizer else encoder
    text = partial(load_text_encoder, encoder, tokenizer, DTYPES[card.text.precision])
    return Codecs(text, load_autoencoder(card, find_part(card.parts.autoencoder, models_root)))


def load_autoencoder(card: ModelCard, path: Path) -> Autoencoder:
    """The kind that the card says. diffusers takes seconds to import, hence inside."""
    sizes, dtype = card.autoencoder, DTYPES[card.autoencoder.precision]
    match sizes.kind:
        case "wan":
            from engine.models.cosmos.autoencoder import load_wan

            return load_wan(path, dtype)
        case "cv8x8x8":
            from engine.models.cosmos.chunk_autoencoder import load_cv8x8x8

            return load_cv8x8x8(path, sizes.scale, card.chunk_num_frames, dtype)
        case "image_jit":
            from engine.models.cosmos.image_autoencoder import load_image_jit

            return load_image_jit(path, dtype)
        case other:
            raise Rejected("model", f"{card.name}: autoencoder kind {other} is of another model family than Cosmos.")


LOADER = Loader(load_model, warm_up)
