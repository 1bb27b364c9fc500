"""Flags that name weights of one's own, and the card that is made of them before a studio is opened.

Comes in: parsed flags. Goes out: the name of a model. Does not know storyboards or engines.
"""

import argparse
import sys
from pathlib import Path

from engine.contract.values import Sha256
from engine.storage.hashes import FileHashes
from studio.cli.flags import models_root_of, workspace_of
from studio.document.validation import suggestion
from studio.downloads.files import gigabytes
from studio.downloads.own_card import OwnLora, OwnWeights, make_own_card
from studio.errors import PlanError, StoryboardError
from studio.planning.presets import load_cards

SHOWN_BYTES = 200_000_000
"""A larger file takes seconds to hash: that is said."""


def add_weight_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("weights of your own (in place of the model's)")
    group.add_argument("--network", type=Path, metavar="PATH", help="a checkpoint: a file, or a folder of parts")
    text = "a checkpoint of the model that makes first frames"
    group.add_argument("--picture-network", type=Path, metavar="PATH", help=text)
    group.add_argument("--text-encoder", type=Path, metavar="DIR", help="with its tokenizer")
    group.add_argument("--autoencoder", type=Path, metavar="PATH")
    group.add_argument("--ema", action="store_true", help="the averaged copy of the weights in the checkpoint")
    text = "a LoRA, merged at STRENGTH (default: 1); may be given again"
    group.add_argument("--lora", action="append", default=[], metavar="FILE[:STRENGTH]", help=text)


def model_from_flags(flags: argparse.Namespace, model: str) -> str:
    """``model``, or the name of the card of it with the flags' weights. Raises StoryboardError, PlanError."""
    weights = OwnWeights(
        network=flags.network,
        picture_network=flags.picture_network,
        text_encoder=flags.text_encoder,
        autoencoder=flags.autoencoder,
        loras=tuple(map(lora_of, flags.lora)),
        ema=flags.ema,
    )
    if not weights:
        return model
    if flags.engine:
        message = (
            "weights of your own are files of this machine; leave it out, or put a card beside the engine's models"
        )
        raise StoryboardError.at("--engine", message)
    workspace = workspace_of(flags)
    cards = load_cards(models_root=models_root_of(flags))
    if model not in cards:
        raise PlanError("", f'there is no model "{model}"{suggestion(model, cards)}')
    return make_own_card(cards[model], weights, workspace.cards, _hashing(workspace.file_hashes), cards)


def _hashing(memory: Path):
    hashes = FileHashes(memory)

    def hash_of(path: Path) -> Sha256:
        if path.stat().st_size > SHOWN_BYTES and not hashes.is_known(path):
            size = gigabytes(path.stat().st_size)
            print(f"storyboard: hashing {path} ({size}), once", file=sys.stderr, flush=True)
        return hashes(path)

    return hash_of


def lora_of(text: str) -> OwnLora:
    """``rain.safetensors:0.8``. Raises StoryboardError."""
    path, separator, strength = text.rpartition(":")
    if not separator or not path or Path(text).exists():
        return OwnLora(Path(text))
    try:
        return OwnLora(Path(path), float(strength))
    except ValueError as error:
        raise StoryboardError.at("--lora", f'"{strength}" is not a strength such as 0.8; write FILE:0.8') from error
