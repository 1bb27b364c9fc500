"""Block lists: a text against folders of plain files, by whole words, word forms and near spellings.

Comes in: folders in the layout of NVIDIA's guardrail (``custom``, ``whitelist`` and ``exact_match``, each with text
files of one entry a line), texts. Goes out: a ``Verdict`` that names each word found, as it was written, and its
category, which is the name of the file. Does not know who asks or what follows. It needs no model and no dictionary,
so it misses what is only meant.

An entry is a word or a phrase. In ``custom`` it is found in its inflected forms and disguised (``b3headed``), in
``exact_match`` as it is listed; long words of both with one letter wrong too. Articles and the like between the words
of a phrase do not matter. ``a|b`` are alternatives, ``ending*`` is any word that begins so, and the parts of ``x + y``
are found anywhere in one text. Words of a phrase in ``whitelist`` are not looked at. ``#`` begins a comment.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.assistants.spelling import Word, folded, is_near, is_unspaced, words_of
from engine.contract.assistants import Finding, Verdict
from engine.contract.errors import AssistantFailed

SOURCE = "block list"
MAX_FILE_BYTES = 8 * 2**20
_BETWEEN = frozenset(
    ("a", "an", "the", "his", "her", "their", "its", "my", "your", "our", "this", "that", "these", "those", "another")
)
"""Words that may stand between those of a phrase."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """``parts``: phrases that must all be there; a phrase is a list of words, each with its alternatives."""

    parts: tuple[tuple[tuple[str, ...], ...], ...]
    category: str
    listed: str
    exact: bool


class BlockList:
    """Immutable, and so thread-safe. ``folders``: read at once, all of them; the shipped one first."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Raises AssistantFailed that names a folder or file that cannot be read."""
        self._digest = hashlib.sha256()
        self._entries: list[_Entry] = []
        self._allowed: list[_Entry] = []
        for folder in folders:
            self._read(folder)

    @property
    def key(self) -> str:
        """Names these very lists: verdicts of others do not count."""
        return f"{SOURCE}:{self._digest.hexdigest()}"

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, text: str) -> Verdict:
        """One finding for each word or phrase of the text that is listed."""
        words, flat = words_of(text), _flat(text)
        for allowed in self._allowed:
            words, flat = _without(allowed, words, flat)
        findings = {each.detail: each for entry in self._entries if (each := _finding(entry, words, flat))}
        return Verdict(safe=not findings, source=SOURCE, findings=tuple(findings.values()))

    def _read(self, folder: Path) -> None:
        kinds = [kind for kind in ("custom", "whitelist", "exact_match") if (folder / kind).is_dir()]
        if not kinds:
            what = f"{folder}: no block list there; it must hold a folder custom, exact_match or whitelist"
            raise AssistantFailed(f"{what} with text files, one word or phrase a line.")
        for kind in kinds:
            for path in sorted(path for path in (folder / kind).rglob("*") if path.is_file()):
                entries = [_entry(line, path.stem, kind == "exact_match") for line in self._lines(path)]
                kept = self._allowed if kind == "whitelist" else self._entries
                kept += [entry for entry in entries if all(entry.parts)]

    def _lines(self, path: Path) -> Iterator[str]:
        try:
            content = path.read_bytes()
            text = content.decode("utf-8-sig") if len(content) <= MAX_FILE_BYTES else None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
            raise AssistantFailed(f"{path}: this block list cannot be read ({reason}).") from error
        if text is None:
            raise AssistantFailed(f"{path}: is over {MAX_FILE_BYTES // 2**20} MiB; a block list is a short text.")
        self._digest.update(f"{path.parent.name}/{path.name}\0".encode() + content)
        yield from (line for each in text.splitlines() if (line := each.partition("#")[0].strip()))


def _entry(line: str, stem: str, exact: bool) -> _Entry:
    parts = tuple(tuple(_alternatives(word) for word in _split(part)) for part in line.split(" + "))
    return _Entry(parts, stem.replace("_", " ").replace("-", " "), line, exact)


def _split(part: str) -> list[str]:
    spaced = part.split()
    return [word for each in spaced for word in ([each] if "|" in each else each.replace("-", " ").split())]


def _alternatives(word: str) -> tuple[str, ...]:
    return tuple(folded(each).replace("’", "'") for each in word.split("|") if each)


def _flat(text: str) -> str:
    """The text without anything between its letters, for scripts that put no spaces between words."""
    return "".join(letter for letter in folded(text) if letter.isalnum()) if is_unspaced(text) else ""


def _finding(entry: _Entry, words: Sequence[Word], flat: str) -> Finding | None:
    found: list[str] = []
    for part in entry.parts:
        written = _in_text(part, entry.exact, words, flat)
        if written is None:
            return None
        found.append(f'"{written}"')
    return Finding(category=entry.category, detail=" with ".join(found))


def _in_text(part: Sequence[tuple[str, ...]], exact: bool, words: Sequence[Word], flat: str) -> str | None:
    """The phrase as the author wrote it; None where it is not there."""
    if is_unspaced(part[0][0]):
        return next((each for each in part[0] if each in flat), None)
    place = _place(part, exact, words)
    return " ".join(word.written for word in words[slice(*place)]) if place else None


def _place(part: Sequence[tuple[str, ...]], exact: bool, words: Sequence[Word]) -> tuple[int, int] | None:
    for start, word in enumerate(words):
        if _is_one_of(word, part[0], exact):
            end = _end(part, exact, words, start)
            if end is not None:
                return start, end
    return None


def _end(part: Sequence[tuple[str, ...]], exact: bool, words: Sequence[Word], start: int) -> int | None:
    """Where a phrase that begins at ``start`` ends; None where it does not go on."""
    position = start + 1
    for alternatives in part[1:]:
        while position < len(words) and words[position].plain in _BETWEEN - set(alternatives):
            position += 1
        if position == len(words) or not _is_one_of(words[position], alternatives, exact):
            return None
        position += 1
    return position


def _is_one_of(word: Word, alternatives: Sequence[str], exact: bool) -> bool:
    forms = word.forms[:1] if exact else word.forms
    for listed in alternatives:
        if listed in forms or (listed.endswith("*") and any(form.startswith(listed[:-1]) for form in forms)):
            return True
        if any(is_near(form, listed) for form in forms):
            return True
    return False


def _without(allowed: _Entry, words: list[Word], flat: str) -> tuple[list[Word], str]:
    """The text without an allowed phrase; what was on both sides of it does not become neighbours."""
    for part in allowed.parts:
        while place := _place(part, False, words):
            words = [*words[: place[0]], Word("", ("",)), *words[place[1] :]]
        if flat and is_unspaced(part[0][0]):
            flat = flat.replace(part[0][0], "\0")
    return words, flat
