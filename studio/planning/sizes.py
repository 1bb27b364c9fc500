"""Which size a storyboard is rendered at, how many frames a second, and how long a scene may be.

Comes in: the size, frame rate and durations of a storyboard, and a model card. Goes out: numbers with notes, or a
``PlanError``. Pure; does not know jobs or takes.
"""

import math

from engine.contract.cards import ModelCard
from engine.contract.frames import num_frames_for, num_latent_frames, num_pixel_frames
from engine.contract.values import SizePx
from studio.document.storyboard import Scene, Storyboard
from studio.errors import PlanError


def size_for(storyboard: Storyboard, card: ModelCard) -> tuple[SizePx, str]:
    """(width, height) and a note ("": none). Raises PlanError for a size that the model cannot make."""
    if storyboard.size_px is None:
        size_px, note = _table_size(storyboard.aspect, card)
    else:
        size_px, note = storyboard.size_px, _off_table(storyboard.size_px, card)
        _check_grid(size_px, card)
    _check_largest(size_px, card)
    return size_px, note


def nearest_size(size_px: SizePx, card: ModelCard) -> SizePx:
    """The card's size whose shape is most like ``size_px``."""
    wanted = size_px[0] / size_px[1]
    return min(card.sizes_px.values(), key=lambda size: abs(math.log(size[0] / size[1] / wanted)))


def fps_for(storyboard: Storyboard, card: ModelCard) -> tuple[int, str]:
    """Frames a second of the takes, and a note ("": none)."""
    if storyboard.fps is None or storyboard.fps == card.fps:
        return card.fps, ""
    if card.traits.reads_fps:
        text = f"{card.title} makes {storyboard.fps} frames a second as asked for (its default is {card.fps})"
        return storyboard.fps, text
    return card.fps, f"{card.title} makes {card.fps} frames a second; the film is brought to {storyboard.fps}"


def num_frames_of(scene: Scene, card: ModelCard, fps: int) -> int:
    """Of one scene's take."""
    return 1 if card.makes == "picture" else num_frames_for(scene.duration_s, fps)


def chunk_length(num_frames: int, card: ModelCard) -> int:
    """Frames of one sampler call: what the weights were trained at; where that is free, no more than needed."""
    if not card.traits.any_chunk_length:
        return card.chunk_num_frames
    factor = card.autoencoder.temporal_factor
    return num_pixel_frames(num_latent_frames(num_frames, factor), factor)


def check_length(scene: Scene, num_frames: int, card: ModelCard, fps: int) -> None:
    """Raises PlanError for a scene that is longer than the model can make."""
    if card.makes == "picture":
        return
    num_latents = num_latent_frames(num_frames, card.autoencoder.temporal_factor)
    most_latents = card.traits.max_latent_frames
    if most_latents is not None and num_latents > most_latents:
        most = num_pixel_frames(most_latents, card.autoencoder.temporal_factor)
        table = f"{card.title}'s table of positions ends at {most_latents} ({most} frames, {most / fps:g} s)"
        raise PlanError(
            scene.id, f"{num_frames} frames are {num_latents} latent frames, and {table}. Shorten it{_larger_by(card)}"
        )
    if scene.duration_s > card.max_duration_s:
        longest = f"{card.title} can make ({card.max_duration_s:g} s)"
        raise PlanError(scene.id, f"{scene.duration_s:g} s is longer than {longest}. Split the scene")
    if not card.conditioning_num_frames and num_frames > chunk_length(num_frames, card):
        once = f"{card.chunk_num_frames} frames ({card.chunk_num_frames / fps:g} s)"
        raise PlanError(scene.id, f"{card.title} makes {once} at once and cannot go on from there. Shorten the scene")


def _table_size(aspect: str, card: ModelCard) -> tuple[SizePx, str]:
    """The model's size for an aspect; the nearest one with a note where it has none."""
    if aspect in card.sizes_px:
        return card.sizes_px[aspect], ""
    wanted = _ratio(aspect)
    nearest = min(card.sizes_px, key=lambda known: abs(_ratio(known) / wanted - 1))
    note = f"{card.title} makes {', '.join(card.sizes_px)}; {aspect} was asked for, {nearest} is rendered"
    return card.sizes_px[nearest], note


def _ratio(aspect: str) -> float:
    width, height = aspect.split(":")
    return int(width) / int(height)


def _off_table(size_px: SizePx, card: ModelCard) -> str:
    if size_px in card.sizes_px.values():
        return ""
    trained = ", ".join(_size_text(size) for size in card.sizes_px.values())
    return f"{_size_text(size_px)} is not a size that {card.title} was trained at ({trained}): it may look worse"


def _check_grid(size_px: SizePx, card: ModelCard) -> None:
    grid = card.grid_px
    if not any(side % grid for side in size_px):
        return
    around = [sorted({max(grid, side // grid * grid), -(-side // grid) * grid}) for side in size_px]
    near = sorted(((w, h) for w in around[0] for h in around[1]), key=lambda size: math.dist(size, size_px))
    sizes = " or ".join(_size_text(size) for size in near[:2])
    raise PlanError(
        "", f"{_size_text(size_px)}: {card.title} makes sides that are multiples of {grid}. Nearest are {sizes}"
    )


def _check_largest(size_px: SizePx, card: ModelCard) -> None:
    most = card.traits.max_size_px
    if most is not None and (size_px[0] > most[0] or size_px[1] > most[1]):
        patches = f"{most[0] // card.grid_px} x {most[1] // card.grid_px} patches, {_size_text(most)} pixels"
        limit = f"{card.title}'s table of positions ends at {patches}"
        raise PlanError("", f"{_size_text(size_px)} is too large: {limit}. Choose a smaller size{_larger_by(card)}")


def _larger_by(card: ModelCard) -> str:
    return f"; {card.traits.larger_by}" if card.traits.larger_by else ""


def _size_text(size_px: SizePx) -> str:
    return f"{size_px[0]} x {size_px[1]}"
