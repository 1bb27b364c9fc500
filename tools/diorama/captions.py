"""The language of the bundled model: many ways to say one combination.

In: a combination and a random generator. Out: a caption and which attributes it states. Does not know: pixels, tokens.
"""

import random

from tools.diorama.world import COLOURS, MOTIONS, SETTINGS, SUBJECTS, Combination

NOUNS = {
    "ball": ("ball", "ball", "ball", "round ball", "toy ball", "beach ball"),
    "butterfly": ("butterfly", "butterfly", "butterfly", "paper butterfly", "moth"),
    "boat": ("boat", "boat", "boat", "sailboat", "sailing boat", "ship"),
    "balloon": ("balloon", "balloon", "balloon", "party balloon", "toy balloon"),
    "car": ("car", "car", "car", "toy car", "automobile", "vehicle"),
    "fish": ("fish", "fish", "fish", "goldfish", "paper fish"),
}
HUES = {
    "red": ("red", "red", "red", "bright red", "crimson", "scarlet"),
    "orange": ("orange", "orange", "orange", "bright orange", "tangerine"),
    "yellow": ("yellow", "yellow", "yellow", "bright yellow", "lemon yellow", "golden"),
    "green": ("green", "green", "green", "bright green", "emerald"),
    "blue": ("blue", "blue", "blue", "bright blue", "deep blue", "cobalt"),
    "purple": ("purple", "purple", "purple", "bright purple", "violet"),
}
VERBS = {
    "ball": ("rolls", "bounces", "moves", "goes", "travels"),
    "butterfly": ("flies", "flutters", "moves", "goes", "travels"),
    "boat": ("sails", "glides", "moves", "goes", "travels"),
    "balloon": ("floats", "drifts", "moves", "goes", "travels"),
    "car": ("drives", "rolls", "moves", "goes", "travels"),
    "fish": ("swims", "glides", "moves", "goes", "travels"),
}
MOTION_PHRASES = {
    "right": (
        "{verb} to the right",
        "{verb} right",
        "{verb} rightwards",
        "{verb} from left to right",
        "{verb} from the left to the right",
        "{verb} towards the right side",
        "{verb} left to right",
        "heads right",
    ),
    "left": (
        "{verb} to the left",
        "{verb} left",
        "{verb} leftwards",
        "{verb} from right to left",
        "{verb} from the right to the left",
        "{verb} towards the left side",
        "{verb} right to left",
        "heads left",
    ),
    "up": (
        "rises",
        "{verb} up",
        "{verb} upwards",
        "climbs",
        "ascends",
        "lifts off",
        "rises up into the air",
        "{verb} towards the top",
        "floats up",
    ),
    "down": (
        "falls",
        "{verb} down",
        "{verb} downwards",
        "sinks",
        "descends",
        "drops",
        "comes down from the air",
        "{verb} towards the bottom",
        "falls down",
    ),
    "stay": (
        "stays in place",
        "does not move",
        "stands still",
        "rests",
        "hovers in place",
        "stays still",
        "waits",
        "remains where it is",
        "is motionless",
    ),
}
SETTING_PHRASES = {
    "meadow": (
        "in a meadow",
        "in a summer meadow",
        "over the green grass",
        "in the green hills",
        "over the green hills",
        "in a grassy field",
        "in a sunny meadow",
        "across the grassland",
    ),
    "ocean": (
        "on the sea",
        "over the ocean",
        "above the water at sunset",
        "over the blue water",
        "at sea",
        "on the ocean",
        "over the waves",
        "by the sea at sunset",
    ),
    "desert": (
        "in the desert",
        "in a dry desert",
        "over the dunes",
        "over the sand",
        "among sand dunes",
        "over yellow sand",
        "in the sandy desert",
        "near a cactus",
    ),
    "night": (
        "at night",
        "in the night sky",
        "on a starry night",
        "in the moonlight",
        "under the stars",
        "under the moon",
        "in the dark",
        "on a dark night",
    ),
    "snow": (
        "in the snow",
        "over the snow",
        "above the white snow",
        "in a cold winter",
        "among snowy trees",
        "in a snowy landscape",
        "on a winter day",
        "over snowy hills",
    ),
}
PREFIXES = ("a clip of", "a video of", "an animation of", "a film of", "a shot of", "we see", "a papercut diorama of")
ADJECTIVES = ("little", "small", "big", "shiny", "lonely", "lovely", "pretty", "cute", "simple", "old")
ADVERBS = ("slowly", "quickly", "gently", "smoothly", "steadily", "calmly", "softly")
FILLERS = (
    "4k",
    "high quality",
    "papercut style",
    "paper diorama",
    "soft light",
    "pastel colours",
    "cinematic",
    "detailed",
    "minimal",
    "flat colours",
    "wide shot",
)
NONSENSE_SYLLABLES = (
    "ba",
    "do",
    "ki",
    "lu",
    "mor",
    "ne",
    "pi",
    "ra",
    "sto",
    "ti",
    "vu",
    "wen",
    "xa",
    "zo",
    "gra",
    "fle",
)
DETERMINERS = ("a", "a", "a", "the", "one")
STATED_SHARE, NONSENSE_SHARE = 0.85, 0.15


def caption(c: Combination, rng: random.Random) -> tuple[str, tuple[bool, bool, bool, bool]]:
    """The text, and whether it states (subject, colour, motion, setting)."""
    stated = _stated(rng)
    says_subject, says_colour, says_motion, says_setting = stated
    noun = rng.choice(NOUNS[c.subject]) if says_subject else rng.choice(("thing", "object", "something"))
    hue = rng.choice(HUES[c.colour]) if says_colour else ""
    verb = rng.choice(VERBS[c.subject] if says_subject else ("moves", "goes", "travels"))
    motion = rng.choice(MOTION_PHRASES[c.motion]).format(verb=verb) if says_motion else ""
    if motion and rng.random() < 0.2:
        motion = f"{motion} {rng.choice(ADVERBS)}"
    place = rng.choice(SETTING_PHRASES[c.setting]) if says_setting else ""
    return _finished(_ordered(noun, hue, motion, place, rng), rng), stated


def plain_caption(c: Combination, rng: random.Random) -> str:
    """A caption that states all four attributes and holds no nonsense; for measuring."""
    while True:
        text, stated = caption(c, rng)
        if all(stated) and not (set(text.lower().replace(",", " ").split()) - set(all_words())):
            return text


def _stated(rng: random.Random) -> tuple[bool, bool, bool, bool]:
    if rng.random() < STATED_SHARE:
        return (True, True, True, True)
    says = [rng.random() < 0.5 for _ in range(4)]
    says[rng.randrange(4)] = True
    return tuple(says)


def _ordered(noun: str, hue: str, motion: str, place: str, rng: random.Random) -> str:
    adjective = rng.choice(ADJECTIVES) if rng.random() < 0.2 else ""
    prefix = rng.choice(PREFIXES) if rng.random() < 0.25 else ""
    named = _joined(prefix, rng.choice(DETERMINERS), adjective, hue, noun)
    named = named.replace(" a o", " an o").replace(" a e", " an e").replace(" a a", " an a")
    named = "an " + named[2:] if named.startswith(("a o", "a e", "a au")) else named
    order = rng.randrange(4)
    if order == 0:
        return _joined(named, motion, place)
    if order == 1:
        return _joined(place + "," if place else "", named, motion)
    if order == 2:
        return _joined(named, place, motion)
    return ", ".join(part for part in (noun, hue, motion, place) if part)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _finished(text: str, rng: random.Random) -> str:
    if rng.random() < NONSENSE_SHARE:
        words = text.split()
        made_up = "".join(rng.choice(NONSENSE_SYLLABLES) for _ in range(rng.randint(2, 3)))
        words.insert(rng.randint(0, len(words)), made_up)
        text = " ".join(words)
    if rng.random() < 0.25:
        text = f"{text}, {rng.choice(FILLERS)}"
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.3 else text


def vocabulary() -> dict[str, dict[str, list[str]] | list[str]]:
    """Per attribute the names and the words used for them; `all_words` is every single word the captions use."""
    return {
        "subject": {name: sorted(set(NOUNS[name])) for name in SUBJECTS},
        "colour": {name: sorted(set(HUES[name])) for name in COLOURS},
        "motion": {name: list(MOTION_PHRASES[name]) for name in MOTIONS},
        "setting": {name: list(SETTING_PHRASES[name]) for name in SETTINGS},
        "verb": {name: list(VERBS[name]) for name in SUBJECTS},
        "filler": sorted({*PREFIXES, *ADJECTIVES, *ADVERBS, *FILLERS}),
        "all_words": all_words(),
    }


def all_words() -> list[str]:
    tables = (NOUNS, HUES, VERBS, MOTION_PHRASES, SETTING_PHRASES)
    phrases = [phrase for table in tables for row in table.values() for phrase in row]
    phrases += [*PREFIXES, *ADJECTIVES, *ADVERBS, *FILLERS, *DETERMINERS, "an thing object something"]
    return sorted({word for phrase in phrases for word in phrase.split() if "{" not in word})
