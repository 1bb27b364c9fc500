"""The components of a DFM model, read from the parts that its card names.

Comes in: a card, the models' root, a precision. Goes out: a ``Model`` on the CPU. Does not know devices, jobs or where
the files came from.
"""

import importlib
from functools import partial
from pathlib import Path

from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.contract.families.dfm import DfmSettings
from engine.models.dfm.checkpoint import load_network
from engine.models.dfm.run_config import RunConfig
from engine.models.model import DTYPES, Codecs, Loader, Model
from engine.storage.card_files import find_part


def warm_up() -> None:
    """Imports what ``load_model`` will import for the codecs, ahead of the first job."""
    for name in ("text", "autoencoder"):
        importlib.import_module(f"engine.models.dfm.{name}")


def load_model(card: ModelCard, models_root: Path, precision: Precision, with_codecs: bool) -> Model:
    """Raises Rejected("weights") for what is missing, damaged or foreign. ``precision`` is the network's."""
    place = find_part(card.parts.network, models_root)
    network = load_network(place, DTYPES[precision], config_from_card(card))
    return Model(card, network, DTYPES[precision], _load_codecs(card, models_root) if with_codecs else None)


def config_from_card(card: ModelCard) -> RunConfig:
    """What the card says where the checkpoint has no ``run_config.yaml``; with one, what the card must agree with."""
    settings = card.settings_as(DfmSettings) or DfmSettings()
    side = settings.max_patches * card.network.patch_spatial
    return RunConfig(
        norm_eps=settings.norm_eps,
        patch_spatial=card.network.patch_spatial,
        max_frames=settings.max_frames,
        max_img_h=side,
        max_img_w=side,
        sigma_data=card.sigma_data,
    )


def _load_codecs(card: ModelCard, models_root: Path) -> Codecs:
    """transformers takes seconds to import, and only the rank that has the codecs needs it."""
    from engine.models.dfm.autoencoder import load_autoencoder
    from engine.models.dfm.text import load_text_encoder

    encoder = find_part(card.parts.text_encoder, models_root)
    tokenizer = find_part(card.parts.tokenizer, models_root) if card.parts.tokenizer else encoder
    text = partial(load_text_encoder, encoder, tokenizer, DTYPES[card.text.precision])
    sizes = card.autoencoder
    place = find_part(card.parts.autoencoder, models_root)
    return Codecs(text, load_autoencoder(place, sizes.scale, sizes.temporal_factor, DTYPES[sizes.precision]))


LOADER = Loader(load_model, warm_up)
