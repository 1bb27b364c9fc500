"""Variants of the bundled model with the capabilities of others: pictures, first frames, all scenes at once.

Comes in: nothing. Goes out: cards for an engine that draws. Does not know weights.
"""

from engine.contract.card_values import Joint
from engine.contract.cards import ModelCard
from studio.planning.presets import load_cards


def cards() -> dict[str, ModelCard]:
    """The bundled model and its variants, by name."""
    cards = load_cards()
    diorama = cards["diorama"]
    everything = ("text", "image", "clip", "continue", "sdedit", "negative_prompt")
    painter = {"title": "Test Painter", "makes": "picture", "capabilities": ("text", "negative_prompt")}
    animator = {"title": "Test Animator", "first_frame": "painter", "capabilities": everything}
    sizes = {"3:2": (96, 64), "1:1": (64, 64)}
    joint = Joint(segment_num_frames=24, trained_num_segments=(1, 3), max_num_segments=21)
    small = ("parts", "network", "sizes_px", "max_size_px", "fps", "vocabulary", "vocabulary_hint", "preview")
    teller = {name: getattr(diorama, name) for name in small} | {
        "name": "teller",
        "title": "Test Teller",
        "joint": joint,
    }
    dreamer = {"title": "Test Dreamer", "capabilities": ("text", "sdedit"), "conditioning_num_frames": ()}
    variants = {
        "dreamer": dreamer,
        "painter": painter,
        "animator": {**animator, "sizes_px": sizes},
        "teller": teller,
    }
    made = {name: diorama.model_copy(update={"name": name, **changes}) for name, changes in variants.items()}
    made["teller"] = cards["ttt-video-mlp-5b"].model_copy(update=teller)
    return {"diorama": diorama, **made}
