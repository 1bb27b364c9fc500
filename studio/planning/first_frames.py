"""The first frame of a scene that is given none: what a picture model is to make, completely.

Comes in: a scene, its seed, what all scenes share. Goes out: a ``FromModel``, or a ``PlanError`` that says what else
could be done. Does not know how it is drawn. The picture model keeps its own steps, sampler and guidance: its frame is
one of many, and a preset for films says nothing about it.
"""

from engine.contract.cards import ModelStatus
from engine.contract.jobs import FromModel
from studio.document.prompts import full_negative_prompt, join_look
from studio.document.storyboard import Scene
from studio.errors import PlanError
from studio.planning.context import PlanContext
from studio.planning.presets import Preset
from studio.planning.sizes import nearest_size

DEFAULT_STRENGTH = 0.4
"""How far the first frame of a clip is re-imagined, where nothing is said; NVIDIA's own."""
INSTEAD = "Or give the scene a picture"


def made_frame(
    scene: Scene,
    seed: int,
    setting: PlanContext,
    source: str | None = None,
    strength: float = 1.0,
    instead: str = INSTEAD,
) -> FromModel:
    """``source``: SHA-256 of a clip whose first frame is re-imagined by ``strength``. ``instead``: what else to do.

    Raises PlanError where the picture model is not here.
    """
    status = _picture_model(scene, setting, instead)
    card, wish = status.card, scene.first_frame
    return FromModel(
        model=card.name,
        weights=status.fingerprint,
        prompt=join_look(wish.prompt if wish.prompt.strip() else scene.prompt, setting.storyboard.look),
        negative_prompt=full_negative_prompt(scene, setting.storyboard, card),
        size_px=nearest_size(setting.size_px, card),
        seed=seed if wish.seed is None else wish.seed,
        sampler=_own_steps(setting.preset).sampler_for(card, card.sampler.name),
        guidance_scale=card.guidance_scale,
        precision=setting.preset.speed_for(card).precision,
        source=source,
        strength=strength,
    )


def _own_steps(preset: Preset) -> Preset:
    return preset.model_copy(update={"num_steps": "model"})


def _picture_model(scene: Scene, setting: PlanContext, instead: str) -> ModelStatus:
    name, title = setting.card.first_frame or "", setting.card.title
    status = setting.models.get(name)
    if status is None:
        raise PlanError(
            scene.id, f"{title} needs the picture model {name} for a first frame: it has no card. {instead}"
        )
    if not status.available or not status.fingerprint:
        reason = (status.reason or "its weights are not here").rstrip(". ")
        needs = f"{title} animates a first frame, and {status.card.title}, which makes it, cannot be used ({reason})"
        raise PlanError(scene.id, f"{needs}. Get its weights. {instead}")
    return status
