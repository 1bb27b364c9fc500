"""What plan tests share: one model card and presets that never change, takes without files, random storyboards.

Comes in: numbers. Goes out: values of the studio and the contract. Does not know the bundled model or real presets.
"""

from typing import Any

from hypothesis import strategies as st

from engine.contract.cards import (
    AutoencoderSizes,
    LatentPreview,
    ModelCard,
    ModelStatus,
    NetworkSizes,
    Part,
    Parts,
    SamplerDefaults,
    TextSizes,
)
from engine.contract.jobs import Job, Take
from engine.contract.media import MediaInfo
from studio.plan import Plan, plan
from studio.presets import Preset
from studio.storyboard import Conditioning, Overrides, Scene, Storyboard

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
    """The take that a job would give, without a file; 1 s an evaluation-rich clip, 2 of 3 seconds denoising."""
    return Take(
        id=name or f"take-{job.recipe[:12]}",
        recipe=job.recipe,
        scene_id=job.scene_ids[0],
        job=job,
        media="b" * 64,
        first_frame=0,
        num_frames=job.num_frames,
        fps=job.fps,
        size_px=job.size_px,
        seed=job.seed,
        render_s=3.0 * len(job.segments),
        versions={},
        timings_s={"denoise": 2.0 * len(job.segments)},
    )


def rendered(storyboard: Storyboard, **settings: Any) -> list[Take]:
    """A take of every scene as it stands."""
    return [take_of(job) for job in planned(storyboard, **settings).jobs]


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}", fullmatch=True)
seconds = st.floats(0.01, 600, allow_nan=False)
seeds = st.integers(0, 2**32 - 1)
conditionings = st.builds(
    Conditioning,
    media=words.filter(bool),
    num_frames=st.integers(1, 100),
    strength=st.none() | st.floats(0.01, 1),
)
scenes = st.builds(
    Scene,
    id=ids,
    prompt=words,
    negative_prompt=words,
    duration_s=seconds,
    transition=st.sampled_from(["cut", "continue", "crossfade"]),
    crossfade_s=st.floats(0.01, 10),
    conditioning=st.none() | conditionings,
    seed=st.none() | seeds,
    overrides=st.builds(Overrides, num_steps=st.none() | st.integers(1, 1000)),
    notes=words,
    chosen_take=st.none() | ids,
)
storyboards = st.builds(
    Storyboard,
    title=words,
    aspect=st.sampled_from(["3:2", "16:9", "1:1"]),
    fps=st.none() | st.integers(1, 120),
    look=words,
    negative_look=words,
    model=ids,
    preset=ids,
    seed=seeds,
    scenes=st.lists(scenes, max_size=5, unique_by=lambda scene: scene.id).map(tuple),
)
