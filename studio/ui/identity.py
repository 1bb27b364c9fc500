"""Gives every request the identity of who asks; the one place where accounts would begin.

Comes in: every HTTP request, and a policy. Goes out: the same request, from which ``identity_of`` reads the identity.
Does not know what anybody may do.
"""

from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.services.identity import LOCAL_USER, Identity

Policy = Callable[[HTTPConnection], Identity]
_KEY = "storyboard.identity"


def local_user(connection: HTTPConnection) -> Identity:
    """The policy of a studio without accounts: everybody is the one local user."""
    return LOCAL_USER


def identity_of(connection: HTTPConnection) -> Identity:
    """Of a request that came through ``Identify``."""
    return connection.scope.get(_KEY, LOCAL_USER)


class Identify:
    """Asks the policy once for each request."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self.app = app
        self.policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[_KEY] = self.policy(HTTPConnection(scope))
        await self.app(scope, receive, send)
