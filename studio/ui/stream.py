"""The stream of one board: the whole at first, then only what changed.

Comes in: boards as they become. Goes out: server-sent events ``board`` (whole) and ``patch`` (``changed`` fields of the
board, ``scenes`` that differ, ``order`` of all scene ids). Keeps nothing between boards
but the one it sent last.
"""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from sse_starlette import ServerSentEvent

from studio.errors import StudioError
from studio.services.identity import Identity
from studio.studio import Studio
from studio.views.types import BoardView
from studio.views.visitors import for_visitor

WAIT_S = 10.0
GATHER_S = 0.15
"""Changes that come closer together than this are sent as one."""

_watchers = CapacityLimiter(400)
"""Threads that wait for changes, one a tab; apart from those that answer requests."""


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What a script must know to turn one board into the other."""
    known = {card["id"]: card for card in before["scenes"]}
    return {
        "changed": {key: value for key, value in after.items() if key != "scenes" and before.get(key) != value},
        "scenes": [card for card in after["scenes"] if known.get(card["id"]) != card],
        "order": [card["id"] for card in after["scenes"]],
    }


def board_for(studio: Studio, project_id: str, identity: Identity) -> BoardView:
    """The board as who asks may see it. Raises ProjectMissing."""
    board = studio.views.board(project_id)
    return board if identity.is_owner else for_visitor(board)


async def board_events(studio: Studio, project_id: str, identity: Identity) -> AsyncIterator[ServerSentEvent]:
    """Events for one tab of who asks until it goes; ``gone`` where the project is no longer there."""
    sent: dict[str, Any] | None = None
    try:
        while True:
            board = await to_thread.run_sync(board_for, studio, project_id, identity)
            now = board.model_dump(mode="json")
            if sent is None:
                yield _event("board", now)
            elif sent != now:
                yield _event("patch", difference(sent, now))
            sent = now
            wait = partial(studio.views.wait_for_change, project_id, board.version, WAIT_S)
            await to_thread.run_sync(wait, abandon_on_cancel=True, limiter=_watchers)
            await anyio.sleep(GATHER_S)
    except StudioError as error:
        yield _event("gone", {"problem": str(error)})


def _event(name: str, content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(content, separators=(",", ":")), event=name)
