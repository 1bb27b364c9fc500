"""Draws the pictures that the example storyboards start from, in the bundled model's own world.

In: nothing. Out: `assets/examples/pictures/*.png`, four times as large as the model's frames. Does not know: models.

    python -m tools.pictures
"""

from pathlib import Path

from PIL import Image

from tools.diorama.world import Combination, render_still

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "examples" / "pictures"
TIMES = 4
PICTURES = {
    "boat-at-sea": (Combination("boat", "red", "stay", "ocean"), 1),
    "car-in-snow": (Combination("car", "blue", "stay", "snow"), 2),
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (combination, seed) in PICTURES.items():
        picture = Image.fromarray(render_still(combination, seed))
        large = picture.resize((picture.width * TIMES, picture.height * TIMES), Image.Resampling.BICUBIC)
        large.save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
