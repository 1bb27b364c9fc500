"""What may differ between model families where no torch is needed: names, limits, lengths, costs.

Comes in: a card. Goes out: the traits of its family, each with the answer that holds for most families. Does not know
which families there are, nor files, storyboards or tensors.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from engine.contract.assistants import PromptStyle
from engine.contract.card_values import BaseCard, FamilySettings
from engine.contract.values import SizePx


@dataclass(frozen=True, slots=True)
class JointCost:
    """Of one evaluation of a jointly denoised storyboard.

    num_tokens: of the whole sequence. memory_bytes: the network and its activations, an estimate. ratio: arithmetic
    operations over those of local attention alone.
    """

    num_tokens: int
    memory_bytes: int
    ratio: float


class FamilyTraits(ABC):
    """A family overrides what is different about it. One instance belongs to one card."""

    settings_type: ClassVar[type[FamilySettings]]
    """Of the card's group that has the family's name."""
    autoencoder_kinds: ClassVar[tuple[str, ...]]
    loader: ClassVar[str]
    """Module of the torch half, which has ``LOADER``, an ``engine.models.model.Loader``."""

    def __init__(self, card: BaseCard) -> None:
        self.card = card

    @property
    @abstractmethod
    def title(self) -> str:
        """The name under which the page lists the family's models together."""

    @property
    def max_size_px(self) -> SizePx | None:
        """(width, height) where the network's table of positions ends; None: it has none."""
        return self.card.max_size_px

    @property
    def larger_by(self) -> str:
        """How a card of one's own lifts ``max_size_px`` and ``max_latent_frames``, as text; "": in no way."""
        return ""

    @property
    def max_latent_frames(self) -> int | None:
        """Latent frames at which the network's table of positions ends; None: it has none."""
        return None

    @property
    def reads_fps(self) -> bool:
        """Whether the frame rate is an input of the network."""
        return False

    @property
    def augments_conditioning(self) -> bool:
        """Whether the network takes conditioning frames with a little noise added, not clean."""
        return False

    @property
    def any_chunk_length(self) -> bool:
        """Whether a chunk may have any number of frames, not only the number that the weights were trained at."""
        return False

    @property
    def prompt_style(self) -> PromptStyle:
        """How prompts for the model are written; what a refiner writes for one style is not used with another."""
        if self.card.vocabulary:
            return "vocabulary"
        return "segments" if self.card.joint else "general"

    def text_length(self, num_segments: int, size_px: SizePx) -> int:
        """Tokens to which each prompt is padded, by the number of segments denoised together."""
        return self.card.text.by_num_segments.get(num_segments, self.card.text.max_tokens)

    def joint_cost(self, size_px: SizePx, num_segments: int, num_branches: int) -> JointCost | None:
        """Of one evaluation of a joint model; None for any other. ``num_branches``: of guidance, in one batch."""
        return None

    def _square_of_patches(self, num_patches: int) -> SizePx:
        side = num_patches * self.card.grid_px
        return side, side
