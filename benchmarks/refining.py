"""The built-in refiner on ``diorama``: sentences outside its vocabulary, drawn as they are written and refined.

Comes in: how many steps and seeds. Goes out: how often what a sentence asks for is drawn (its stated attributes, as a
person reads them), as written and refined; and for prompts that leave attributes out, whether stating them all gives
better films. Does not know the studio: clips are drawn as the engine draws them.

    python -m benchmarks.refining --steps 8 --seeds 2
"""

import argparse
import json

import numpy as np

from benchmarks.best_of_n import ASSETS, share
from engine.assistants.built_in.refiner import refine
from engine.assistants.built_in.vocabulary import read_vocabulary
from engine.storage.card_files import read_cards
from tools.diorama import measure
from tools.diorama.evaluate import ATTRIBUTES, BATCH, Bundled, Settings

ROOT = ASSETS.parents[1]
OUTSIDE: tuple[tuple[str, str], ...] = (
    ("a yacht at sunset", "boat . . ocean"),
    ("a crimson sports car races through the dunes to the right", "car red right desert"),
    ("A football bounces leftwards across the lawn", "ball . left meadow"),
    ("an indigo hot air balloon ascends over the Alps", "balloon purple up snow"),
    ("a navy blue schooner anchored in the harbour", "boat blue stay ocean"),
    ("a swallowtail flutters skywards in the garden", "butterfly . up meadow"),
    ("A lime sedan speeds eastward on a street at midnight", "car green right night"),
    ("a scarlet sphere tumbles down in the tundra", "ball red down snow"),
    ("koi swimming towards the left in the lagoon, amber", "fish orange left ocean"),
    ("a lavender balloon hovering motionless in outer space", "balloon purple stay night"),
    ("the emerald dinghy drifts westward on the lake", "boat green left ocean"),
    ("an azure convertible comes from the right through the Sahara", "car blue left desert"),
    ("a golden trout plunges beneath the waves", "fish yellow down ocean"),
    ("a ruby monarch perched on a cactus", "butterfly red stay desert"),
    ("a tangerine basketball rolling from the left to the right on ice", "ball orange right snow"),
    ("a violet racing car parked in the forest", "car purple stay meadow"),
    ("a cobalt moth descending in the moonlight", "butterfly blue down night"),
    ("A canary yellow helium balloon drifting upward above the prairie", "balloon yellow up meadow"),
    ("a lone sloop sails to the left in the starlight", "boat . left night"),
    ("clownfish rising in the desert", "fish . up desert"),
    ("an orange beach ball sinks during a blizzard", "ball orange down snow"),
    ("a taxi isn't moving in the snowfall, yellow", "car yellow stay snow"),
    ("a jade butterfly flew to the right over the pasture", "butterfly green right meadow"),
    ("purple salmon swims rightward under the stars", "fish purple right night"),
)
"""Sentences, and what a person reads in them: subject, colour, motion, setting; "." where it is not said."""
LEFT_OUT: tuple[tuple[str, str], ...] = (
    ("a boat", "boat . . ."),
    ("a red car", "car red . ."),
    ("a fish at night", "fish . . night"),
    ("something blue rises", ". blue up ."),
    ("a balloon in the snow", "balloon . . snow"),
    ("a butterfly flies to the left", "butterfly . left ."),
    ("a green ball", "ball green . ."),
    ("a purple boat in the desert", "boat purple . desert"),
    ("a car drives to the right", "car . right ."),
    ("a yellow butterfly", "butterfly yellow . ."),
    ("an orange fish stays in place", "fish orange stay ."),
    ("a ball falls in a meadow", "ball . down meadow"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    vocabulary = read_vocabulary(measure.FOLDER)
    words = read_cards(ROOT / "presets" / "models")["diorama"].vocabulary
    model, settings = Bundled(ASSETS), Settings(num_steps=args.steps)
    figures: dict[str, object] = {"steps": args.steps, "seeds": args.seeds}
    for name, sentences in (("outside the vocabulary", OUTSIDE), ("attributes left out", LEFT_OUT)):
        asked = [meaning.split() for _, meaning in sentences]
        written = [text for text, _ in sentences]
        refined = [refine(text, vocabulary, words).text for text in written]
        for how, prompts in (("as written", written), ("refined", refined)):
            figures[f"{name}, {how}"] = drawn_right(model, settings, prompts, asked, args.seeds)
    print(
        json.dumps(figures, indent=1) if args.json else "\n".join(f"{key}: {value}" for key, value in figures.items())
    )


def drawn_right(
    model: Bundled, settings: Settings, prompts: list[str], asked: list[list[str]], num_seeds: int
) -> dict[str, float]:
    """Per cent of the stated attributes that are drawn, and of clips in which all of them are."""
    rights: list[list[bool]] = []
    for seed in range(num_seeds):
        for start in range(0, len(prompts), BATCH):
            clips = model.generate(prompts[start : start + BATCH], settings, seed=500 * seed + start)
            for clip, wanted in zip(clips, asked[start : start + BATCH], strict=True):
                shown = measure.read(clip)
                pairs = zip(ATTRIBUTES, wanted, strict=True)
                rights.append([getattr(shown, name) == value for name, value in pairs if value != "."])
    stated = np.array([right for each in rights for right in each])
    return {"stated attributes": share(stated), "all stated": share(np.array([all(each) for each in rights]))}


if __name__ == "__main__":
    main()
