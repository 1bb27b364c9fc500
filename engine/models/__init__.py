"""One folder per model family. Families never import each other; what two share lives in ``engine.layers``."""

import importlib
from typing import Any

MODELS = {name: f"engine.models.{name}.load" for name in ("cosmos", "ttt", "dfm")}
"""Family of a card -> the module that reads it: ``load_model(card, models_root, precision, with_codecs) -> Model``,
``warm_up()``."""


def family(name: str) -> Any:
    """The loading module of a family."""
    return importlib.import_module(MODELS[name])
