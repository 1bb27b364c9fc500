"""Who asks for something: one local user where no policy says otherwise.

A value only. Does not know how a request proves who it is from, nor what anybody may do.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """``user``: a name that is the same on each request."""

    user: str


LOCAL_USER = Identity("local")
"""Of a studio without accounts."""
