"""The built-in refiner: any English sentence in the words that a small model was trained on. Deterministic.

Comes in: a prompt, the prompt of the scene before, a vocabulary. Goes out: a sentence that states every attribute, with
a note for each thing that was changed, chosen or left out. A sentence that the model knows word by word stays as it is.
Does not know the model, pixels or which vocabulary it is.
"""

import colorsys
import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from PIL import ImageColor

from engine.assistants.built_in.vocabulary import ROLES, Reading, Vocabulary
from engine.contract.assistants import Refinement

SOURCE = "built in"
_SHORTEST_MISSPELT = 6
_LIKENESS = 0.86
_MOST_QUOTED = 6


@dataclass(frozen=True, slots=True)
class _Choice:
    """A value of each attribute so far, with the notes on how it came about."""

    values: dict[str, str]
    notes: tuple[str, ...] = ()

    def having(self, attribute: str, value: str, note: str) -> "_Choice":
        return _Choice({**self.values, attribute: value}, (*self.notes, note))


def refine(prompt: str, vocabulary: Vocabulary, known_words: Collection[str] = (), before: str = "") -> Refinement:
    """``known_words``: all words of the model's training; ``before``: the prompt of the scene before, for `it`."""
    reading, spelling = _spelt(vocabulary.read(prompt), vocabulary)
    if _needs_nothing(reading, known_words):
        return Refinement(text=prompt.strip(), source=SOURCE)
    choice = _Choice(reading.values(), (*spelling, *_said_otherwise(reading, known_words, vocabulary)))
    choice = _with_css_colour(choice, reading, vocabulary)
    choice = _from_before(choice, reading, before, vocabulary)
    choice = _completed(choice, reading, vocabulary)
    return Refinement(text=sentence(choice.values, vocabulary), source=SOURCE, notes=_all_notes(choice, reading))


def sentence(values: dict[str, str], vocabulary: Vocabulary) -> str:
    """The plainest sentence for a value of each attribute."""
    say = vocabulary.tables.say
    motion = say.motion[values["motion"]].format(verb=say.verb[values["subject"]])
    parts = {**values, "motion": motion, "setting": say.setting[values["setting"]]}
    words = vocabulary.tables.sentence.format(**parts).split()
    following = [*words[1:], ""]
    is_before_vowel = [word == "a" and next_[:1] in "aeiou" for word, next_ in zip(words, following, strict=True)]
    return " ".join("an" if vowel else word for word, vowel in zip(words, is_before_vowel, strict=True))


def _needs_nothing(reading: Reading, known_words: Collection[str]) -> bool:
    """Every attribute is stated in so many words, and the model knows each of them."""
    says_all = all(attribute in reading.terms and not reading.terms[attribute].reason for attribute in ROLES)
    return says_all and not reading.several and not reading.spare and set(reading.tokens) <= set(known_words)


def _spelt(reading: Reading, vocabulary: Vocabulary) -> tuple[Reading, tuple[str, ...]]:
    """Words that are nearly ones that mean something are read as those."""
    tokens, notes, synonyms = list(reading.tokens), list[str](), vocabulary.synonyms()
    for word in reading.unknown:
        close = difflib.get_close_matches(word, synonyms, n=1, cutoff=_LIKENESS)
        if len(word) >= _SHORTEST_MISSPELT and close:
            tokens = [close[0] if token == word else token for token in tokens]
            notes.append(f'"{word}" is read as "{close[0]}".')
    if not notes:
        return reading, ()
    return replace(vocabulary.read(" ".join(tokens)), has_pronoun=reading.has_pronoun), tuple(notes)


def _said_otherwise(reading: Reading, known_words: Collection[str], vocabulary: Vocabulary) -> list[str]:
    notes: list[str] = []
    for attribute, term in reading.terms.items():
        name = _name(attribute, term.value, vocabulary)
        if term.reason:
            notes.append(f'"{term.text}" becomes {name}: {term.reason}.')
        elif not set(term.text.split()) <= set(known_words):
            notes.append(f'"{term.text}" is said plainly: {name}.')
    return notes


def _with_css_colour(choice: _Choice, reading: Reading, vocabulary: Vocabulary) -> _Choice:
    """Of a colour that only CSS knows (chartreuse, tomato), the nearest by hue."""
    named = [word for word in reading.unknown if word in ImageColor.colormap]
    if "colour" in choice.values or not named:
        return choice
    hues = {name: _hue(name) for name in vocabulary.tables.attributes["colour"] if name in ImageColor.colormap}
    wanted = _hue(named[0])
    nearest = min(hues, key=lambda name: abs((hues[name] - wanted + 0.5) % 1 - 0.5))
    return choice.having("colour", nearest, f'"{named[0]}" becomes {nearest}: it is the nearest.')


def _hue(name: str) -> float:
    red, green, blue = ImageColor.getrgb(name)[:3]
    return colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)[0]


def _from_before(choice: _Choice, reading: Reading, before: str, vocabulary: Vocabulary) -> _Choice:
    """`It`, `again`: subject, colour and setting of the scene before, where this one does not name its own."""
    if not before or not reading.has_pronoun or "subject" in choice.values:
        return choice
    earlier = vocabulary.read(before).values()
    for attribute in ("subject", "colour", "setting"):
        if attribute in earlier and attribute not in choice.values:
            name = _name(attribute, earlier[attribute], vocabulary)
            choice = choice.having(attribute, earlier[attribute], f"As in the scene before: {name}.")
    return choice


def _completed(choice: _Choice, reading: Reading, vocabulary: Vocabulary) -> _Choice:
    """What the author leaves open is chosen, always in the same way: the model draws a whole sentence best."""
    unsaid = vocabulary.tables.unsaid
    if "subject" not in choice.values:
        subject = reading.likely_subject or unsaid.subject[choice.values.get("setting", "")]
        choice = choice.having("subject", subject, _stand_in(reading, subject, vocabulary))
    subject = choice.values["subject"]
    if "setting" not in choice.values:
        setting = unsaid.setting[subject]
        choice = choice.having("setting", setting, _unsaid("setting", setting, vocabulary))
    if "colour" not in choice.values:
        colour = unsaid.colour[choice.values["setting"]]
        choice = choice.having(
            "colour", colour, f"{_unsaid('colour', colour, vocabulary)[:-1]}, which stands out there."
        )
    if "motion" not in choice.values:
        motion = unsaid.motion[subject]
        choice = choice.having("motion", motion, _unsaid("direction", motion, vocabulary))
    return choice


def _stand_in(reading: Reading, subject: str, vocabulary: Vocabulary) -> str:
    name = _name("subject", subject, vocabulary)
    if not reading.unknown:
        return f"No subject is given: {name}."
    why = "the verb fits it" if reading.likely_subject else "nothing nearer is known"
    return f'"{reading.unknown[0]}" becomes {name}: {why}.'


def _unsaid(what: str, value: str, vocabulary: Vocabulary) -> str:
    return f"No {what} is given: {_name('motion' if what == 'direction' else what, value, vocabulary)}."


def _name(attribute: str, value: str, vocabulary: Vocabulary) -> str:
    return vocabulary.tables.names.get(attribute, {}).get(value, value)


def _all_notes(choice: _Choice, reading: Reading) -> tuple[str, ...]:
    notes = list(choice.notes)
    if reading.several:
        notes.append("One subject is drawn, not several.")
    left_out = [word for word in _left_out(reading) if not any(f'"{word}"' in note for note in notes)]
    if left_out:
        quoted = ", ".join(f'"{word}"' for word in left_out[:_MOST_QUOTED])
        more = len(left_out) - _MOST_QUOTED
        notes.append(f"Left out: {quoted}{f' and {more} more' if more > 0 else ''}.")
    return tuple(notes)


def _left_out(reading: Reading) -> Sequence[str]:
    chosen = set(reading.values().items())
    spare = [term for term in reading.spare if (term.attribute, term.value) not in chosen]
    return [*dict.fromkeys(term.text for term in spare), *reading.unknown]
