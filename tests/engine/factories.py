"""Jobs, pictures and waiting, for the tests of this folder.

Comes in: what a test cares about. Goes out: complete values. Does not know the service.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from engine.client.client import EngineClient
from engine.contract.assistants import AssistantJob, AssistantRequest
from engine.contract.events import TERMINAL, Event, Started, Step
from engine.contract.jobs import Job, JobConditioning, SamplerSettings, Segment, Speed, make_job

WAIT_S = 60.0
"""Longest wait for anything in these tests; nothing is expected to come near it."""


def a_job(
    prompt: str = "a red fox",
    *,
    job_id: str | None = None,
    seed: int = 1,
    scene_id: str = "s1",
    project_id: str = "p1",
    model: str = "tiny",
    weights: str = "0" * 64,
    num_steps: int = 4,
    num_segments: int = 1,
    num_frames: int = 9,
    conditioning: JobConditioning | None = None,
) -> Job:
    """A complete job for ``tests.engine.runtime.tiny`` or the fake group: 48 x 32 pixels, 9 frames."""
    segments = tuple(
        Segment(
            scene_id=scene_id,
            prompt=prompt,
            negative_prompt="",
            num_frames=9,
            num_overlap_frames=5 if i else 0,
            starts_scene=i == 0,
        )
        for i in range(num_segments)
    )
    settings = {"id": job_id} if job_id else {}
    return make_job(
        **settings,
        project_id=project_id,
        scene_ids=(scene_id,),
        model=model,
        weights=weights,
        segments=segments,
        size_px=(48, 32),
        fps=8,
        num_frames=num_frames,
        seed=seed,
        sampler=SamplerSettings(name="euler", num_steps=num_steps, sigma_max=80.0, sigma_min=0.002, rho=7.0),
        guidance_scale=3.0,
        conditioning=conditioning,
        speed=Speed(precision="float32"),
    )


def an_ask(request: AssistantRequest, job_id: str, *, model: str = "scribe", weights: str = "0" * 64) -> AssistantJob:
    """A job for an assistant."""
    return AssistantJob(id=job_id, project_id="p1", model=model, weights=weights, request=request)


def a_picture(path: Path, size_px: tuple[int, int] = (48, 32), seed: int = 0) -> Path:
    """A PNG of noise, so that its file is about as large as its pixels."""
    width, height = size_px
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return path


def until(events: Iterator[Event], stop: Callable[[Event], bool]) -> list[Event]:
    """All events up to the first that ``stop`` accepts, which is the last one here."""
    seen: list[Event] = []
    for event in events:
        seen.append(event)
        if stop(event):
            return seen
    raise AssertionError(f"the stream ended after {seen[-3:]}")


def events_of(client: EngineClient, job_id: str) -> list[Event]:
    """A job's events from its first to its terminal one."""
    stream = client.events(0)
    try:
        seen = until(stream, lambda event: ends(event, job_id))
    finally:
        stream.close()
    return [event for event in seen if getattr(event, "job_id", None) == job_id]


def ends(event: Event, job_id: str) -> bool:
    return isinstance(event, TERMINAL) and event.job_id == job_id


def wait_for_step(client: EngineClient, job_id: str, step: int = 1, stage: str = "denoise", attempt: int = 1) -> None:
    """Until a job's step of an attempt is done."""
    stream = client.events(0)
    try:
        begun = until(stream, lambda e: isinstance(e, Started) and (e.job_id, e.attempt) == (job_id, attempt))
        assert begun
        until(
            stream,
            lambda e: isinstance(e, Step) and e.job_id == job_id and e.stage == stage and e.step >= step,
        )
    finally:
        stream.close()


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline_s, f"{what}: not within {WAIT_S} s"
        time.sleep(0.01)


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def milestones(events: list[Event]) -> list[str]:
    """Types without those of progress."""
    return [event.type for event in events if event.type not in ("stage", "step", "preview")]


def processes_of(workspace: Path) -> set[int]:
    """Process ids of all ranks and guards that work for a workspace: it is in their environment."""
    mark = f"STORYBOARD_WORKSPACE={workspace.resolve()}".encode()
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX" and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except OSError:
            continue
    return found
