"""What the engine adds to a render: ``python -m benchmarks.overhead [--json] [--jobs N] [--model NAME] [--ranks N]``.

Comes in: a model of this machine (the bundled one, or the tests' tiny one where that is not there). Goes out: medians
over at least ten jobs, one at a time, with the model resident. Does not know how jobs are planned.

* overhead_ms: from ``submit`` to the ``Finished`` event at the client, less the pipeline's own stages (``timings_s``).
* first_step_ms: from ``submit`` to the first ``Step`` event at the client, less that step's own seconds: the wait until
  the denoiser begins, text encoding included. ``first_step_done_ms`` is the same with the step.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.client.client import EngineClient
from engine.contract.cards import ModelStatus
from engine.contract.events import EngineUp, Failed, Finished, JobRejected, Step
from engine.contract.jobs import Job, SamplerSettings, Segment, Speed, make_job
from engine.service.launch import ensure_engine, stop_engine
from engine.service.settings import default_roots
from engine.storage.card_files import BUNDLED_ROOT
from engine.storage.workspace import Workspace

OVERHEAD_TARGET_MS, FIRST_STEP_TARGET_MS = 150.0, 300.0
NUM_WARM_UPS = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one job, in milliseconds. ``pipeline_ms``: what the take says its stages took."""

    total_ms: float
    pipeline_ms: float
    overhead_ms: float
    first_step_ms: float
    first_step_done_ms: float


def main() -> int:
    flags = _flags()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        workspace = Workspace.at(Path(folder) / "workspace")
        cards, root, name = _roots(Path(folder), flags.model)
        client = ensure_engine(workspace, ranks=flags.ranks, cards=cards, models_root=root, die_with_parent=True)
        try:
            timings = measure(client, name, flags.jobs, flags.num_steps)
        finally:
            client.close()
            stop_engine(workspace)
    return _report(timings, name, flags)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--jobs", type=int, default=10, help="jobs measured, at least 10 for a statement")
    parser.add_argument("--model", default="", help="name of a model card; tiny: the tests' model")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--num-steps", type=int, default=8)
    return parser.parse_args()


def _roots(folder: Path, model: str) -> tuple[Path, Path, str]:
    """-> (cards, models' root, name): the bundled model where its weights are, else the tests' tiny one."""
    cards, root = default_roots()
    if model != "tiny" and (model or (BUNDLED_ROOT / "assets" / "diorama" / "transformer").is_dir()):
        return cards, root, model or "diorama"
    from tests.engine.runtime.tiny import make_tiny_model

    make_tiny_model(folder / "models", folder / "cards")
    return folder / "cards", folder / "models", "tiny"


def measure(client: EngineClient, name: str, num_jobs: int, num_steps: int) -> list[Timing]:
    """Warms up, then runs jobs one after the other, each with a seed of its own so that none exists already."""
    (model,) = (status for status in client.models() if status.card.name == name)
    assert model.available, model.reason
    stream = client.events(0)
    next(event for event in stream if isinstance(event, EngineUp))
    stream.close()
    jobs = [_job(model, seed, num_steps) for seed in range(NUM_WARM_UPS + num_jobs)]
    return [_time(client, job) for job in jobs][NUM_WARM_UPS:]


def _job(model: ModelStatus, seed: int, num_steps: int) -> Job:
    card = model.card
    segment = Segment(
        scene_id="s1",
        prompt="a red fox walks to the right in a forest",
        negative_prompt="",
        num_frames=card.chunk_num_frames,
        num_overlap_frames=0,
        starts_scene=True,
    )
    schedule = card.sampler.model_dump(exclude={"allowed"})
    return make_job(
        project_id="overhead",
        scene_ids=("s1",),
        model=card.name,
        weights=model.fingerprint,
        segments=(segment,),
        size_px=card.sizes_px[card.default_aspect],
        fps=card.fps,
        num_frames=card.chunk_num_frames,
        seed=seed,
        sampler=SamplerSettings(**schedule, num_steps=num_steps),
        guidance_scale=card.guidance_scale,
        conditioning=None,
        speed=Speed(precision=card.precision),
    )


def _time(client: EngineClient, job: Job) -> Timing:
    """The stream holds all events since before the job. It connects when it is first read, which is counted too."""
    stream = client.events(client.status().last_seq)
    first: tuple[float, float] | None = None
    began_s = time.perf_counter()
    client.submit(job)
    for event in stream:
        if isinstance(event, Step) and event.job_id == job.id and first is None:
            first = (time.perf_counter() - began_s, event.step_s)
        if isinstance(event, (Failed, JobRejected)):
            raise SystemExit(event.reason)
        if isinstance(event, Finished) and event.job_id == job.id:
            total_s = time.perf_counter() - began_s
            stream.close()
            assert first is not None, "a job without a step"
            pipeline_s = sum(event.takes[0].timings_s.values())
            return Timing(
                *(1e3 * s for s in (total_s, pipeline_s, total_s - pipeline_s, first[0] - first[1], first[0]))
            )
    raise AssertionError("the stream goes on until it is closed")


def _report(timings: list[Timing], name: str, flags: argparse.Namespace) -> int:
    medians = {key: round(statistics.median(asdict(each)[key] for each in timings), 1) for key in asdict(timings[0])}
    report = {
        "model": name,
        "jobs": len(timings),
        "ranks": flags.ranks,
        "num_steps": flags.num_steps,
        "medians": medians,
        "overhead_ms_all": [round(each.overhead_ms, 1) for each in timings],
        "first_step_ms_all": [round(each.first_step_ms, 1) for each in timings],
        "load_average": os.getloadavg()[0],
        "targets_ms": {"overhead": OVERHEAD_TARGET_MS, "first_step": FIRST_STEP_TARGET_MS},
        "reached": medians["overhead_ms"] <= OVERHEAD_TARGET_MS and medians["first_step_ms"] <= FIRST_STEP_TARGET_MS,
    }
    if flags.json:
        print(json.dumps(report))
    else:
        for key, value in report.items():
            print(f"{key:18} {value}")
    return 0 if report["reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
