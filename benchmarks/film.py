"""From words to a film, measured: seconds per scene per preset, a film with nothing to render, a plan of 60 scenes.

Comes in: flags, the bundled model. Goes out: numbers, as text or one JSON object; exit code 1 where a limit is missed.
Run: ``python -m benchmarks.film [--json] [--presets draft fast] [--ranks N] [--workspace DIR]``. Does not know pixels.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.service.launch import ensure_engine, stop_engine
from engine.storage.workspace import Workspace
from studio.document.storyboard import Scene, Storyboard
from studio.planning.presets import load_presets
from studio.studio import Studio

NOTHING_TO_RENDER_LIMIT_S = 1.0
PLAN_LIMIT_S = 0.5
SCENES = (
    Scene(id="meadow", prompt="a red ball rolls to the right in a meadow", duration_s=2),
    Scene(id="sea", prompt="a blue boat sails to the left on the ocean", duration_s=2),
)


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of a few runs: the work itself, without what else the machine does."""
    taken: list[float] = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return round(min(taken), 4)


def plan_of_sixty(folder: Path) -> float:
    """A first plan, in a project of 60 scenes of which every third continues the one before."""
    studio = Studio(Workspace.at(folder), examples=False)
    try:
        scenes = tuple(
            Scene(id=f"s{n}", prompt=f"a red ball {n}", duration_s=3, transition="continue" if n % 3 == 2 else "cut")
            for n in range(60)
        )
        project = studio.projects.create(Storyboard(scenes=scenes))
        studio.rendering.models()
        return seconds(lambda: _planned_anew(studio, project.id))
    finally:
        studio.close()


def _planned_anew(studio: Studio, project_id: str) -> None:
    studio.rendering.update_models(list(studio.rendering.models().values()))
    studio._states.forget_all()  # so that nothing is remembered from the run before
    studio.rendering.plan(project_id)


def rendered(studio: Studio, preset: str, seed: int) -> str:
    """A new film; -> project id."""
    storyboard = Storyboard(title=preset, preset=preset, seed=seed, scenes=SCENES)
    project = studio.projects.create(storyboard)
    studio.rendering.render(project.id)
    finished(studio, project.id)
    return project.id


def finished(studio: Studio, project_id: str) -> None:
    """Waits for the film. Raises RuntimeError where a scene failed."""
    for _ in studio.views.changes(project_id):
        board = studio.views.board(project_id)
        failed = [f"{card.id}: {card.reason}" for card in board.scenes if card.state in ("failed", "unplannable")]
        if failed:
            raise RuntimeError("; ".join(failed))
        if board.film.up_to_date and not board.render.busy:
            return


def render_all(folder: Path, presets: Sequence[str], ranks: int) -> dict[str, object]:
    workspace = Workspace.at(folder)
    client = ensure_engine(workspace, ranks=ranks, die_with_parent=True)
    studio = Studio(workspace, client, examples=False)
    try:
        rendered(studio, "draft", seed=1)  # the model is loaded now
        per_scene: dict[str, float] = {}
        project_id = ""
        for preset in presets:
            begun = time.perf_counter()
            project_id = rendered(studio, preset, seed=2)
            per_scene[preset] = round((time.perf_counter() - begun) / len(SCENES), 3)
        return {"seconds_per_scene": per_scene, "nothing_to_render_s": seconds(lambda: _again(studio, project_id))}
    finally:
        studio.close()
        client.close()
        stop_engine(workspace)


def _again(studio: Studio, project_id: str) -> None:
    """What pressing the button costs when all is fresh: judged, and the film found."""
    studio._states.forget_all()
    assert studio.rendering.render(project_id) == []
    studio.rendering.assemble(project_id)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--presets", nargs="*", default=list(load_presets()), help="those to render (none: skip)")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--workspace", type=Path, help="a folder to keep (default: thrown away)")
    flags = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = flags.workspace or Path(thrown_away)
        numbers: dict[str, object] = {"plan_60_scenes_s": plan_of_sixty(folder / "plan")}
        if flags.presets:
            numbers |= render_all(folder / "film", flags.presets, flags.ranks)
    limits = {"plan_60_scenes_s": PLAN_LIMIT_S, "nothing_to_render_s": NOTHING_TO_RENDER_LIMIT_S}
    missed = [name for name, limit in limits.items() if name in numbers and float(str(numbers[name])) > limit]
    result = {"benchmark": "film", "ranks": flags.ranks, **numbers, "limits_s": limits, "missed": missed}
    print(json.dumps(result) if flags.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
