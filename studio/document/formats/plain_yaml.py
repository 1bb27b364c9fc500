"""YAML and JSON text to plain values, safely and without surprises; and back.

Comes in: bytes or text of a file that anybody may have written. Goes out: dicts, lists, text, numbers, booleans,
nothing. Refused with line and reason: more than 2 MiB, anchors and aliases, tags, a key twice, nesting without end.
Only ``true`` and ``false`` are booleans and ``3:2`` is text (YAML 1.2's core schema,
https://yaml.org/spec/1.2.2/#103-core-schema). Does not know what the values mean.
"""

import json
import re
from collections.abc import Hashable
from typing import Any, cast

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

MAX_BYTES = 2 * 2**20
MAX_DEPTH = 32

_SCALARS = (
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+0123456789."),
    ),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
)


class YamlError(ValueError):
    """The text is not YAML or JSON that is read here. The message says the line and what to do."""


class _Rules(Composer, SafeConstructor, Resolver):
    """What is read from a parser's events: the scalars above, no aliases, no repeated keys, and a limit on nesting."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        events = cast(Any, self)
        if events.check_event(yaml.AliasEvent):
            mark = events.peek_event().start_mark
            raise YamlError(f"line {mark.line + 1}: `*` refers to another place; write the values out")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise YamlError(f"nests deeper than {MAX_DEPTH} levels; this is no storyboard or preset")
        node: Any = cast(Any, super()).compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == "tag:yaml.org,2002:int":
                key.tag = "tag:yaml.org,2002:str"  # as in JSON, where every key is text
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise YamlError(f"line {key.start_mark.line + 1}: a key must be a word (in quotes if need be)")
            if key.value in seen:
                raise YamlError(f"line {key.start_mark.line + 1}: the key {key.value} is there twice; keep one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Loader(_Rules, yaml.SafeLoader):
    """In Python: its errors are the ones that are shown."""

    def __init__(self, text: str) -> None:
        yaml.SafeLoader.__init__(self, text)


_Fast: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _FastLoader(_Rules, _Fast):
    """The same on libyaml's events, several times as fast."""

    def __init__(self, text: str) -> None:
        _Fast.__init__(self, text)
        Composer.__init__(self)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what either YAML 1.1 or the scalars above would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        cast(Any, super()).increase_indent(flow, False)


def _construct_int(loader: Any, node: Any) -> int:
    return _int(node.value, f"line {node.start_mark.line + 1}: ")


def _json_int(digits: str) -> int:
    return _int(digits, "")


def _int(digits: str, where: str) -> int:
    if len(digits) > 40:
        raise YamlError(f"{where}a number of {len(digits)} digits; write a smaller one")
    return int(digits)


def _construct_float(loader: Any, node: Any) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _represent_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    if any(mark in text for mark in "\r\x85\u2028\u2029"):  # YAML breaks lines there; only "..." escapes them
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _tag, _pattern, _first in _SCALARS:
    for _kind in cast(tuple[Any, ...], (_Rules, _Dumper)):
        _kind.add_implicit_resolver(_tag, _pattern, _first)
_Rules.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Rules.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Dumper.add_representer(str, _represent_text)


def parse(text: bytes | str) -> object:
    """The value of a YAML or JSON text. Raises YamlError."""
    text = decoded(text)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _from_json(text)
        except (json.JSONDecodeError, RecursionError):
            pass  # YAML's own short form begins like this too; its reader says where what is wrong
    try:
        return yaml.load(text, Loader=_FastLoader)
    except yaml.YAMLError:
        pass
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise YamlError(_said(error)) from error
    except yaml.YAMLError as error:
        raise YamlError(f"not readable as YAML: {error}") from error


def parse_json(text: str, first_line: int = 1) -> object:
    """The value of a JSON text that begins on ``first_line`` of its file. Raises YamlError."""
    try:
        return _from_json(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        where = f"line {line}, column {error.colno}"
        raise YamlError(f"{where}: not JSON ({error.msg}); check brackets, commas and quotes there") from error
    except RecursionError as error:
        raise YamlError(f"line {first_line}: nests too deep; this is no list of prompts") from error


def _from_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_pairs, parse_int=_json_int)


def dump(value: object) -> str:
    """Readable YAML of plain values: keys in their order, text of several lines as a block."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


def decoded(text: bytes | str) -> str:
    """The text of a file's bytes. Raises YamlError for what is too large or not UTF-8."""
    if len(text) > MAX_BYTES:
        raise YamlError(f"is larger than {MAX_BYTES // 2**20} MiB; this is no storyboard or preset")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    group = dict(pairs)
    if len(group) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise YamlError(f"the key {twice} is there twice; keep one")
    return group


def _said(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    reason = error.problem or error.context or "not readable as YAML"
    return f"{line}{reason}; check colons, quotes and indentation there"
