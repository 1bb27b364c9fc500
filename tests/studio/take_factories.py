"""Takes for tests, valid in every field, without an engine. Does not know what is tested."""

import hashlib

from engine.contract.jobs import SamplerSettings, Segment, Speed, Take, make_job


def a_take(
    name: str,
    media: str = "0" * 64,
    num_frames: int = 8,
    fps: int = 8,
    size_px: tuple[int, int] = (96, 64),
    prompt: str = "a red ball",
) -> Take:
    """A take of one scene; takes of other names have other recipes."""
    job = make_job(
        project_id="p-test",
        scene_ids=(name,),
        model="diorama",
        weights="f" * 64,
        segments=(
            Segment(
                scene_id=name,
                prompt=prompt,
                negative_prompt="",
                num_frames=17,
                num_overlap_frames=0,
                starts_scene=True,
            ),
        ),
        size_px=size_px,
        fps=fps,
        num_frames=num_frames,
        seed=int(hashlib.sha256(name.encode()).hexdigest()[:6], 16),
        sampler=SamplerSettings(name="res_2ab", num_steps=4, sigma_max=80.0, sigma_min=0.002, rho=7.0),
        guidance_scale=3.0,
        conditioning=None,
        speed=Speed(precision="float32"),
    )
    return Take(
        id=job.recipe,
        recipe=job.recipe,
        scene_id=name,
        job=job,
        media=media,
        first_frame=0,
        num_frames=num_frames,
        fps=fps,
        size_px=size_px,
        seed=job.seed,
        render_s=2.0,
        versions={"engine": "test"},
        timings_s={"denoise": 1.5, "decode": 0.5},
    )
