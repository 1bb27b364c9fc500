"""Best of N with the built-in critic against a single take, on attribute combinations that ``diorama`` never saw.

Comes in: how many prompts, takes and steps. Goes out: how often all four attributes are right in the first take and in
the one that the critic prefers, as text or JSON, and a sheet of the prompts where the two differ. The critic selects by
the same reader that says what is right, which flatters it; so the subject, which is what goes wrong, is also read by
silhouettes, a reader that the critic does not have. Does not know the studio: takes are drawn as the engine draws them.

    python -m benchmarks.best_of_n --n 60 --takes 4 --steps 8
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from engine.assistants.critic import Knowledge, measured
from tools.diorama import captions, measure, world
from tools.diorama.evaluate import ATTRIBUTES, BATCH, Bundled, Settings, contact_sheet, spread

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets" / "diorama"
SIDE_PX = 40
TEMPLATE_SEEDS = range(6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=60, help="prompts")
    parser.add_argument("--takes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sheet", type=Path, default=ROOT / ".cache" / "diorama" / "sheets" / "best_of_n.png")
    args = parser.parse_args()
    figures = compare(args.n, args.takes, args.steps, args.sheet)
    print(
        json.dumps(figures, indent=1) if args.json else "\n".join(f"{key}: {value}" for key, value in figures.items())
    )


def compare(n: int, num_takes: int, num_steps: int, sheet: Path) -> dict[str, object]:
    from engine.assistants.built_in.vocabulary import read_vocabulary

    knowledge = Knowledge(read_vocabulary(measure.FOLDER), measure.reader())
    rng, asked = random.Random(11), spread(n)
    prompts = [captions.plain_caption(combination, rng) for combination in asked]
    takes = drawn(prompts, num_takes, num_steps)
    critiques = [
        [measured(clip, prompt, knowledge) for clip in own] for prompt, own in zip(prompts, takes, strict=True)
    ]
    best = [max(range(num_takes), key=lambda k, own=own: own[k].grade) for own in critiques]
    first = [own[0] for own in takes]
    chosen = [own[k] for own, k in zip(takes, best, strict=True)]
    changed = [i for i in range(n) if best[i]]
    rows = [row for i in changed for row in ((f"first: {prompts[i]}", first[i]), (f"best: {prompts[i]}", chosen[i]))]
    if rows:
        contact_sheet(rows, sheet)
    every = [(combination, clip) for combination, own in zip(asked, takes, strict=True) for clip in own]
    return {
        "prompts": n,
        "takes": num_takes,
        "steps": num_steps,
        "first take": figures_of(asked, first),
        f"best of {num_takes}": figures_of(asked, chosen),
        "all takes": figures_of([combination for combination, _ in every], [clip for _, clip in every]),
        "silhouettes on rendered truth": silhouettes_on_truth(),
        "another take than the first is preferred": len(changed),
        "sheet": str(sheet) if rows else "",
    }


def drawn(prompts: list[str], num_takes: int, num_steps: int) -> list[list[np.ndarray]]:
    """By prompt, its takes. Those that were drawn before are read again."""
    model, settings = Bundled(ASSETS), Settings(num_steps=num_steps)
    folder = ROOT / ".cache" / "diorama" / f"best_of_n_{num_steps}"
    folder.mkdir(parents=True, exist_ok=True)
    takes: list[list[np.ndarray]] = [[] for _ in prompts]
    for start in range(0, len(prompts), BATCH):
        texts = prompts[start : start + BATCH]
        for take in range(num_takes):
            file = folder / f"{start}-{len(texts)}-{take}.npy"
            if not file.is_file():
                np.save(file, model.generate(texts, settings, seed=9000 + 1000 * take + start))
                print(f"prompts {start} to {start + len(texts)}, take {take + 1}", file=sys.stderr, flush=True)
            for own, clip in zip(takes[start : start + BATCH], np.load(file), strict=True):
                own.append(clip)
    return takes


def figures_of(asked: list[world.Combination], clips: list[np.ndarray]) -> dict[str, float]:
    """Per cent right by the critic's reader, and of the subject alone by silhouettes."""
    shown = [measure.read(clip) for clip in clips]
    right = np.array([[getattr(a, k) == getattr(b, k) for k in ATTRIBUTES] for a, b in zip(asked, shown, strict=True)])
    figures = {name: share(right[:, i]) for i, name in enumerate(ATTRIBUTES)}
    outlines = [by_silhouette(clip) == combination.subject for combination, clip in zip(asked, clips, strict=True)]
    others = right[:, 1:].all(1)
    return {
        **figures,
        "all four": share(right.all(1)),
        "subject by silhouettes": share(np.array(outlines)),
        "all four with silhouettes": share(others & np.array(outlines)),
    }


def share(right: np.ndarray) -> float:
    return round(100 * float(np.mean(right)), 1)


# ---- the second reader of subjects
def by_silhouette(frames: np.ndarray) -> str | None:
    """The subject whose outline, among rendered ones, covers most of what this one covers, over all frames."""
    names, bank = templates()
    scores = np.zeros(len(names))
    for mask in masks_of(frames[::2]):
        overlap = (bank & mask).sum((1, 2)) / np.maximum((bank | mask).sum((1, 2)), 1)
        for subject in set(names):
            own = np.array([name == subject for name in names])
            scores[own] += overlap[own].max()
    return names[int(scores.argmax())] if scores.any() else None


def masks_of(frames: np.ndarray) -> Iterator[np.ndarray]:
    """(40, 40) bool around the subject of each frame that has one."""
    for frame in frames:
        at = measure.centre(frame)
        if at is not None:
            mask = np.pad(measure.chroma(frame) > 0.4, SIDE_PX // 2)
            x, y = round(at[0]), round(at[1])
            yield mask[y : y + SIDE_PX, x : x + SIDE_PX]


@cache
def templates() -> tuple[list[str], np.ndarray]:
    """Outlines of rendered subjects: several sizes, both ways round."""
    names: list[str] = []
    masks: list[np.ndarray] = []
    for subject in world.SUBJECTS:
        for seed in TEMPLATE_SEEDS:
            clip = world.render(world.Combination(subject, "blue", "stay", "snow"), 70 + seed)
            for mask in masks_of(clip.frames[::8]):
                names += [subject, subject]
                masks += [mask, mask[:, ::-1]]
    return names, np.stack(masks)


def silhouettes_on_truth() -> float:
    clips = [(c, world.render(c, 800 + i).frames) for i, c in enumerate(spread(60))]
    return share(np.array([by_silhouette(frames) == c.subject for c, frames in clips]))


if __name__ == "__main__":
    main()
