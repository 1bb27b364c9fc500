"""The table of model families: the one line that adds a family (its traits name its torch half).

Comes in: nothing. Goes out: ``FAMILIES``. Does not know cards' documents or files.
"""

from engine.contract.families.cosmos import CosmosTraits
from engine.contract.families.dfm import DfmTraits
from engine.contract.families.traits import FamilyTraits
from engine.contract.families.ttt import TttTraits

FAMILIES: dict[str, type[FamilyTraits]] = {"cosmos": CosmosTraits, "ttt": TttTraits, "dfm": DfmTraits}
"""By ``ModelCard.family``, which is also the name of the card's group of settings."""
