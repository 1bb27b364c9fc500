"""One folder per model family. Families never import each other; what two share lives in ``engine.layers``.

Comes in: the name of a family. Goes out: its loader. Which families there are is ``engine.contract.families``' table.
"""

import importlib

from engine.contract.families import FAMILIES
from engine.models.model import Loader


def family(name: str) -> Loader:
    """The loader of a family; its module is imported now."""
    loader: object = importlib.import_module(FAMILIES[name].loader).LOADER
    assert isinstance(loader, Loader), f"{FAMILIES[name].loader}.LOADER"
    return loader
