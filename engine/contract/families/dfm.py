"""The DFM family (NVIDIA NeMo DFM's DiT), as far as no torch is needed.

Comes in: a card. Goes out: its settings and traits. Does not know files, storyboards or tensors.
"""

from pydantic import Field

from engine.contract.card_values import FamilySettings
from engine.contract.families.traits import FamilyTraits
from engine.contract.values import SizePx


class DfmSettings(FamilySettings):
    """Norm and limits of the position table: latent frames, and patches along one side."""

    norm_eps: float = Field(default=1e-5, gt=0)
    max_frames: int = Field(default=34, gt=0)
    max_patches: int = Field(default=40, gt=0)


class DfmTraits(FamilyTraits):
    settings_type = DfmSettings
    autoencoder_kinds = ("cv4x8x8",)
    loader = "engine.models.dfm.load"

    @property
    def settings(self) -> DfmSettings:
        return self.card.settings_as(DfmSettings) or DfmSettings()

    @property
    def title(self) -> str:
        return "NeMo DFM"

    @property
    def max_size_px(self) -> SizePx | None:
        return self.card.max_size_px or self._square_of_patches(self.settings.max_patches)

    @property
    def larger_by(self) -> str:
        return (
            "weights with a larger table need a card of their own that says so "
            "(dfm: {max_patches: 120, max_frames: 64}; docs/models.md)"
        )

    @property
    def max_latent_frames(self) -> int | None:
        return None if self.card.conditioning_num_frames else self.settings.max_frames

    @property
    def reads_fps(self) -> bool:
        return True

    @property
    def any_chunk_length(self) -> bool:
        return not self.card.conditioning_num_frames
