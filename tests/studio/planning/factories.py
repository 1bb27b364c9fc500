"""What plan tests share: one model card and presets that never change, takes without files, random storyboards.

Comes in: numbers. Goes out: values of the studio and the contract. Does not know the bundled model or real presets.
"""

import hashlib
from typing import Any

from hypothesis import strategies as st

from engine.contract.card_values import (
    AutoencoderSizes,
    Joint,
    LatentPreview,
    NetworkSizes,
    Part,
    Parts,
    SamplerDefaults,
    TextSizes,
)
from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.families.ttt import TttSettings
from engine.contract.jobs import Job, Span, Take
from engine.contract.media import MediaInfo
from studio.document.storyboard import Conditioning, FirstFrame, Overrides, Scene, Storyboard
from studio.planning.plan import Plan, plan
from studio.planning.presets import Preset

CARD = ModelCard(
    name="tiny",
    title="Tiny",
    summary="A model for tests.",
    family="cosmos",
    licence="Apache-2.0",
    origin="tests",
    parts=Parts(
        network=Part(folder="tiny", paths=("network",)),
        autoencoder=Part(folder="tiny", paths=("autoencoder",)),
        text_encoder=Part(folder="tiny", paths=("text_encoder",)),
    ),
    network=NetworkSizes(width=32, num_blocks=1, num_heads=2, patch_spatial=2, num_parameters=1000),
    autoencoder=AutoencoderSizes(spatial_factor=8, temporal_factor=4, latent_channels=2),
    text=TextSizes(max_tokens=24),
    sizes_px={"3:2": (96, 64), "1:1": (64, 64)},
    default_aspect="3:2",
    fps=8,
    chunk_num_frames=17,
    conditioning_num_frames=(1, 5),
    continue_num_frames=5,
    max_duration_s=60,
    sampler=SamplerDefaults(name="res_2ab", sigma_max=80, sigma_min=0.002, rho=7),
    guidance_scale=3,
    precision="float32",
    capabilities=("text", "image", "clip", "continue", "sdedit", "negative_prompt"),
    vocabulary=(
        "a",
        "ball",
        "boat",
        "butterfly",
        "red",
        "blue",
        "moves",
        "right",
        "in",
        "the",
        "meadow",
        "fox",
        "glass",
    ),
    vocabulary_hint="It draws balls and boats.",
    preview=LatentPreview(weight=((0, 0), (0, 0), (0, 0)), bias=(0.5, 0.5, 0.5)),
)
STATUS = ModelStatus(card=CARD, fingerprint="f" * 64, available=True)
MODELS = {"tiny": STATUS}


def card(name: str, base: ModelCard = CARD, **differs: Any) -> ModelCard:
    """Another model than ``base``; it knows all words."""
    return base.model_copy(update={"name": name, "title": name.title(), "vocabulary": (), **differs})


def known(*cards: ModelCard, missing: tuple[str, ...] = ()) -> dict[str, ModelStatus]:
    """These models and the tiny one; the weights of those in ``missing`` are not here."""
    return MODELS | {
        each.name: ModelStatus(card=each, fingerprint="", available=False, reason=f"{each.name}/: no weights.")
        if each.name in missing
        else ModelStatus(card=each, fingerprint=hashlib.sha256(each.name.encode()).hexdigest(), available=True)
        for each in cards
    }


PAINTER = card(
    "painter",
    makes="picture",
    sizes_px={"1:1": (64, 64), "16:9": (128, 72)},
    chunk_num_frames=1,
    conditioning_num_frames=(),
    max_duration_s=1,
    num_steps=12,
    guidance_scale=5,
    negative_prompt="ugly",
    capabilities=("text", "negative_prompt"),
)
"""Makes first frames, as Cosmos-Predict2's Text2Image does."""
ANIMATOR = card("animator", first_frame="painter", negative_prompt="blurred", capabilities=(*CARD.capabilities[1:],))
"""Animates first frames, as Cosmos-Predict2's Video2World does."""
WRITER = card("writer", conditioning_num_frames=(), capabilities=("text", "negative_prompt"))
"""From text alone, as Cosmos-Predict1's Text2World does."""
TOGETHER = card(
    "together",
    base=WRITER,
    family="ttt",
    autoencoder=CARD.autoencoder.model_copy(update={"kind": "cogvideox"}),
    sizes_px={"3:2": (96, 64)},
    fps=16,
    chunk_num_frames=49,
    max_duration_s=63,
    text=TextSizes(max_tokens=24, by_num_segments={3: 12}),
    ttt=TttSettings(ssm_layer="ttt_mlp", mini_batch_size=4, base_lr=0.1),
    joint=Joint(segment_num_frames=48, trained_num_segments=(1, 3), max_num_segments=5),
    sampler=SamplerDefaults(name="dpmpp_2m_sde", allowed=("dpmpp_2m_sde", "ddim"), schedule="zero_snr"),
    guidance_schedule="ramp",
)
"""Denoises all scenes together, as TTT-Video does."""


def preset(name: str, order: int, num_steps: int) -> Preset:
    return Preset(
        name=name,
        title=name.title(),
        summary="For tests.",
        order=order,
        sampler="res_2ab",
        num_steps=num_steps,
        guidance_scale="model",
        precision="model",
        offload="none",
        guidance="batched",
        preview_every=2,
    )


PRESETS = {"draft": preset("draft", 1, 6), "balanced": preset("balanced", 2, 20)}
PICTURE = MediaInfo(
    sha256="a" * 64, kind="image", size_px=(96, 64), num_frames=1, fps=0, num_bytes=10, content_type="image/png"
)
CLIP = MediaInfo(
    sha256="c" * 64, kind="clip", size_px=(96, 64), num_frames=9, fps=8, num_bytes=10, content_type="video/mp4"
)
MEDIA = {"picture.png": PICTURE, "clip.mp4": CLIP}


def board(*scenes: dict[str, Any], **fields: Any) -> Storyboard:
    """A storyboard of the tiny model; scenes are numbered scene-1 and on, and say something unless told otherwise."""
    whole = tuple(Scene(**{"id": f"scene-{n}", "prompt": "a red ball", **s}) for n, s in enumerate(scenes, start=1))
    return Storyboard(model="tiny", scenes=whole, **fields)


def planned(storyboard: Storyboard, **settings: Any) -> Plan:
    return plan(storyboard, **{"presets": PRESETS, "models": MODELS, "media": MEDIA, **settings})


def take_of(job: Job, name: str = "") -> Take:
    """The take that a job of one scene would give, without a file; 2 of 3 seconds for each segment denoising."""
    return takes_of(job, name)[0]


def takes_of(job: Job, name: str = "") -> list[Take]:
    """A take for each of a job's scenes."""
    return [_take(job, span, name or f"take-{span.recipe[:12]}") for span in job.spans]


def _take(job: Job, span: Span, name: str) -> Take:
    num_segments = len(job.segments) * (span.end - span.start) / job.num_frames
    return Take(
        id=name,
        recipe=span.recipe,
        scene_id=span.scene_id,
        job=job,
        media="b" * 64,
        first_frame=span.start,
        num_frames=span.end - span.start,
        fps=job.fps,
        size_px=job.size_px,
        seed=job.seed,
        render_s=3.0 * num_segments,
        versions={},
        timings_s={"denoise": 2.0 * num_segments},
    )


def rendered(storyboard: Storyboard, **settings: Any) -> list[Take]:
    """A take of every scene as it stands."""
    return [take for job in planned(storyboard, **settings).jobs for take in takes_of(job)]


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}", fullmatch=True)
seconds = st.floats(0.01, 600, allow_nan=False)
seeds = st.integers(0, 2**32 - 1)
conditionings = st.builds(
    Conditioning,
    media=words.filter(bool),
    num_frames=st.integers(1, 100),
    strength=st.none() | st.floats(0, 1),
    first_frame_strength=st.none() | st.floats(0, 1),
)
scenes = st.builds(
    Scene,
    id=ids,
    prompt=words,
    chunk_prompts=st.lists(words, max_size=3).map(tuple),
    negative_prompt=words,
    duration_s=seconds,
    transition=st.sampled_from(["cut", "continue", "crossfade"]),
    crossfade_s=st.floats(0.01, 10),
    conditioning=st.none() | conditionings,
    first_frame=st.builds(FirstFrame, prompt=words, seed=st.none() | seeds),
    seed=st.none() | seeds,
    overrides=st.builds(Overrides, num_steps=st.none() | st.integers(1, 1000)),
    notes=words,
    chosen_take=st.none() | ids,
)
storyboards = st.builds(
    Storyboard,
    title=words,
    aspect=st.sampled_from(["3:2", "16:9", "1:1"]),
    size_px=st.none()
    | st.tuples(st.integers(1, 64), st.integers(1, 64)).map(lambda size: (size[0] * 16, size[1] * 16)),
    fps=st.none() | st.integers(1, 120),
    look=words,
    negative_look=words,
    model=ids,
    preset=ids,
    seed=seeds,
    scenes=st.lists(scenes, max_size=5, unique_by=lambda scene: scene.id).map(tuple),
)
