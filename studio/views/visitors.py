"""A board as somebody sees it who is not the owner of the machine: without what the guard withholds.

Comes in: a board. Goes out: the same, without the names of files that a visitor may not see. Pure. Does not know who
asks; the routes of media refuse those files too.
"""

from studio.views.types import BoardView, SceneCard, TakeView


def for_visitor(board: BoardView) -> BoardView:
    if not board.guard.withholds:
        return board
    scenes = tuple(_card(card) for card in board.scenes)
    hidden = any(is_withheld(take) for card in board.scenes for take in card.takes) and not board.film.up_to_date
    film = board.film.model_copy(update={"media": None, "poster": None}) if hidden else board.film
    return board.model_copy(update={"scenes": scenes, "film": film})


def is_withheld(take: TakeView) -> bool:
    return take.guard.state == "withheld"


def _card(card: SceneCard) -> SceneCard:
    """A live preview is of a take that nobody has judged yet."""
    take = _take(card.take) if card.take else None
    first_frame = card.first_frame.model_copy(update={"media": take.picture if take else None})
    takes = tuple(map(_take, card.takes))
    return card.model_copy(update={"take": take, "takes": takes, "first_frame": first_frame, "preview": None})


def _take(take: TakeView) -> TakeView:
    return take.model_copy(update={"media": "", "poster": None, "picture": None}) if is_withheld(take) else take
