"""The toy family's half without torch: what a new family puts in ``engine/contract/families/NAME.py``."""

from engine.contract.card_values import FamilySettings
from engine.contract.families.traits import FamilyTraits


class ToySettings(FamilySettings):
    brightness: float


class ToyTraits(FamilyTraits):
    settings_type = ToySettings
    autoencoder_kinds = ("blocks",)
    loader = "tests.engine.models.toy.load"

    @property
    def title(self) -> str:
        return "Toys"

    @property
    def any_chunk_length(self) -> bool:
        return True
