"""English words, far enough to find phrases in a sentence: tokens, inflections, the longest phrase that matches.

Comes in: a sentence, phrases of base forms. Goes out: which phrase stands where. Does not know what a phrase means.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")
_CONTRACTIONS = ((re.compile(r"n['’]t\b"), " not"), (re.compile(r"['’](?:s|re|ll|d|ve|m)?\b"), " "))
DETERMINERS = frozenset("a an the its his her their my our your one that these those".split())
_SHORTEST_STEM = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A phrase at the tokens ``start`` to ``end``. ``text``: as it is written there."""

    phrase: str
    start: int
    end: int
    text: str


def tokens_of(text: str) -> list[str]:
    """Lower-case words without determiners; `doesn't` is two, a hyphen separates."""
    text = text.lower()
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    return [word for word in _WORD.findall(text) if word not in DETERMINERS]


class Inflections:
    """Base forms of a word: by the regular endings, and by a table of irregular forms."""

    def __init__(self, irregular: Mapping[str, Iterable[str]]) -> None:
        self._bases: dict[str, set[str]] = {}
        for base, forms in irregular.items():
            for form in forms:
                self._bases.setdefault(form, set()).add(base)

    def forms(self, word: str) -> set[str]:
        """The word, and everything that it may be an inflection of."""
        stems = {word, *self._bases.get(word, ())}
        for ending, replacements in _ENDINGS:
            stem = word.removesuffix(ending)
            if stem != word and len(stem) >= _SHORTEST_STEM:
                stems |= {stem + replacement for replacement in replacements}
                if ending in ("ing", "ed") and stem[-1] == stem[-2]:
                    stems.add(stem[:-1])
        return stems


_ENDINGS = (
    *(("s", ("",)), ("es", ("",)), ("ies", ("y", "ie"))),
    *(("ing", ("", "e")), ("ed", ("", "e")), ("ied", ("y",))),
)


class PhraseFinder:
    """Finds phrases in a sentence; of several at one place the longest, then the one written exactly so."""

    def __init__(self, phrases: Iterable[str], inflections: Inflections) -> None:
        self._inflections = inflections
        self._by_first: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for phrase in phrases:
            words = tuple(tokens_of(phrase))
            self._by_first.setdefault(words[0], []).append((phrase, words))

    def find(self, tokens: Sequence[str]) -> list[Match]:
        """From the left to the right; no two overlap."""
        forms = [self._inflections.forms(token) for token in tokens]
        matches: list[Match] = []
        at = 0
        while at < len(tokens):
            best = self._best(tokens, forms, at)
            if best is not None:
                matches.append(best)
            at = best.end if best else at + 1
        return matches

    def _best(self, tokens: Sequence[str], forms: Sequence[set[str]], at: int) -> Match | None:
        found: list[tuple[int, int, int, Match]] = []
        candidates = [pair for form in sorted(forms[at]) for pair in self._by_first.get(form, ())]
        for order, (phrase, words) in enumerate(candidates):
            end = at + len(words)
            if end <= len(tokens) and all(word in forms[at + i] for i, word in enumerate(words)):
                num_exact = sum(word == tokens[at + i] for i, word in enumerate(words))
                match = Match(phrase, at, end, " ".join(tokens[at:end]))
                found.append((len(words), num_exact, -order, match))
        return max(found, key=lambda each: each[:3])[3] if found else None
