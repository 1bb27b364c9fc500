"""The first frame that a picture model makes for a scene without a picture or clip of its own: its complete recipe.

Comes in: a scene, its seed, the context of the plan. Goes out: a ``FromModel``, or a ``PlanError`` that says what else
can be done. Does not know how it is drawn. Steps, sampler and guidance are the picture model's own, since a preset
rates the work of a film, of which this is one frame.
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
"""How far the first frame of a clip is re-imagined where the author sets nothing; NVIDIA's default."""
INSTEAD = "Or give the scene a picture"


def made_frame(
    scene: Scene,
    seed: int,
    context: PlanContext,
    source: str | None = None,
    strength: float = 1.0,
    instead: str = INSTEAD,
) -> FromModel:
    """``source``: SHA-256 of a clip whose first frame is re-imagined by ``strength``. ``instead``: what else to do.

    Raises PlanError where the picture model is not here.
    """
    status = _picture_model(scene, context, instead)
    card, first_frame = status.card, scene.first_frame
    return FromModel(
        model=card.name,
        weights=status.fingerprint,
        prompt=join_look(first_frame.prompt if first_frame.prompt.strip() else scene.prompt, context.storyboard.look),
        negative_prompt=full_negative_prompt(scene, context.storyboard, card),
        size_px=nearest_size(context.size_px, card),
        seed=seed if first_frame.seed is None else first_frame.seed,
        sampler=_with_model_steps(context.preset).sampler_for(card, card.sampler.name),
        guidance_scale=card.guidance_scale,
        precision=context.preset.speed_for(card).precision,
        source=source,
        strength=strength,
    )


def _with_model_steps(preset: Preset) -> Preset:
    return preset.model_copy(update={"num_steps": "model"})


def _picture_model(scene: Scene, context: PlanContext, instead: str) -> ModelStatus:
    name, title = context.card.first_frame or "", context.card.title
    status = context.models.get(name)
    if status is None:
        raise PlanError(
            scene.id, f"{title} needs the picture model {name} for a first frame: it has no card. {instead}"
        )
    if not status.available or not status.fingerprint:
        reason = (status.reason or "its weights are not here").rstrip(". ")
        needs = f"{title} animates a first frame, and {status.card.title}, which makes it, cannot be used ({reason})"
        raise PlanError(scene.id, f"{needs}. Get its weights. {instead}")
    return status
