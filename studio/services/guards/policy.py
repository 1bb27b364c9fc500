"""Whether a guard judges a storyboard, and what follows where it cannot: by the host's settings and the model's card.

Comes in: the guard's setting, a model's card, the author's switch. Goes out: a ``GuardPolicy``. Pure. Does not know
guards or texts.
"""

from dataclasses import dataclass

from engine.contract.cards import ModelCard
from studio.services.assistants.settings import FILE, OFF, GuardSetting


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """``required``: who demands a guard, as text; "": nobody. ``refusal``: why nothing at all may be rendered; "": it
    may."""

    on: bool
    required: str
    can_switch: bool
    refusal: str = ""

    @property
    def closed(self) -> bool:
        """Whether a text that could not be judged is refused."""
        return bool(self.required)


def policy_of(setting: GuardSetting, card: ModelCard | None, switched_off: bool) -> GuardPolicy:
    required = _required_by(setting, card)
    if setting.use == OFF:
        return GuardPolicy(False, required, False, _no_guard(required) if required else "")
    if required:
        return GuardPolicy(True, required, False)
    return GuardPolicy(not (switched_off and setting.switch), "", setting.switch)


def _required_by(setting: GuardSetting, card: ModelCard | None) -> str:
    if setting.required == "always":
        return "this host demands a guard"
    if setting.required == "auto" and card is not None and card.asks_for_guard:
        return f"the licence of {card.title} asks for a guard, or a similar substitute"
    return ""


def _no_guard(required: str) -> str:
    what = f"{required}, and the guard is off here"
    return f"{what}. Switch it on ({FILE}, or --guard), or say there `required: never` where this host has a substitute"
