"""Pydantic's validation errors as messages for an author.

Comes in: a ``ValidationError`` and the type that refused. Goes out: ``Problem`` values, one per finding, each with a
path (``scenes[2].promt``) and what to do. Does not know which file or panel the values came from.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from studio.errors import Problem

_MESSAGES: dict[str, str] = {
    "missing": "is missing; add it",
    "string_type": "must be text, not {shown}; put it in quotes",
    "float_type": "must be a number such as 3.5, not {shown}",
    "int_type": "must be a whole number such as 3, not {shown}",
    "int_from_float": "must be a whole number, not {shown}",
    "float_parsing": "must be a number such as 3.5, not {shown}",
    "int_parsing": "must be a whole number such as 3, not {shown}",
    "int_parsing_size": "must be a smaller whole number, not {shown}",
    "bool_type": "must be true or false, not {shown}",
    "finite_number": "must be a finite number such as 3.0, not {shown}",
    "greater_than": "must be more than {gt}, not {shown}",
    "greater_than_equal": "must be {ge} or more, not {shown}",
    "less_than": "must be less than {lt}, not {shown}",
    "less_than_equal": "must be {le} or less, not {shown}",
    "string_too_short": "must not be empty; write something",
    "string_too_long": "is too long; at most {max_length} characters",
    "string_unicode": "has characters that no text file can hold; type it again",
    "too_long": "has too many entries; at most {max_length}",
    "too_short": "has too few entries; at least {min_length}",
    "tuple_type": "must be a list, not {shown}",
    "list_type": "must be a list, not {shown}",
    "dict_type": "must be a group of `key: value`, not {shown}",
    "model_type": "must be a group of `key: value`, not {shown}",
    "model_attributes_type": "must be a group of `key: value`, not {shown}",
    "invalid_key": "is not a key; keys are words",
}
_PATTERNS: dict[str, str] = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$": (
        "must be a name of letters, digits, `.`, `_` or `-` (at most 80, the first a letter or digit), not {shown}"
    ),
    r"^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$": 'must be width:height such as "3:2", not {shown}',
    r"^[0-9a-f]{64}$": "must be the 64 hexadecimal digits of a SHA-256, not {shown}",
}


def path_of(location: Sequence[str | int]) -> str:
    """``("scenes", 2, "prompt")`` -> ``scenes[2].prompt``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def suggestion(word: str, known: Iterable[str]) -> str:
    """`, did you mean prompt?`, or the list of what is known."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def problems_in(error: ValidationError, model: type[BaseModel], prefix: str = "") -> tuple[Problem, ...]:
    """Everything that a model refused, in the document's order; ``prefix`` is the path of the model itself."""
    return tuple(_problem(details, model, prefix) for details in error.errors(include_url=False))


def _problem(details: ErrorDetails, model: type[BaseModel], prefix: str) -> Problem:
    unknown = details["type"] == "extra_forbidden"
    location = details["loc"] if unknown else _without_branches(model, details["loc"])
    path = path_of((prefix, *location) if prefix else location)
    if unknown:
        return Problem(path, "unknown key" + suggestion(str(location[-1]), _keys_at(model, location[:-1])))
    return Problem(path, _message(details))


def _without_branches(model: type[BaseModel], location: Sequence[str | int]) -> list[str | int]:
    """Pydantic adds to a path which type of a union it tried; the author knows no such word."""
    known = _keys_below(model)
    return [part for part in location if isinstance(part, int) or part in known or part == location[0]]


def _keys_below(model: type[BaseModel]) -> set[str]:
    inner = (_model_in(field.annotation) for field in model.model_fields.values())
    return set(model.model_fields).union(*(_keys_below(found) for found in inner if found))


def _message(details: ErrorDetails) -> str:
    context = {name: _plain(value) for name, value in details.get("ctx", {}).items()}
    shown = show(details["input"])
    kind = details["type"]
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(str(context["pattern"]), "is not of the right form: {shown}").format(shown=shown)
    if kind == "literal_error":
        return f"must be {context['expected']}, not {shown}"
    if kind == "value_error":
        return str(context["error"])
    if kind in _MESSAGES:
        return _MESSAGES[kind].format(shown=shown, **context)
    return details["msg"]


def _plain(value: object) -> object:
    """600.0 as 600: a limit is read by people."""
    return f"{value:g}" if isinstance(value, float) else value


def show(value: object) -> str:
    """A value as a message shows it: short, and never a page of text."""
    if isinstance(value, str):
        return f'"{value[:40]}…"' if len(value) > 40 else f'"{value}"'
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a group of keys"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)[:40]


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> tuple[str, ...]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return tuple(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        if found := _model_in(inner):
            return found
    return None
