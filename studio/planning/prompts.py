"""What a model does not read of a prompt: words outside its vocabulary, and text beyond its length.

Comes in: a prompt and a model card. Goes out: words and numbers for notes. Does not know tokenizers: lengths are
estimates.
"""

import re
from functools import lru_cache

from engine.contract.cards import ModelCard

_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]")
MAX_WORDS_QUOTED = 5


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


def quoted(words: tuple[str, ...]) -> str:
    """`"dragon", "castle" and 2 more`."""
    quotes = [f'"{word}"' for word in words[:MAX_WORDS_QUOTED]]
    if len(words) > MAX_WORDS_QUOTED:
        quotes.append(f"{len(words) - MAX_WORDS_QUOTED} more")
    return quotes[0] if len(quotes) == 1 else f"{', '.join(quotes[:-1])} and {quotes[-1]}"


def never_shown(words: tuple[str, ...], card: ModelCard) -> str:
    """The note about words that a model was never shown."""
    return f"{card.title} was never shown {quoted(words)}. {card.vocabulary_hint}".strip()


def estimated_tokens(text: str) -> int:
    """One for each word and mark, and one for the end; long words that a model does not know take more."""
    return len(_TOKEN.findall(text)) + 1
