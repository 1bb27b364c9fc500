"""``--benchmark N``: the same scene rendered N times after one time that is not counted, and what each stage took.

Comes in: a storyboard of one scene, its model's card. Goes out: mean and spread of each stage, memory, tokens and,
where its arithmetic is known, operations per second: as a table and as JSON. Each run has a seed of its own that no run
had before, since a recipe that is there is not rendered again; the runs' project goes to the trash. A prompt is encoded
once, so counted runs find it encoded. Does not know flags.
"""

import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.cards import ModelCard
from engine.contract.families.cosmos import CosmosSettings
from engine.contract.jobs import Job, Take
from studio.cli.engine_supervisor import EngineSession
from studio.cli.terminal import Display
from studio.document.storyboard import Storyboard
from studio.downloads.files import gigabytes
from studio.errors import FilmError
from studio.planning.cost import num_tokens
from studio.studio import Studio
from studio.views.types import BoardView

PATH = Path("benchmark")
STAGES = ("encode", "denoise", "decode", "write")


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds. ``deviation_s``: of the sample; 0 of a single run."""

    mean_s: float
    deviation_s: float
    least_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """``tflops``: of denoising, on all ranks together; None: the model's arithmetic is not known here."""

    stages: dict[str, Spread]
    num_tokens: int
    num_evaluations: int
    memory_bytes: int
    tflops: float | None


class Benchmark:
    def __init__(self, studio: Studio, session: EngineSession, display: Display) -> None:
        self._studio = studio
        self._session = session
        self._display = display
        self._memory_bytes = 0

    def run(self, storyboard: Storyboard, card: ModelCard, num_runs: int) -> int:
        """-> exit code. Raises StudioError, EngineError, KeyboardInterrupt."""
        project_id = self._studio.projects.open_file(PATH, storyboard).id
        try:
            takes = [self._take(storyboard, number, num_runs) for number in range(num_runs + 1)][1:]
        finally:
            self._session.close()
            self._studio.projects.delete(project_id)
        figures = figures_of(takes, card, self._memory_bytes)
        self._display.done({"event": "benchmark", **as_json(figures, num_runs)}, "\n".join(table(figures, num_runs)))
        return 0

    def _take(self, storyboard: Storyboard, number: int, num_runs: int) -> Take:
        seed = secrets.randbelow(2**32)
        scenes = tuple(scene.model_copy(update={"seed": seed}) for scene in storyboard.scenes)
        seeded = storyboard.model_copy(update={"seed": seed, "scenes": scenes})
        project_id = self._studio.projects.open_file(PATH, seeded).id
        board = self._session.render(project_id, self._show)
        failed = [scene.reason or scene.state for scene in board.scenes if scene.state != "fresh"]
        if failed:
            raise FilmError(f"run {number}: {failed[0]}")
        take = next(take for take in reversed(self._studio.rendering.takes(project_id)) if take.seed == seed)
        what = f"run {number} of {num_runs}" if number else "first run, not counted"
        fields: dict[str, object] = {"event": "run", "number": number, "seconds": take.render_s}
        self._display.done(fields, f"{what}: {take.render_s:.3g} s")
        return take

    def _show(self, board: BoardView) -> None:
        for scene in board.scenes:
            if scene.progress is not None:
                self._memory_bytes = max(self._memory_bytes, scene.progress.memory_bytes)


def figures_of(takes: Sequence[Take], card: ModelCard, memory_bytes: int) -> Figures:
    job = takes[0].job
    stages = {stage: spread([take.timings_s.get(stage, 0.0) for take in takes]) for stage in STAGES}
    stages["all"] = spread([take.render_s for take in takes])
    denoise_s = stages["denoise"].mean_s
    operations = operations_of(job, card)
    return Figures(
        stages=stages,
        num_tokens=num_tokens(job, card),
        num_evaluations=job.num_evaluations,
        memory_bytes=memory_bytes,
        tflops=operations / denoise_s / 1e12 if operations and denoise_s else None,
    )


def spread(seconds: Sequence[float]) -> Spread:
    deviation_s = statistics.stdev(seconds) if len(seconds) > 1 else 0.0
    return Spread(statistics.fmean(seconds), deviation_s, min(seconds), max(seconds))


def operations_of(job: Job, card: ModelCard) -> float:
    """Of denoising: 2 per weight and token, and 4 N^2 D per layer for attention; 0 for a joint or sparse model."""
    settings = card.settings_as(CosmosSettings)
    if job.joint or (settings is not None and settings.neighborhood):
        return 0.0
    tokens, branches = num_tokens(job, card), 1 if job.guidance_scale == 1 else 2
    attention = 4.0 * card.network.num_blocks * tokens**2 * card.network.width
    return job.num_evaluations * branches * (2.0 * card.network.num_parameters * tokens + attention)


def as_json(figures: Figures, num_runs: int) -> dict[str, object]:
    stages = {
        stage: {"mean_s": each.mean_s, "deviation_s": each.deviation_s, "least_s": each.least_s, "most_s": each.most_s}
        for stage, each in figures.stages.items()
    }
    return {
        "runs": num_runs,
        "stages": stages,
        "tokens": figures.num_tokens,
        "evaluations": figures.num_evaluations,
        "memory_bytes": figures.memory_bytes or None,
        "tflops": figures.tflops,
    }


def table(figures: Figures, num_runs: int) -> list[str]:
    lines = [f"{'stage':8}  {'mean s':>9}  {'spread':>9}  {'least':>9}  {'most':>9}"]
    for stage, each in figures.stages.items():
        numbers = (each.mean_s, each.deviation_s, each.least_s, each.most_s)
        lines.append(f"{stage:8}  " + "  ".join(f"{number:9.3f}" for number in numbers))
    runs = "1 run" if num_runs == 1 else f"{num_runs} runs"
    facts = [runs, f"{figures.num_tokens} tokens", f"{figures.num_evaluations} evaluations"]
    facts += [f"{gigabytes(figures.memory_bytes)} of memory"] * bool(figures.memory_bytes)
    facts += [f"{figures.tflops:.3g} TFLOP/s while denoising"] if figures.tflops else []
    return [*lines, ", ".join(facts)]
