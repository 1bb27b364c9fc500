"""One folder per model family. Families never import each other; what two share lives in ``engine.layers``."""

import importlib
from typing import Any

MODELS = {"cosmos": "engine.models.cosmos.load"}
"""Family of a card -> the module that reads it: ``load_model(card, folder, precision, with_ends)``, ``warm_up()``."""


def family(name: str) -> Any:
    """The loading module of a family."""
    return importlib.import_module(MODELS[name])
