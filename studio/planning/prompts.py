"""Prompts as a model hears them: words it was never shown, and text that is longer than it reads.

Comes in: a prompt and a model card. Goes out: words and numbers for notes. Does not know tokenizers: lengths are
estimates.
"""

import re
from functools import lru_cache

from engine.contract.cards import ModelCard

_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]")
MAX_WORDS_NAMED = 5


def unknown_words(text: str, card: ModelCard) -> tuple[str, ...]:
    """Words of a text that a model was never shown, each once, in order. Empty where a model knows any words.

    Case, punctuation and plain plurals make no difference.
    """
    if not card.vocabulary:
        return ()
    known = _known(card.vocabulary)
    words = dict.fromkeys(word for word in _WORD.findall(text.lower()) if len(word) > 1)
    return tuple(word for word in words if known.isdisjoint(_forms(word)))


@lru_cache(maxsize=8)
def _known(vocabulary: tuple[str, ...]) -> frozenset[str]:
    return frozenset(form for word in vocabulary for form in _forms(word.lower()))


def _forms(word: str) -> set[str]:
    """The word, and what it may be the plural of: boats, foxes, butterflies."""
    forms = {word}
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        forms.add(word[:-1])
        if word.endswith("es"):
            forms.add(word[:-2])
        if word.endswith("ies"):
            forms.add(word[:-3] + "y")
    return forms


def said(words: tuple[str, ...]) -> str:
    """`"dragon", "castle" and 2 more`."""
    named = [f'"{word}"' for word in words[:MAX_WORDS_NAMED]]
    if len(words) > MAX_WORDS_NAMED:
        named.append(f"{len(words) - MAX_WORDS_NAMED} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def never_shown(words: tuple[str, ...], card: ModelCard) -> str:
    """What to say of words that a model was never shown."""
    return f"{card.title} was never shown {said(words)}. {card.vocabulary_hint}".strip()


def estimated_tokens(text: str) -> int:
    """One for each word and mark, and one for the end; long words that a model does not know take more."""
    return len(_TOKEN.findall(text)) + 1
