"""The storyboard's file: what it looks like, what is refused, and that nothing is lost on the way. Hypothesis helps."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from studio.document.formats.plain_yaml import (  # pyright: ignore[reportPrivateUsage]
    MAX_BYTES,
    YamlError,
    _FastLoader,
    _Loader,
    dump,
    parse,
)
from studio.document.formats.yaml_file import from_text, read_file, to_text
from studio.document.storyboard import Scene, Storyboard, document_of
from studio.errors import StoryboardError
from studio.planning.presets import MODELS_FOLDER
from tests.studio.planning.factories import storyboards, words


@settings(deadline=None, max_examples=100)
@given(storyboards)
def test_a_storyboard_survives_its_file(storyboard: Storyboard) -> None:
    assert from_text(to_text(storyboard)) == storyboard
    assert from_text(json.dumps(document_of(storyboard))) == storyboard


@settings(deadline=None, max_examples=300)
@given(words)
@example("3:2")
@example("1e3")
@example("no")
@example(" a\n b")
@example("\n")
@example("a\n")
@example("\ttab\nline")
@example("# no comment\n- no list")
@example("\u2028 \x85 \ufeff")
@example("\x00\x1b")
@example("=")
@example("0x10")
@example("1_000")
@example("2020-01-01")
@example("😀\nd")
def test_any_text_survives_yaml(text: str) -> None:
    assert parse(dump({"text": text, "list": [text]})) == {"text": text, "list": [text]}


@settings(deadline=None, max_examples=200)
@given(st.floats(allow_nan=False) | st.integers(-(2**64), 2**64) | st.booleans() | st.none())
def test_any_number_survives_yaml(value: float | bool | None) -> None:
    assert parse(dump({"value": value})) == {"value": value}


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_rubbish_is_refused_in_words_or_read(text: str | bytes) -> None:
    try:
        from_text(text)
    except StoryboardError as error:
        assert str(error)


def test_the_file_is_short_and_ordered() -> None:
    storyboard = Storyboard(title="A day", scenes=(Scene(id="dawn", prompt="first line\nsecond line", seed=4),))
    assert to_text(storyboard) == (
        "schema: storyboard/1\n"
        "title: A day\n"
        "aspect: '3:2'\n"
        "model: diorama\n"
        "preset: balanced\n"
        "seed: 0\n"
        "scenes:\n"
        "  - id: dawn\n"
        "    prompt: |-\n"
        "      first line\n"
        "      second line\n"
        "    duration_s: 3.0\n"
        "    seed: 4\n"
    )


def test_a_whole_number_may_be_a_key_and_is_text_as_in_json() -> None:
    assert parse("{1: 2, 30: 4}") == {"1": 2, "30": 4} == parse('{"1": 2, "30": 4}')
    with pytest.raises(YamlError, match="the key 1 is there twice"):
        parse('1: a\n"1": b')


def test_ratios_words_and_numbers_mean_what_they_look_like() -> None:
    storyboard = from_text("aspect: 16:9\ntitle: No\nscenes: [{prompt: on, duration_s: 1e1}]")
    scene = storyboard.scenes[0]
    assert (storyboard.aspect, storyboard.title, scene.prompt, scene.duration_s) == ("16:9", "No", "on", 10)


BOMB = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nscenes: [*c]"
REFUSED = [
    (BOMB, "line 2: `*` refers to another place"),
    ("title: a\ntitle: b", "line 2: the key title is there twice"),
    ('{"title": "a", "title": "b"}', "the key title is there twice"),
    ("title: [", "line 1"),
    ("title: 'a", "check colons, quotes and indentation"),
    ("scenes:\n  - prompt: a: b", "line 2"),
    ("title: !!python/object/apply:os.system [ls]", "line 1"),
    ("title: !!binary YQ==", "must be text"),
    ("? [a]\n: b", "a key must be a word"),
    ("<<: {title: a}", "unknown key"),
    ("a: " + "[" * 100 + "]" * 100, "nests deeper"),
    ("[" * 100_000, "nests deeper"),
    ("seed: " + "9" * 5000, "5000 digits"),
    ('{"seed": ' + "9" * 5000 + "}", "digits"),
    ("title: a\n---\ntitle: b", "another document"),
    (b"title: \xff\xfe", "is not UTF-8 text"),
    (b"\x00" * 10, "special characters"),
    ("x" * (MAX_BYTES + 1), "larger than 2 MiB"),
    ("", "a storyboard is a group"),
    ("just words", "a storyboard is a group"),
]


@pytest.mark.parametrize("text, words", REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_no_storyboard_is_refused_in_words(text: str | bytes, words: str) -> None:
    with pytest.raises(StoryboardError) as caught:
        from_text(text, "film.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("film.yaml: ")


def test_dates_and_other_yaml_types_stay_text() -> None:
    assert parse("a: 2020-01-01\nb: 0x10\nc: yes\nd: 1_0") == {"a": "2020-01-01", "b": "0x10", "c": "yes", "d": "1_0"}


def test_a_byte_order_mark_is_no_part_of_a_key() -> None:
    assert from_text(b"\xef\xbb\xbftitle: a").title == "a"


def test_a_file_is_read_again(tmp_path: Path) -> None:
    storyboard = Storyboard(title="A day", scenes=(Scene(id="dawn", prompt="a ball"),))
    (tmp_path / "day.yaml").write_text(to_text(storyboard), encoding="utf-8")
    assert read_file(tmp_path / "day.yaml") == storyboard


@pytest.mark.parametrize("name, words", [("none.yaml", "no such file"), (".", "cannot be read")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(StoryboardError, match=words) as caught:
        read_file(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def test_damaged_yaml_says_where() -> None:
    with pytest.raises(YamlError, match="line 2, column"):
        parse("a: b\n  c: d")


TRICKY = (
    "a: 1\nb: [yes, no, true, 3:2, 0o7, 010, 1e3, -.inf, ~, '']\nc: >-\n  folded\n  text\nd: |\n  line\n\n  other\n",
    "a: {b: {c: [1, {d: 2}]}}\n",
    "1: one\n'2': two\n",
    "a: 1\na: 2\n",
    "a: &x 1\nb: *x\n",
    "a: !!python/object:os.system ls\n",
    "a: " + "[" * 40 + "]" * 40,
    "a: [1, 2\n",
    "a: b: c\n",
    "a:\n\t- 1\n",
    "? [a]\n: 1\n",
    '- \u00e9\u4e2d\U0001f600\n- "\\u2028"\n',
    "",
)


@pytest.mark.parametrize("text", [*TRICKY, *(path.read_text() for path in sorted(MODELS_FOLDER.glob("*.yaml")))])
def test_the_fast_loader_reads_what_the_plain_one_reads(text: str) -> None:
    def outcome(loader: Any) -> str:
        try:
            return repr(yaml.load(text, Loader=loader))
        except (yaml.YAMLError, YamlError) as error:
            return type(error).__name__ if isinstance(error, YamlError) else "not YAML"

    assert outcome(_FastLoader) == outcome(_Loader)
