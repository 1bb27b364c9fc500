"""The rendered world the bundled model learns: papercut dioramas of one moving subject before a still setting.

In: a combination (subject, colour, motion, setting) and a seed. Out: a clip of 17 frames, 96 x 64 pixels, and where the
subject covers each pixel. Does not know: words, models, training. The same seed gives the same clip everywhere.
"""

import itertools
import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

WIDTH_PX, HEIGHT_PX, NUM_FRAMES, FPS = 96, 64, 17, 8
SUBJECTS = ("ball", "butterfly", "boat", "balloon", "car", "fish")
COLOURS = {
    "red": (222, 30, 38),
    "orange": (250, 130, 10),
    "yellow": (248, 222, 20),
    "green": (24, 165, 50),
    "blue": (25, 80, 225),
    "purple": (150, 40, 205),
}
MOTIONS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1), "stay": (0, 0)}
SETTINGS = ("meadow", "ocean", "desert", "night", "snow")
NUM_HELD_OUT = 200

_SS = 4  # supersampling
_CANVAS_PX = 48  # side of a sprite's own canvas
_INK = (24, 18, 28, 255)
_X_RANGE, _Y_RANGE = (13.5, 82.5), (11.5, 52.0)
_CENTRE_X, _CENTRE_Y = (36.5, 59.5), (29.5, 34.0)
_HORIZONTAL_PX, _VERTICAL_PX = (23, 40), (18, 24)


@dataclass(frozen=True, slots=True)
class Combination:
    subject: str
    colour: str
    motion: str
    setting: str


@dataclass(frozen=True, slots=True)
class Clip:
    """frames: (F, H, W, 3) uint8; coverage: (F, H, W) float32 in [0, 1], the subject's share of each pixel."""

    combination: Combination
    frames: np.ndarray
    coverage: np.ndarray


def all_combinations() -> list[Combination]:
    return [Combination(*c) for c in itertools.product(SUBJECTS, COLOURS, MOTIONS, SETTINGS)]


def held_out_combinations() -> list[Combination]:
    """The 200 of 900 combinations that are never rendered for training; deterministic."""
    return sorted(random.Random(20).sample(all_combinations(), NUM_HELD_OUT), key=_order)


def training_combinations() -> list[Combination]:
    held_out = set(held_out_combinations())
    return [c for c in all_combinations() if c not in held_out]


def _order(c: Combination) -> tuple[int, int, int, int]:
    colours, motions = list(COLOURS), list(MOTIONS)
    return (SUBJECTS.index(c.subject), colours.index(c.colour), motions.index(c.motion), SETTINGS.index(c.setting))


def render(combination: Combination, seed: int) -> Clip:
    """One clip. A start says little about the motion: two of three start near the centre whatever the motion is."""
    rng = random.Random(f"{combination}/{seed}")
    background = _background(combination.setting, rng)
    flip = _facing(combination.motion, rng)
    scale = rng.uniform(0.92, 1.1)
    bob_px = 0.0 if combination.motion in ("up", "down") else rng.uniform(0.4, 1.1)
    bob_hz, phase = rng.uniform(0.6, 1.1), rng.uniform(0, 2 * math.pi)
    path = _path(combination.motion, rng)
    sprites: dict[int, np.ndarray] = {}
    frames, coverage = [], []
    for i, (x, y) in enumerate(path):
        wing = round(2 + 2 * math.cos(phase + 0.7 * i)) if combination.subject == "butterfly" else 0
        if wing not in sprites:
            sprites[wing] = _sprite(combination.subject, COLOURS[combination.colour], scale, flip, wing)
        bob = bob_px * math.sin(phase + 2 * math.pi * bob_hz * i / FPS)
        colour, alpha = _placed(sprites[wing], x, y + bob)
        frames.append(np.round(background * (1 - alpha[..., None]) + colour).clip(0, 255).astype(np.uint8))
        coverage.append(alpha)
    return Clip(combination, np.stack(frames), np.stack(coverage).astype(np.float32))


def render_still(combination: Combination, seed: int) -> np.ndarray:
    """A centred picture (H, W, 3) of the combination that holds no trace of its motion."""
    rng = random.Random(f"still/{combination.subject}/{combination.colour}/{combination.setting}/{seed}")
    background = _background(combination.setting, rng)
    sprite = _sprite(combination.subject, COLOURS[combination.colour], rng.uniform(0.92, 1.1), rng.random() < 0.5, 4)
    colour, alpha = _placed(sprite, 48 + rng.uniform(-2, 2), 32 + rng.uniform(-1, 1))
    return np.round(background * (1 - alpha[..., None]) + colour).clip(0, 255).astype(np.uint8)


def _facing(motion: str, rng: random.Random) -> bool:
    """True faces left. Facing only leans towards the motion, so that a still picture leaves the motion open."""
    ahead = {"right": 0.3, "left": 0.7}.get(motion, 0.5)
    return rng.random() < ahead


def _path(motion: str, rng: random.Random) -> list[tuple[float, float]]:
    dx, dy = MOTIONS[motion]
    centred = rng.random() < 0.67
    xs, ys = (_CENTRE_X, _CENTRE_Y) if centred else (_X_RANGE, _Y_RANGE)
    x, length_x = _start(xs, _X_RANGE, _HORIZONTAL_PX, dx, rng)
    y, length_y = _start(ys, _Y_RANGE, _VERTICAL_PX, dy, rng)
    steps = [i / (NUM_FRAMES - 1) for i in range(NUM_FRAMES)]
    return [(x + dx * length_x * s, y + dy * length_y * s) for s in steps]


def _start(
    starts: tuple[float, float], fits: tuple[float, float], lengths: tuple[int, int], sign: int, rng: random.Random
) -> tuple[float, float]:
    """A start inside `starts` and a length such that the whole path lies inside `fits`."""
    shortest, longest = lengths
    low, high = starts
    if sign > 0:
        high = min(high, fits[1] - shortest)
    if sign < 0:
        low = max(low, fits[0] + shortest)
    start = rng.uniform(min(low, high), high)
    room = longest if sign == 0 else (fits[1] - start if sign > 0 else start - fits[0])
    return start, rng.uniform(shortest, max(shortest, min(longest, room)))


def _placed(sprite: np.ndarray, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """The sprite (premultiplied RGBA, supersampled) with its centre at (x, y): colour (H, W, 3) and alpha (H, W)."""
    side = _CANVAS_PX * _SS
    left, top = round(x * _SS) - side // 2, round(y * _SS) - side // 2
    px, py = left // _SS, top // _SS
    shifted = np.zeros((side + _SS, side + _SS, 4), np.float32)
    shifted[top - py * _SS :, left - px * _SS :][:side, :side] = sprite
    n = _CANVAS_PX + 1
    small = shifted.reshape(n, _SS, n, _SS, 4).mean((1, 3))
    out = np.zeros((HEIGHT_PX + 2 * n, WIDTH_PX + 2 * n, 4), np.float32)
    out[py + n : py + 2 * n, px + n : px + 2 * n] = small
    out = out[n : n + HEIGHT_PX, n : n + WIDTH_PX]
    return out[..., :3], out[..., 3] / 255.0


def _sprite(subject: str, colour: tuple[int, int, int], scale: float, flip: bool, wing: int) -> np.ndarray:
    """(4 * 48, 4 * 48, 4) float32, colours multiplied by alpha."""
    side = _CANVAS_PX * _SS
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    _DRAW[subject](_Pen(ImageDraw.Draw(image), scale), (*colour, 255), wing)
    pixels = np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image, np.float32).copy()
    pixels[..., :3] *= pixels[..., 3:] / 255.0
    return pixels


class _Pen:
    """Draws in sprite units (pixels of the final frame, origin at the sprite's centre) with a thin dark outline."""

    def __init__(self, draw: ImageDraw.ImageDraw, scale: float) -> None:
        self.draw, self.scale = draw, scale

    def _at(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((_CANVAS_PX / 2 + x * self.scale) * _SS, (_CANVAS_PX / 2 + y * self.scale) * _SS) for x, y in points]

    def shape(self, points: list[tuple[float, float]], fill: tuple[int, ...], outline_px: float = 0.8) -> None:
        at = self._at(points)
        self.draw.polygon(at, fill=fill)
        if outline_px:
            self.draw.line([*at, at[0], at[1]], fill=_INK, width=round(outline_px * _SS), joint="curve")

    def oval(self, x: float, y: float, rx: float, ry: float, fill: tuple[int, ...], outline_px: float = 0.8) -> None:
        (a, b), (c, d) = self._at([(x - rx, y - ry), (x + rx, y + ry)])
        self.draw.ellipse((a, b, c, d), fill=fill, outline=_INK, width=round(outline_px * _SS))

    def line(self, points: list[tuple[float, float]], width_px: float = 0.9) -> None:
        self.draw.line(self._at(points), fill=_INK, width=round(width_px * _SS), joint="curve")


def _light(colour: tuple[int, ...], share: float) -> tuple[int, ...]:
    return (*(round(c + (255 - c) * share) for c in colour[:3]), 255)


def _draw_ball(pen: _Pen, colour: tuple[int, ...], wing: int) -> None:
    pen.oval(0, 0, 10, 10, colour)
    pen.oval(-3.6, -3.8, 2.6, 2.2, _light(colour, 0.55), 0)


def _draw_butterfly(pen: _Pen, colour: tuple[int, ...], wing: int) -> None:
    open_ = 0.62 + 0.095 * wing
    for side in (-1, 1):
        upper = [(0.8, -2), (4.5, -10.5), (10.5, -11), (13.5, -7), (11.5, -1), (6, 1.2), (0.8, 1)]
        lower = [(0.8, 0), (6, 0.5), (10, 3.5), (9.6, 8.5), (6, 10.5), (2.5, 7.5), (0.8, 3)]
        pen.shape([(side * x * open_, y) for x, y in lower], colour)
        pen.shape([(side * x * open_, y) for x, y in upper], colour)
        pen.oval(side * 8.2 * open_, -6.2, 1.9 * open_, 2.0, _light(colour, 0.75), 0)
        pen.line([(0, -6), (side * 3.2, -12.5)], 0.7)
    pen.oval(0, 0.5, 1.5, 7.5, _INK)


def _draw_boat(pen: _Pen, colour: tuple[int, ...], wing: int) -> None:
    pen.shape([(1.6, -12), (1.6, 2.5), (12, 2.5)], (250, 248, 240, 255))
    pen.shape([(-1.2, -9.5), (-1.2, 2.5), (-9, 2.5)], _light(colour, 0.5))
    pen.line([(0.2, -13), (0.2, 4)], 1.2)
    pen.shape([(-14, 4), (14, 4), (9.5, 11), (-9.5, 11)], colour)


def _draw_balloon(pen: _Pen, colour: tuple[int, ...], wing: int) -> None:
    pen.line([(0, 6.5), (0.9, 9.5), (-0.7, 12), (0.4, 15)], 0.9)
    pen.shape([(0, 4.6), (-2, 8), (2, 8)], colour)
    pen.oval(0, -4, 8.6, 10.2, colour)
    pen.oval(-3.2, -8, 1.9, 2.8, _light(colour, 0.6), 0)


def _draw_car(pen: _Pen, colour: tuple[int, ...], wing: int) -> None:
    glass = (205, 228, 238, 255)
    pen.shape([(-7.5, -1), (-4.6, -8), (4.2, -8), (8.2, -1)], colour)
    pen.shape([(-5, -1.6), (-3.4, -6), (-0.6, -6), (-0.6, -1.6)], glass, 0.5)
    pen.shape([(1.2, -1.6), (1.2, -6), (3.5, -6), (5.9, -1.6)], glass, 0.5)
    pen.shape([(-13.5, -1.2), (10, -1.2), (13.8, 1), (13.8, 6), (-13.5, 6)], colour)
    for x in (-7.5, 7.5):
        pen.oval(x, 6, 3.9, 3.9, (45, 42, 50, 255))
        pen.oval(x, 6, 1.6, 1.6, (215, 215, 220, 255), 0)


def _draw_fish(pen: _Pen, colour: tuple[int, ...], wing: int) -> None:
    pen.shape([(-7, 0), (-14, -7), (-12, 0), (-14, 7)], colour)
    pen.shape([(-3, -5), (-1.5, -10), (5, -5.5)], colour)
    body = [(11.5 * math.cos(a) + 2, 7.2 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 28, endpoint=False)]
    pen.shape(body, colour)
    pen.shape([(0.5, 1), (-4.5, 4.5), (-1.5, 5.3)], _light(colour, 0.35), 0.5)
    pen.oval(8.6, -2, 2.2, 2.2, (252, 252, 250, 255), 0.6)
    pen.oval(9.2, -2, 0.9, 0.9, _INK, 0)


_DRAW = {
    "ball": _draw_ball,
    "butterfly": _draw_butterfly,
    "boat": _draw_boat,
    "balloon": _draw_balloon,
    "car": _draw_car,
    "fish": _draw_fish,
}


def _background(setting: str, rng: random.Random) -> np.ndarray:
    """(H, W, 3) float32: a vertical gradient with the setting's own scenery, drawn large and averaged down."""
    top, bottom = _SKY[setting]
    share = np.linspace(0, 1, HEIGHT_PX * _SS)[:, None, None]
    sky = np.array(top) * (1 - share) + np.array(bottom) * share
    sky = np.broadcast_to(sky, (HEIGHT_PX * _SS, WIDTH_PX * _SS, 3)).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(sky))
    _SCENERY[setting](ImageDraw.Draw(image), rng)
    return np.asarray(image.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BOX), np.float32)


_SKY = {
    "meadow": ((150, 200, 240), (205, 230, 248)),
    "ocean": ((236, 194, 188), (246, 216, 204)),
    "desert": ((240, 208, 160), (250, 228, 190)),
    "night": ((14, 16, 46), (38, 38, 80)),
    "snow": ((196, 206, 220), (224, 230, 240)),
}


def _hill(draw: ImageDraw.ImageDraw, rng: random.Random, y: float, height: float, fill: tuple[int, int, int]) -> None:
    phase, waves = rng.uniform(0, 2 * math.pi), rng.uniform(1.0, 1.9)
    xs = range(0, WIDTH_PX + 3, 2)
    crest = [(x * _SS, (y - height * math.sin(phase + 2 * math.pi * waves * x / WIDTH_PX)) * _SS) for x in xs]
    draw.polygon([*crest, (WIDTH_PX * _SS + 8, HEIGHT_PX * _SS), (0, HEIGHT_PX * _SS)], fill=fill)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, fill: tuple[int, int, int]) -> None:
    draw.ellipse([v * _SS for v in (x - rx, y - ry, x + rx, y + ry)], fill=fill)


def _meadow(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    x, y = rng.uniform(14, 82), rng.uniform(6, 11)
    for dx, dy, rx, ry in ((0, 0, 10, 4.2), (-6, 1, 5, 3), (6, 1, 5.5, 3), (1, -2.5, 5, 3.5)):
        _disc(draw, x + dx, y + dy, rx, ry, (248, 250, 252))
    _hill(draw, rng, 40, 2.5, (160, 205, 140))
    _hill(draw, rng, 50, 2.5, (140, 190, 120))


def _ocean(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _disc(draw, rng.uniform(16, 80), 37, 6, 6, (254, 240, 218))
    draw.rectangle([0, 37 * _SS, WIDTH_PX * _SS, HEIGHT_PX * _SS], fill=(110, 158, 178))
    phase = rng.uniform(0, 2 * math.pi)
    for row, y in enumerate((42, 47.5, 53, 58.5)):
        xs = range(0, WIDTH_PX + 2, 2)
        wave = [(x * _SS, (y + 0.9 * math.sin(phase + row + x / 3.0)) * _SS) for x in xs]
        draw.line(wave, fill=(150, 190, 202), width=_SS)


def _desert(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _hill(draw, rng, 40, 3, (222, 186, 138))
    x, y, green = rng.uniform(10, 86), rng.uniform(44, 48), (118, 142, 104)
    for box in ((-1.6, -14, 1.6, 3), (-5.5, -8, -1, -5.5), (-5.5, -11, -3, -6), (1, -6, 5.5, -3.5), (3, -10, 5.5, -4)):
        left, top, right, bottom = (v * _SS for v in (x + box[0], y + box[1], x + box[2], y + box[3]))
        draw.rounded_rectangle([left, top, right, bottom], radius=1.2 * _SS, fill=green)
    _hill(draw, rng, 50, 2.5, (205, 166, 116))


def _night(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    stars = random.Random(rng.randrange(4))  # a few skies, known by heart
    for _ in range(10):
        r = stars.uniform(0.6, 0.9)
        _disc(draw, stars.uniform(2, 94), stars.uniform(2, 38), r, r, (226, 226, 236))
    _disc(draw, rng.uniform(12, 84), rng.uniform(8, 12), 5.5, 5.5, (242, 238, 216))
    _hill(draw, rng, 48, 2.5, (20, 26, 42))


def _snow(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _hill(draw, rng, 42, 2.5, (230, 235, 243))
    for x, y in ((rng.uniform(8, 40), rng.uniform(43, 47)), (rng.uniform(56, 88), rng.uniform(43, 47))):
        for dy, half in ((-11, 2.6), (-7.5, 3.8), (-4, 5)):
            points = [(x, y + dy - 4), (x - half, y + dy + 2), (x + half, y + dy + 2)]
            draw.polygon([(a * _SS, b * _SS) for a, b in points], fill=(88, 124, 120))
        draw.rectangle([(x - 0.7) * _SS, (y - 2) * _SS, (x + 0.7) * _SS, y * _SS], fill=(110, 92, 84))
    _hill(draw, rng, 51, 2, (248, 250, 254))


_SCENERY = {"meadow": _meadow, "ocean": _ocean, "desert": _desert, "night": _night, "snow": _snow}
