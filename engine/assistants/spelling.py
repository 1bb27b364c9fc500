"""Words of a text as a block list compares them: without case, accents, disguise or inflection.

Comes in: any text, of any script. Goes out: ``Word`` values with the spelling that the author wrote, and the forms
under which a word may be listed. Does not know any list.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

MIN_NEAR_LETTERS = 8
"""Words of as many letters are found with one letter wrong; in shorter ones that would be another word."""

_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0900-\u0dff]|[@$!'’](?=[^\W_])|(?<=[^\W_])[@$](?!\w))*")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
"""Scripts that put no space between words, or attach particles: Thai, Burmese, Khmer, kana, Han, Hangul."""

_LATIN = re.compile("[a-z]")
_LOOKALIKES = str.maketrans("аеорсухіјѕкмтнвαοερικντυχ", "aeopcyxijskmthbaoepikvtux")
"""Letters of Cyrillic and Greek that are drawn as Latin ones."""
_LEET = str.maketrans("013457@$!", "oieastasi")
_IRREGULAR = {
    **{"men": "man", "women": "woman", "children": "child", "people": "person", "shot": "shoot", "slain": "slay"},
    **{"beaten": "beat", "hung": "hang", "took": "take", "taken": "take", "wives": "wife", "knives": "knife"},
}


@dataclass(frozen=True, slots=True)
class Word:
    """``forms``: under which it may be listed, the plain one first. ``written``: as it stands in the text."""

    written: str
    forms: tuple[str, ...]

    @property
    def plain(self) -> str:
        return self.forms[0]


def folded(text: str) -> str:
    """Without case, width, accents and invisible characters; letters of every script stay."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", plain)))


def is_unspaced(text: str) -> bool:
    """Whether words of this script are found inside a text without spaces around them."""
    return _UNSPACED.search(text) is not None


def words_of(text: str) -> list[Word]:
    """The words in order. Letters that stand alone in a row (``s u i c i d e``) are one word."""
    written = [match[0] for match in _WORD.finditer(_INVISIBLE.sub("", text))]
    return [Word(each, forms_of(each)) for each in _joined(written)]


def forms_of(written: str) -> tuple[str, ...]:
    """A word as it is, undisguised, and without its endings."""
    plain = folded(written).replace("’", "'")
    plain = plain[:-2] if plain.endswith("'s") else plain.rstrip("'")
    spellings = dict.fromkeys((plain, *_undisguised(plain)))
    return tuple(dict.fromkeys([*spellings, *(base for each in spellings for base in _bases(each))]))


def _joined(written: list[str]) -> Iterator[str]:
    letters: list[str] = []
    for word in [*written, ""]:
        if len(word) == 1 and not word.isdigit() and not is_unspaced(word):
            letters.append(word)
            continue
        if len(letters) >= 4:
            yield "".join(letters)
        else:
            yield from letters
        letters = []
        if word:
            yield word


def _undisguised(plain: str) -> Iterator[str]:
    """Foreign letters that look like Latin ones, digits for letters, letters held down."""
    if _LATIN.search(plain) and not plain.isascii():
        plain = plain.translate(_LOOKALIKES)
        yield plain
    if _LATIN.search(plain) and not plain.isalpha():
        plain = plain.translate(_LEET).replace("'", "")
        yield plain
    squeezed = re.sub(r"(.)\1{2,}", r"\1", plain)
    if squeezed != plain:
        yield squeezed


def _bases(word: str) -> Iterator[str]:
    """English words without plural, past and continuous endings; more than one where the spelling is open."""
    if word in _IRREGULAR:
        yield _IRREGULAR[word]
    if len(word) < 4 or not word.isascii():
        return
    if word.endswith(("ies", "ied")):
        yield word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss"):
        yield word[:-1]
        if word.endswith("es"):
            yield word[:-2]
    stem = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else ""
    if len(stem) >= 3:
        yield from (stem, stem + "e")
        if stem[-1] == stem[-2]:
            yield stem[:-1]


def is_near(word: str, listed: str) -> bool:
    """Whether a long word differs from a listed one by one letter: wrong, missing, too many, or two exchanged."""
    if min(len(word), len(listed)) < MIN_NEAR_LETTERS or abs(len(word) - len(listed)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(word, listed, strict=False)) if a != b), min(len(word), len(listed)))
    mine, theirs = word[start:], listed[start:]
    exchanged = mine[:2] == theirs[1::-1] and mine[2:] == theirs[2:] and len(mine) > 1
    return exchanged or mine[1:] == theirs[1:] or mine[1:] == theirs or mine == theirs[1:]
