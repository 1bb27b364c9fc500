"""Which blocks of Cosmos-Predict2's sparse ("NATTEN") weights attend to which neighborhood. Data, and one rule.

Comes in: a pattern's name, a grid, a layout. Goes out: the layout that every block attends with. Does not know weights.

Source: nvidia-cosmos/cosmos-predict2 ``configs/base/config_natten.py`` (the published ``*-natten.pt`` files alone were
tuned for these; other weights attend to everything).

Letters: T h w the grid of patches.
"""

from engine.contract.errors import Rejected
from engine.layers.attention import TokenLayout
from engine.layers.neighborhood import FULL, Attending, Neighborhood, Triple

BASE: Triple = (FULL, 44, 80)
"""The grid of 1280x704 pixels, for which the windows were chosen."""

A = Neighborhood(window=(FULL, 4, 16), dilation=(1, 11, 5))
B = Neighborhood(window=(FULL, 12, 16), stride=(1, 4, 1), dilation=(1, 1, 5))
C = Neighborhood(window=(FULL, 12, 24), stride=(1, 4, 8))
D = Neighborhood(window=(FULL, 20, 40), stride=(1, 4, 8))
E = Neighborhood(window=(FULL, 28, 56), stride=(1, 4, 8))

PATTERNS: dict[str, tuple[Neighborhood | None, ...]] = {
    "2b": (A, A, B, C, C, B, C, C, C, C, B, *(D,) * 12, E, D, D, D, C),
    "14b": (*(A,) * 11, B, B, *(C,) * 10, D, E, D, E, None, E, D, D, E, E, D, E, D),
}
"""By block; None attends to everything."""


def patterns_of(name: str, num_blocks: int) -> tuple[Neighborhood | None, ...]:
    """By block; ``name`` as the card's ``cosmos.neighborhood`` says ("": all dense). Raises Rejected("weights")."""
    patterns = PATTERNS[name] if name else (None,) * num_blocks
    if len(patterns) != num_blocks:
        problem = f"the patterns of neighborhood {name!r} are for {len(patterns)} blocks, the network has {num_blocks}"
        raise Rejected("weights", f"{problem}. Correct the model's card.")
    return patterns


def layouts_for(patterns: tuple[Neighborhood | None, ...], grid: Triple, layout: TokenLayout) -> list[TokenLayout]:
    """One for every block: ``layout`` itself where it is dense. Raises Rejected("size") for too small a grid."""
    fitted = {pattern: pattern.fitted(grid, BASE).attend_on(grid) for pattern in set(patterns) if pattern is not None}
    return [layout if pattern is None else Attending(layout, fitted[pattern]) for pattern in patterns]
