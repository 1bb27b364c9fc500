"""What a command renders with, in one line, before it begins: steps, sampler, guidance, numbers, negative prompt.

Comes in: a storyboard, its preset, its model's card. Goes out: text, and the same as fields of a JSON line. Does not
know flags or jobs.
"""

from engine.contract.cards import ModelCard
from studio.document.prompts import full_negative_prompt
from studio.document.storyboard import Scene, Storyboard
from studio.planning.presets import Preset, with_speed

NVIDIA_FAMILIES = ("cosmos", "dfm")
"""Whose scripts count guidance from 0."""
QUOTED = 60


def settings_fields(storyboard: Storyboard, scene: Scene, preset: Preset, card: ModelCard) -> dict[str, object]:
    """Of one scene."""
    used, overrides = with_speed(preset, storyboard.speed), scene.overrides
    sampler = used.sampler_for(card, overrides.sampler, overrides.num_steps)
    scale = used.guidance_for(card) if overrides.guidance_scale is None else overrides.guidance_scale
    return {
        "model": card.name,
        "preset": preset.name,
        "num_steps": sampler.num_steps,
        "sampler": sampler.name,
        "guidance_scale": scale,
        "precision": used.speed_for(card).precision,
        "offload": used.offload,
        "negative_prompt": full_negative_prompt(scene, storyboard, card),
    }


def settings_line(storyboard: Storyboard, scene: Scene, preset: Preset, card: ModelCard) -> str:
    """``Cosmos ...: 35 steps of res_2ab, guidance 8 (NVIDIA's 7), bfloat16, the model's own negative prompt "..."``."""
    fields = settings_fields(storyboard, scene, preset, card)
    scale = float(str(fields["guidance_scale"]))
    nvidias = f" (NVIDIA's {scale - 1:g})" if card.family in NVIDIA_FAMILIES and not card.vocabulary else ""
    parts = [f"{fields['num_steps']} steps of {fields['sampler']}", f"guidance {scale:g}{nvidias}"]
    parts += [str(fields["precision"])] + ["offload"] * (fields["offload"] != "none")
    return f"{card.title}: {', '.join([*parts, _negative(storyboard, scene, str(fields['negative_prompt']), card)])}"


def _negative(storyboard: Storyboard, scene: Scene, text: str, card: ModelCard) -> str:
    if not text:
        return "no negative prompt"
    own = scene.negative_prompt is None and not storyboard.negative_look.strip()
    short = text if len(text) <= QUOTED else f"{text[:QUOTED].rstrip()} ..."
    which = "the model's own" if own else "the"
    return f'{which} negative prompt "{short}"'
