"""Flags that say how scenes are made: the same on ``generate``, ``render`` and ``batch``, with the same meaning.

Comes in: parsed flags, a storyboard, its model's card. Goes out: ``SceneSettings``, and the storyboard with them in
every scene. Does not know prompts, files to write or engines.
"""

import argparse
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, get_args

from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.contract.jobs import GuidanceBranches, Offload
from engine.contract.samplers import SamplerName
from studio.document.storyboard import MAX_SEED, Conditioning, Scene, Storyboard, document_of, read_document
from studio.errors import StoryboardError

MAX_GUIDANCE = 100.0
DEFAULT_STRENGTH = 0.8
N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """For every scene; None: what the storyboard, the preset or the model says. ``guidance_scale`` is in the usual
    convention. ``negative_prompt`` "": none. ``input`` and ``reimagine``: of scenes that name no picture or clip.
    """

    aspect: str | None = None
    size_px: tuple[int, int] | None = None
    fps: int | None = None
    duration_s: float | None = None
    num_frames: int | None = None
    num_chunks: int | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    sampler: str | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    input: str | None = None
    num_input_frames: int | None = None
    reimagine: str | None = None
    strength: float | None = None
    first_frame_strength: float | None = None
    continue_num_frames: int | None = None
    precision: str | None = None
    offload: str | None = None
    guidance_branches: str | None = None

    @property
    def starts(self) -> tuple[str, ...]:
        """Flags that say what scenes start from, those that are given."""
        flags = {
            "--input": self.input,
            "--num-input-frames": self.num_input_frames,
            "--reimagine": self.reimagine,
            "--continue-frames": self.continue_num_frames,
        }
        return tuple(flag for flag, value in flags.items() if value is not None)


def add_scene_flags(parser: argparse.ArgumentParser) -> None:
    """Every flag of ``SceneSettings``."""
    look = parser.add_argument_group("the picture")
    look.add_argument("--aspect", help="width:height, such as 9:16")
    look.add_argument("--size", metavar="WxH", help="a size of your own in pixels, such as 1280x704")
    length = parser.add_argument_group("the length (give one)").add_mutually_exclusive_group()
    length.add_argument("--duration", type=float, metavar="S", help="seconds of every scene")
    length.add_argument("--frames", type=int, metavar="N", help="frames of every scene, as the model makes them")
    length.add_argument(
        "--chunks", type=int, metavar="N", help="sampler calls of every scene, each from the last's end"
    )
    parser.add_argument("--fps", type=int, metavar="N", help="frames a second (told to models that read it)")
    _add_sampling(parser.add_argument_group("sampling (default: as the model was published, or as the preset says)"))
    _add_start(parser.add_argument_group("what scenes start from"))
    _add_speed(parser.add_argument_group("speed and memory"))


def _add_sampling(group: argparse._ArgumentGroup) -> None:  # pyright: ignore[reportPrivateUsage]
    group.add_argument("--steps", type=int, metavar="N", help="denoising steps")
    text = "guidance in the usual convention: 1 is none. NVIDIA's number is one less: its 7 is 8 here"
    group.add_argument("--guidance", type=float, metavar="G", help=text)
    text = "G is in NVIDIA's convention, where 0 is none: 1 is added"
    group.add_argument("--nvidia-guidance", action="store_true", help=text)
    group.add_argument("--sampler", choices=get_args(SamplerName))
    group.add_argument("--seed", type=int, metavar="N", help="of every scene")
    text = "what must not be seen; \"\" is none (default: the scene's, else the model's own)"
    group.add_argument("--negative-prompt", metavar="TEXT", help=text)


def _add_start(group: argparse._ArgumentGroup) -> None:  # pyright: ignore[reportPrivateUsage]
    group.add_argument("--input", metavar="FILE", help="a picture, or a clip whose last frames are gone on from")
    group.add_argument("--num-input-frames", type=int, metavar="N", help="of a clip: 1, 5 or 9 (default: 1)")
    group.add_argument("--reimagine", metavar="CLIP", help="a clip to re-imagine (SDEdit)")
    text = f"how far the clip is re-imagined, 0 to 1 (default: {DEFAULT_STRENGTH})"
    group.add_argument("--strength", type=float, metavar="S", help=text)
    text = "how far its first frame is, 0 to 1 (default: 0.4)"
    group.add_argument("--first-frame-strength", type=float, metavar="S", help=text)
    text = "frames that a chunk, or a scene that continues, takes over from the one before (default: the model's)"
    group.add_argument("--continue-frames", type=int, metavar="N", help=text)


def _add_speed(group: argparse._ArgumentGroup) -> None:  # pyright: ignore[reportPrivateUsage]
    group.add_argument("--precision", choices=get_args(Precision), help="in which numbers the network computes")
    group.add_argument("--offload", choices=get_args(Offload), help="what waits in host memory while it does not work")
    text = "sequential: guidance's two branches one after the other, with half the memory"
    group.add_argument("--guidance-branches", choices=get_args(GuidanceBranches), help=text)


def settings_from_flags(flags: argparse.Namespace, seed: int | None = None) -> SceneSettings:
    """``seed``: where no flag says one. Raises StoryboardError naming the flag."""
    settings = SceneSettings(
        aspect=flags.aspect,
        size_px=None if flags.size is None else size_of(flags.size),
        fps=_within("--fps", flags.fps, 1, 120),
        duration_s=_within("--duration", flags.duration, 0.001, 600.0),
        num_frames=_within("--frames", flags.frames, 1, 100_000),
        num_chunks=_within("--chunks", flags.chunks, 1, 1000),
        num_steps=_within("--steps", flags.steps, 1, 1000),
        guidance_scale=guidance_of(flags.guidance, flags.nvidia_guidance),
        sampler=flags.sampler,
        seed=_within("--seed", flags.seed if flags.seed is not None else seed, 0, MAX_SEED),
        negative_prompt=flags.negative_prompt,
        input=flags.input,
        num_input_frames=_within("--num-input-frames", flags.num_input_frames, 1, 10_000),
        reimagine=flags.reimagine,
        strength=_within("--strength", flags.strength, 0, 1),
        first_frame_strength=_within("--first-frame-strength", flags.first_frame_strength, 0, 1),
        continue_num_frames=_within("--continue-frames", flags.continue_frames, 1, 10_000),
        precision=flags.precision,
        offload=flags.offload,
        guidance_branches=flags.guidance_branches,
    )
    _check_start(settings)
    if flags.nvidia_guidance and settings.guidance_scale is not None:
        scale = f"{settings.guidance_scale:g} in the usual convention"
        print(f"NVIDIA's guidance {flags.guidance:g} is {scale}.", file=sys.stderr)
    return settings


def _check_start(settings: SceneSettings) -> None:
    if settings.input is not None and settings.reimagine is not None:
        raise StoryboardError.at("--input", "a scene starts from a file or re-imagines one; leave out one of the two")
    for flag, value in {
        "--strength": settings.strength,
        "--first-frame-strength": settings.first_frame_strength,
    }.items():
        if value is not None and settings.reimagine is None:
            raise StoryboardError.at(flag, "is of a clip that is re-imagined; name it with --reimagine CLIP")


def size_of(text: str) -> tuple[int, int]:
    """``1280x704`` -> (1280, 704). Raises StoryboardError."""
    found = re.fullmatch(r"([0-9]{1,5})[x×*:]([0-9]{1,5})", text.strip().lower())
    if found is None:
        raise StoryboardError.at("--size", f'must be WIDTHxHEIGHT in pixels such as 1280x704, not "{text[:40]}"')
    return int(found[1]), int(found[2])


def guidance_of(value: float | None, nvidias: bool) -> float | None:
    """In the usual convention: NVIDIA's g weighs what is added to the conditional answer, ours is 1 + g."""
    if value is None:
        return None
    scale = 1.0 + value if nvidias else value
    if not 0 <= scale <= MAX_GUIDANCE:
        raise StoryboardError.at("--guidance", f"{scale:g} is not from 0 to {MAX_GUIDANCE:g}; 3 to 8 is usual")
    return scale


def _within(flag: str, value: N | None, lowest: float, highest: float) -> N | None:
    if value is not None and not lowest <= value <= highest:
        raise StoryboardError.at(flag, f"must be from {lowest:g} to {highest:g}, not {value}")
    return value


def with_settings(storyboard: Storyboard, settings: SceneSettings, card: ModelCard) -> Storyboard:
    """The storyboard with what the flags say in it and in every scene. Raises StoryboardError."""
    if card.joint is not None and settings.starts:
        what = f"{card.title} denoises a storyboard from words alone, as one"
        raise StoryboardError.at(settings.starts[0], f"{what}; leave it out, or choose another model")
    names = ("aspect", "size_px", "fps", "seed")
    changes = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    speed = {
        "precision": settings.precision,
        "offload": settings.offload,
        "guidance": settings.guidance_branches,
    }
    whole = document_of(storyboard)
    whole["speed"] |= {name: value for name, value in speed.items() if value is not None}
    changed = read_document({**whole, **changes})
    duration_s = _duration_s(changed, settings, card)
    scenes = [_scene_with(scene, settings, duration_s) for scene in changed.scenes]
    return read_document({**document_of(changed), "scenes": [scene.model_dump(mode="json") for scene in scenes]})


def _duration_s(storyboard: Storyboard, settings: SceneSettings, card: ModelCard) -> float | None:
    """Of every scene, as seconds, frames or chunks say it."""
    fps = storyboard.fps if storyboard.fps and card.traits.reads_fps else card.fps
    if settings.num_chunks is not None:
        return num_frames_of_chunks(settings.num_chunks, settings.continue_num_frames, card) / fps
    return settings.duration_s if settings.num_frames is None else settings.num_frames / fps


def with_default_length(settings: SceneSettings, card: ModelCard) -> SceneSettings:
    """Of one sampler call, where no flag says how long."""
    if (settings.duration_s, settings.num_frames, settings.num_chunks) != (None, None, None):
        return settings
    if card.joint is not None:
        return replace(settings, num_chunks=1)
    most = int(card.max_duration_s * card.fps)
    return replace(settings, num_frames=max(1, min(card.chunk_num_frames, most)))


def num_frames_of_chunks(num_chunks: int, continue_num_frames: int | None, card: ModelCard) -> int:
    """Each chunk but the first repeats frames of the one before; a joint model's chunk is a segment."""
    if card.joint is not None:
        return num_chunks * card.joint.segment_num_frames
    kept = card.continue_num_frames if continue_num_frames is None else continue_num_frames
    taken_over = max((count for count in card.conditioning_num_frames if count <= kept), default=0)
    return num_chunks * card.chunk_num_frames - (num_chunks - 1) * taken_over


def _scene_with(scene: Scene, settings: SceneSettings, duration_s: float | None) -> Scene:
    overrides: dict[str, object] = {
        "num_steps": settings.num_steps,
        "guidance_scale": settings.guidance_scale,
        "sampler": settings.sampler,
    }
    changes: dict[str, object] = {
        "duration_s": duration_s,
        "seed": settings.seed,
        "negative_prompt": settings.negative_prompt,
        "continue_num_frames": settings.continue_num_frames,
        "overrides": scene.overrides.model_copy(update={n: v for n, v in overrides.items() if v is not None}),
        "conditioning": _start(scene, settings),
    }
    return scene.model_copy(update={name: value for name, value in changes.items() if value is not None})


def _start(scene: Scene, settings: SceneSettings) -> Conditioning | None:
    """What the scene starts from: its own, else what a flag names."""
    if scene.conditioning is not None:
        own, num_frames = scene.conditioning, settings.num_input_frames
        return own if num_frames is None else own.model_copy(update={"num_frames": num_frames})
    if settings.reimagine is not None:
        strength = DEFAULT_STRENGTH if settings.strength is None else settings.strength
        media = str(Path(settings.reimagine).resolve())
        return Conditioning(media=media, strength=float(strength), first_frame_strength=settings.first_frame_strength)
    if settings.input is not None:
        return Conditioning(media=str(Path(settings.input).resolve()), num_frames=settings.num_input_frames or 1)
    return None
