"""What a model answered, made a prompt: without its wrapping, in English, and no longer than the film's model reads.

Comes in: the text of an answer, the author's prompt, limits. Goes out: the prompt with notes on what was changed, or
``AssistantFailed`` where the answer is none. Pure. Does not know models or endpoints.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, cast

from engine.contract.errors import AssistantFailed

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<(final_prompt|prompt|answer|caption)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)(?:```|\Z)", re.DOTALL)
_LABEL = re.compile(
    r"^\W*(?:(?:here(?: is|'s| are)|sure|certainly|of course)\b[^:\n]{0,120}[:!]\s*|(?:the )?"
    r"(?:rewritten|refined|revised|upsampled|enhanced|improved|final|video|long)?\s*"
    r"(?:prompt|caption|text|description|answer|segment|version|rewritten)(?: \d+)?\W{0,3}:\s*)",
    re.IGNORECASE,
)
_HEADING = re.compile(r"-\s+\*\*(?:[^*\s]+\s*){1,9}\*\*:?")
_MARKS = re.compile(r"(?m)^\s*(?:#{1,6}|[-*]|\d+[.)])\s+|\*\*|__|`")
_REFUSAL = re.compile(
    r"^\W*(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:'t|not)|won't|must decline)"
    r"|sorry\b|as an ai\b|i apologi[sz]e)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"([^"\n]+)"|\u201c([^\u201d\n]+)\u201d|\u00ab([^\u00bb\n]+)\u00bb|\u300c([^\u300d\n]+)\u300d')
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s)")
_PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": " - ", "\u2026": "...", "\u00a0": " ", "\u2212": "-"}
)
_PROMPT_KEYS = ("final_prompt", "prompt", "refined_prompt", "caption", "text", "description")
MOST_FOREIGN = 0.2
"""Share of letters outside of quotes that are not Latin; more is no English."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """``notes``: what was changed, as sentences for the author."""

    text: str
    notes: tuple[str, ...]


def cleaned(answer: str, prompt: str, max_words: int) -> Cleaned:
    """The answer as a prompt. ``prompt``: the author's, whose quoted texts stay. Raises AssistantFailed."""
    text = _unwrapped(answer)
    if _REFUSAL.match(text):
        raise AssistantFailed(f'The refiner declined: "{" ".join(text.split())[:120]}".')
    text, changed = _in_ascii(" ".join(text.split()))
    notes = ["Characters that the model does not read were left out."] if changed else []
    text, shortened = _within(_stripped(text), max_words)
    if shortened:
        notes.append(f"Shortened to {len(text.split())} words; more are not read.")
    if not re.search(r"\w", text):
        raise AssistantFailed("The refiner's answer holds no text that can be used.")
    if missing := [quote for quote in quoted_in(prompt) if quote not in text]:
        text = f"{text} {_written(missing)}"
        notes.append("Quoted text that the refiner left out was added at the end.")
    return Cleaned(text, tuple(notes))


def quoted_in(text: str) -> list[str]:
    """What stands in double quotes, each once, in order."""
    return list(dict.fromkeys(next(filter(None, match.groups())) for match in _QUOTED.finditer(text)))


def _written(quotes: list[str]) -> str:
    shown = " and ".join(f'"{quote}"' for quote in quotes)
    return f"The text {shown} can be read."


def _unwrapped(answer: str) -> str:
    """Without thinking, fences, tags, JSON around the text, labels and marks of lists."""
    text = _THINKING.sub("", answer).strip()
    if tagged := _TAGGED.findall(text):
        text = tagged[-1][1].strip()
    if fenced := _FENCE.search(text):
        text = fenced.group(1).strip()
    text = _from_json(text)
    for _ in range(3):  # "Sure! Here is the caption: Caption: ..."
        text = _LABEL.sub("", text, count=1).strip()
    return _MARKS.sub("", _HEADING.sub("", text))


def _from_json(text: str) -> str:
    """The prompt of a JSON object; the text itself where it is none."""
    if not text.startswith("{"):
        return text
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    values = cast(dict[str, object], fields) if isinstance(fields, dict) else {}
    found = next((values[key] for key in _PROMPT_KEYS if isinstance(values.get(key), str)), None)
    if found is None:
        raise AssistantFailed("The refiner answered with JSON that holds no prompt.")
    return str(found)


def _stripped(text: str) -> str:
    """Without what stands around the whole: punctuation, and a pair of quotes that encloses everything."""
    text = text.strip(" -,*:")
    for mark in "\"'":
        if len(text) > 1 and text[0] == text[-1] == mark and mark not in text[1:-1]:
            text = text[1:-1].strip(" -,*:")
    return text


def _in_ascii(text: str) -> tuple[str, bool]:
    """Plain characters outside of quotes, and whether any were lost. Raises AssistantFailed for another script."""
    text = text.translate(_PLAIN)
    text = re.sub("\u201c([^\u201c\u201d]*)\u201d", r'"\1"', text)
    outside = _QUOTED.sub("", text)
    letters = [letter for letter in outside if letter.isalpha()]
    foreign = [letter for letter in letters if not unicodedata.name(letter, "").startswith("LATIN")]
    if letters and len(foreign) > MOST_FOREIGN * len(letters):
        raise AssistantFailed("The refiner did not answer in English. Ask it again, or use another model.")
    plain, end = "", 0
    for match in _QUOTED.finditer(text):
        plain += _plain(text[end : match.start()]) + match.group()
        end = match.end()
    is_lost = any(not _plain(character) for character in outside if not character.isspace())
    return " ".join((plain + _plain(text[end:])).split()), is_lost


def _plain(text: str) -> str:
    """Letters without their accents; what has no plain form is left out."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _within(text: str, max_words: int) -> tuple[str, bool]:
    """Up to a number of words, cut behind the last whole sentence if one ends in the second half."""
    words = text.split()
    if len(words) <= max_words:
        return text, False
    short = " ".join(words[:max_words])
    ends = [match.end() for match in _SENTENCE_END.finditer(f"{short} ")]
    if ends and ends[-1] > len(short) // 2:
        return short[: ends[-1]], True
    return short.rstrip(" ,;:-") + ".", True
