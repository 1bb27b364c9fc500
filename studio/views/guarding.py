"""What is shown of guards, as values, and what gives them. A view asks at once and waits for nobody.

Does not know how anything is judged, nor the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.contract.jobs import Take
from studio.document.storyboard import Storyboard
from studio.planning.cost import Timings
from studio.planning.types import Plan

TakeGuardState = Literal["", "unchecked", "checking", "advised", "withheld"]
"""advised: something was found, and the take is shown. withheld: only the owner of the machine sees it. ``checking``
and ``unchecked`` takes are shown."""


@dataclass(frozen=True, slots=True)
class GuardSwitch:
    """Of one storyboard. ``can_switch``: whether its author may. ``withholds``: whether takes may be withheld."""

    on: bool
    can_switch: bool
    text: str
    withholds: bool = False


@dataclass(frozen=True, slots=True)
class TakeGuard:
    state: TakeGuardState
    text: str


SHOWN = TakeGuard("", "")


class Guarding(Protocol):
    def guarded(self, plan: Plan, storyboard: Storyboard, timings: Timings | None) -> Plan:
        """The plan without what is known to be refused."""
        ...

    def switch_of(self, model: str, project_id: str) -> GuardSwitch: ...
    def of_takes(self, takes: Sequence[Take]) -> Mapping[str, TakeGuard]:
        """By take id, those of which there is something to show."""
        ...
