"""The vocabulary of a small model: its attributes, what each can be, and how English says so.

Comes in: ``vocabulary.yaml`` of the folder that a card names (``ModelCard.built_in``), sentences. Goes out: which value
of each attribute a sentence asks for, and by which words. Does not know values by name, pixels or models.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from engine.assistants.built_in.words import Inflections, Match, PhraseFinder, tokens_of
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.values import Value
from engine.storage.card_files import BUNDLED_ROOT

FILE = "vocabulary.yaml"
ROLES = ("subject", "colour", "motion", "setting")
"""Attributes of the model's pictures, in the order of its sentence."""
_NEGATIONS = frozenset(("not", "no", "without", "never"))


class Meanings(Value):
    """``same``: phrases that mean a value. ``near``: by reason, phrases that it stands in for. Comma-separated."""

    same: str
    near: dict[str, str] = {}


class Sayings(Value):
    """How values are written in the sentence; ``{verb}`` in a motion is the subject's verb."""

    verb: dict[str, str]
    motion: dict[str, str]
    setting: dict[str, str]


class Unsaid(Value):
    """What is chosen for an attribute that the author leaves out: subject and colour by setting, the others by
    subject."""

    subject: dict[str, str]
    setting: dict[str, str]
    colour: dict[str, str]
    motion: dict[str, str]


class Tables(Value):
    """The document. ``names``: of the values, as a note calls them."""

    attributes: dict[str, dict[str, Meanings]]
    moving_verbs: dict[str, str]
    not_meant: tuple[str, ...] = ()
    irregular: dict[str, str] = {}
    several: str = ""
    pronouns: str = ""
    function_words: str = ""
    filler: str = ""
    sentence: str
    say: Sayings
    names: dict[str, dict[str, str]]
    unsaid: Unsaid


@dataclass(frozen=True, slots=True)
class Term:
    """Words of a sentence that say something of an attribute. ``reason`` "": they mean it; else it stands in."""

    attribute: str
    value: str
    text: str
    start: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sentence says: for each attribute the term that counts, if any.

    ``spare``: terms that found no place. ``likely_subject``: who does what the verb says. ``unknown``: words of no
    class, in order; ``several``: whether more than one subject is asked for.
    """

    tokens: tuple[str, ...]
    terms: Mapping[str, Term]
    spare: tuple[Term, ...]
    likely_subject: str
    unknown: tuple[str, ...]
    several: bool
    has_pronoun: bool

    def values(self) -> dict[str, str]:
        """By attribute, what is asked for; attributes that are not mentioned are left out."""
        return {attribute: term.value for attribute, term in self.terms.items()}


class Vocabulary:
    """Reads sentences with one model's tables. Thread-safe: nothing changes after it is made."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._meanings = _meanings(tables)
        self._movers = {phrase: who for who, text in tables.moving_verbs.items() for phrase in _phrases(text)}
        irregular = {base: _phrases(forms) for base, forms in tables.irregular.items()}
        self._inflections = Inflections(irregular)
        self._finder = PhraseFinder([*self._meanings, *self._movers], self._inflections)
        self._not_meant = [re.compile(pattern) for pattern in tables.not_meant]
        self._several, self._pronouns = set(_phrases(tables.several)), set(_phrases(tables.pronouns))
        self._quiet = {*_phrases(tables.function_words), *_phrases(tables.filler), *self._several}

    def read(self, text: str) -> Reading:
        tokens = tokens_of(self._without_not_meant(text.lower()))
        matches = [match for match in self._finder.find(tokens) if not _negated(match, tokens)]
        terms = [self._meanings[match.phrase].term_at(match) for match in matches if match.phrase in self._meanings]
        chosen = _chosen(terms)
        movers = [self._movers[match.phrase] for match in matches if self._movers.get(match.phrase)]
        matched = {at for match in matches for at in range(match.start, match.end)}
        return Reading(
            tokens=tuple(tokens),
            terms=chosen,
            spare=tuple(term for term in terms if term not in chosen.values()),
            likely_subject=movers[0] if movers else "",
            unknown=self._unknown(tokens, matched),
            several=not self._several.isdisjoint(tokens),
            has_pronoun=not self._pronouns.isdisjoint(re.findall("[a-z]+", text.lower())),
        )

    def synonyms(self) -> list[str]:
        """Single words that mean a value: what a misspelt word may have been."""
        return [phrase for phrase, senses in self._meanings.items() if " " not in phrase and not senses.reason]

    def _without_not_meant(self, text: str) -> str:
        for pattern in self._not_meant:
            text = pattern.sub(" ", text)
        return text

    def _unknown(self, tokens: Sequence[str], matched: set[int]) -> tuple[str, ...]:
        words = [word for at, word in enumerate(tokens) if at not in matched and len(word) > 1 and not word.isdigit()]
        return tuple(dict.fromkeys(word for word in words if self._quiet.isdisjoint(self._inflections.forms(word))))


@dataclass(frozen=True, slots=True)
class _Sense:
    attribute: str
    value: str
    reason: str = ""

    def term_at(self, match: Match) -> Term:
        return Term(self.attribute, self.value, match.text, match.start, self.reason)


def _phrases(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.split(",") if phrase.strip()]


def _meanings(tables: Tables) -> dict[str, _Sense]:
    """By phrase; where two values claim one phrase, what means it goes before what stands in."""
    meanings: dict[str, _Sense] = {}
    for attribute, values in tables.attributes.items():
        for value, words in values.items():
            meanings |= {phrase: _Sense(attribute, value) for phrase in _phrases(words.same)}
    for attribute, values in tables.attributes.items():
        for value, words in values.items():
            for reason, text in words.near.items():
                for phrase in _phrases(text):
                    meanings.setdefault(phrase, _Sense(attribute, value, reason))
    return meanings


def _negated(match: Match, tokens: Sequence[str]) -> bool:
    """`no car`, `without a red car`; a phrase that begins with its negation means itself."""
    return not _NEGATIONS.isdisjoint(tokens[max(0, match.start - 2) : match.start])


def _chosen(terms: Sequence[Term]) -> dict[str, Term]:
    """The term that counts of each attribute: what means it before what stands in, then the first.

    Of colours the one nearest before the subject; of motions a direction before staying.
    """
    chosen: dict[str, Term] = {}
    for attribute in ROLES:
        own = [term for term in terms if term.attribute == attribute]
        subject = chosen.get("subject")
        if attribute == "colour" and subject is not None:
            own.sort(key=lambda term, at=subject.start: (not at - 4 <= term.start < at, abs(term.start - at)))
        elif attribute == "motion":
            own.sort(key=lambda term: (bool(term.reason), term.value == "stay", term.start))
        else:
            own.sort(key=lambda term: (bool(term.reason), term.start))
        if own:
            chosen[attribute] = own[0]
    return chosen


def vocabulary_of(card: ModelCard, models_root: Path = BUNDLED_ROOT) -> Vocabulary | None:
    """The vocabulary that a card brings; None where it brings none. Raises Rejected("model")."""
    if not card.built_in:
        return None
    folder = models_root / card.built_in
    return read_vocabulary(folder if folder.is_dir() else BUNDLED_ROOT / card.built_in)


@lru_cache(maxsize=8)
def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a card's folder. Raises Rejected("model") that names file and key."""
    path = folder / FILE
    try:
        document: Any = yaml.safe_load(path.read_bytes())
        return Vocabulary(Tables.model_validate(document))
    except (OSError, yaml.YAMLError, re.error) as error:
        raise Rejected("model", f"{path}: the built-in vocabulary cannot be read: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Rejected("model", f"{path}: {problems}") from error
