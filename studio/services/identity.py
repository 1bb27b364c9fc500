"""Who asks for something: one local user where no policy says otherwise.

A value only. Does not know how a request proves who it is from, nor what anybody may do.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """``user``: a name that is the same on each request."""

    user: str

    @property
    def is_owner(self) -> bool:
        """Whether it is the owner of this machine, who may see what a guard withholds from visitors."""
        return self == LOCAL_USER


LOCAL_USER = Identity("local")
"""Of a studio without accounts."""
