"""What all scenes of one plan share, looked up once.

Comes in: the arguments of ``plan``. Goes out: a ``PlanContext`` and the notes about the whole storyboard, or a
``PlanError`` for a preset or a model that is not there. Does not know single scenes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.contract.card_values import Joint
from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.jobs import Take
from engine.contract.media import MediaInfo
from engine.contract.values import SizePx
from studio.document.storyboard import Storyboard
from studio.document.validation import suggestion
from studio.errors import PlanError
from studio.planning.presets import Preset, with_speed
from studio.planning.prompts import never_shown, unknown_words
from studio.planning.shown_take import TakeIndex, index_takes
from studio.planning.sizes import fps_for, size_for
from studio.planning.types import Note, about_all


@dataclass(frozen=True, slots=True)
class PlanContext:
    """``takes``: all of the project. ``refusal``: why nothing at all can be rendered, "" if it can."""

    storyboard: Storyboard
    preset: Preset
    presets: Mapping[str, Preset]
    models: Mapping[str, ModelStatus]
    status: ModelStatus
    takes: TakeIndex
    media: Mapping[str, MediaInfo]
    project_id: str
    size_px: SizePx
    fps: int
    refusal: str

    @property
    def card(self) -> ModelCard:
        return self.status.card

    @property
    def joint(self) -> Joint:
        """Of a card that is known to be a joint model's."""
        assert self.card.joint is not None
        return self.card.joint


def plan_context(
    storyboard: Storyboard,
    presets: Mapping[str, Preset],
    models: Mapping[str, ModelStatus],
    takes: Sequence[Take],
    media: Mapping[str, MediaInfo],
    project_id: str,
    preset: str,
) -> tuple[PlanContext, list[Note]]:
    """Raises PlanError for a preset or a model that is not there."""
    if preset not in presets:
        raise PlanError("", f'there is no preset "{preset}"{suggestion(preset, presets)}')
    if storyboard.model not in models:
        raise PlanError("", f'there is no model "{storyboard.model}"{suggestion(storyboard.model, models)}')
    status = models[storyboard.model]
    size_px, fps, refusal, notes = _frame(storyboard, status)
    context = PlanContext(
        storyboard=storyboard,
        preset=with_speed(presets[preset], storyboard.speed),
        presets=presets,
        models=models,
        status=status,
        takes=index_takes(takes),
        media=media,
        project_id=project_id,
        size_px=size_px,
        fps=fps,
        refusal=refusal,
    )
    return context, [*notes, *_look_notes(storyboard, status.card)]


def _frame(storyboard: Storyboard, status: ModelStatus) -> tuple[SizePx, int, str, list[Note]]:
    """Size, frames a second, why nothing can be rendered ("" if it can), and notes about them."""
    card, notes = status.card, list[Note]()
    refusal = ""
    if not status.available or not status.fingerprint:
        refusal = f"{card.title} cannot be used here"
        reason = status.reason or "its weights are not here"
        notes.append(about_all("error", f"{card.title} cannot be used: {reason}"))
    try:
        size_px, text = size_for(storyboard, card)
        notes += [about_all("warn", text)] if text else []
    except PlanError as error:
        size_px, refusal = (0, 0), refusal or str(error)
        notes.append(about_all("error", str(error)))
    fps, text = fps_for(storyboard, card)
    notes += [about_all("info", text)] if text else []
    return size_px, fps, refusal, notes


def _look_notes(storyboard: Storyboard, card: ModelCard) -> list[Note]:
    notes = list[Note]()
    if unknown := unknown_words(storyboard.look, card):
        notes.append(about_all("warn", f"look: {never_shown(unknown, card)}"))
    if storyboard.negative_look and "negative_prompt" not in card.capabilities:
        notes.append(about_all("warn", f"{card.title} reads no negative look; it is left out"))
    return notes
