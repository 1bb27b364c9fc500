"""The Cosmos family (NVIDIA's Cosmos-Predict1 and -Predict2, and our own small network), as far as no torch is needed.

Comes in: a card. Goes out: its settings and traits. Does not know files, storyboards or tensors.
"""

from typing import Literal

from engine.contract.assistants import PromptStyle
from engine.contract.card_values import FamilySettings
from engine.contract.families.traits import FamilyTraits
from engine.contract.values import SizePx

MAX_PATCHES = 120
"""Length of each spatial axis of the position tables of NVIDIA's networks, in patches."""


class CosmosSettings(FamilySettings):
    """What the weights of a Cosmos network do not say. A card without them is of our own network (Diorama)."""

    generation: Literal["predict1", "predict2"]
    rope_ratio_t: float = 1.0
    rope_ratio_h: float = 1.0
    rope_ratio_w: float = 1.0
    rope_precision: Literal["float32", "reference_bf16"] = "float32"
    """reference_bf16: angles rounded as in NVIDIA's script, for bit parity."""
    neighborhood: Literal["", "2b", "14b"] = ""
    """The released size whose pattern of sparse self-attention the weights were tuned for; "": dense attention."""
    ema: bool = False
    """The averaged copy of the weights (``net_ema.``, ``{"ema": ...}``), not the last one."""


class CosmosTraits(FamilyTraits):
    settings_type = CosmosSettings
    autoencoder_kinds = ("wan", "cv8x8x8", "image_jit")
    loader = "engine.models.cosmos.load"

    @property
    def settings(self) -> CosmosSettings | None:
        return self.card.settings_as(CosmosSettings)

    @property
    def title(self) -> str:
        return f"Cosmos-{self.settings.generation.capitalize()}" if self.settings else "Diorama"

    @property
    def max_size_px(self) -> SizePx | None:
        if self.card.max_size_px is not None or self.settings is None:
            return self.card.max_size_px
        return self._square_of_patches(MAX_PATCHES)

    @property
    def reads_fps(self) -> bool:
        return self._is_predict1

    @property
    def augments_conditioning(self) -> bool:
        return self._is_predict1

    @property
    def prompt_style(self) -> PromptStyle:
        return self.settings.generation if self.settings and not self.card.vocabulary else super().prompt_style

    @property
    def _is_predict1(self) -> bool:
        return self.settings is not None and self.settings.generation == "predict1"
