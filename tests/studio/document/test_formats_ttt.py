"""TTT-Video's prompt files: every case of the golden file, the mapping to scenes, and nothing lost on the way back."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from studio.document.formats.reading import format_of, read_file, read_storyboards, ttt_form
from studio.document.formats.ttt_prompts import Video, read_videos, storyboards_of, to_text
from studio.document.storyboard import Scene, Storyboard
from studio.errors import StoryboardError

GOLDEN = Path(__file__).parents[2] / "goldens" / "ttt" / "text_assembly.json"
CASES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["cases"]
TOKENS = ("<start_scene>", "<end_scene>")
NINE_SECONDS = [
    [
        {"text": "Tom sleeps.", "requires_scene_transition": False, "neg_text": "blurry"},
        {"text": "Jerry runs.", "requires_scene_transition": True, "neg_text": "low quality"},
        {"text": "Both stop.", "requires_scene_transition": False, "neg_text": None},
    ],
    [{"text": "One."}],
]


def bare(text: str | None) -> str | None:
    for token in TOKENS:
        text = text and text.replace(token, "")
    return text


def flags_of(texts: list[str | None]) -> list[bool]:
    return [bool(text) and text.startswith(TOKENS[0]) for text in texts]


def read(case: dict[str, Any]) -> tuple[Video, ...]:
    return read_videos(case["file_content"], ttt_form(case["file_name"]))


@pytest.mark.parametrize("case", [case for case in CASES if "error" not in case], ids=lambda case: case["name"])
def test_a_file_is_read_as_the_authors_read_it(case: dict[str, Any]) -> None:
    videos = read(case)
    assert [[segment.text for segment in video] for video in videos] == [
        [bare(text) for text in video] for video in case["segment_texts"]
    ]
    assert [[segment.scene_transition for segment in video] for video in videos] == [
        flags_of(video) for video in case["segment_texts"]
    ]
    assert [[segment.negative for segment in video] for video in videos] == case["negatives_as_parsed"]


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=lambda case: case["name"])
def test_what_the_authors_refuse_is_refused_in_words(case: dict[str, Any]) -> None:
    with pytest.raises(StoryboardError) as caught:
        storyboards_of(read(case))
    assert str(caught.value)


def test_segments_are_scenes_of_three_seconds(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(NINE_SECONDS))
    first, second = read_storyboards(path)
    assert [scene.prompt for scene in first.scenes] == ["Tom sleeps.", "Jerry runs.", "Both stop."]
    assert [scene.negative_prompt for scene in first.scenes] == ["blurry", "low quality", ""]
    assert [scene.transition for scene in first.scenes] == ["cut", "cut", "continue"]
    assert {scene.duration_s for scene in (*first.scenes, *second.scenes)} == {3.0}
    assert (first.title, second.title) == ("Video 1 of 2", "Video 2 of 2")
    with pytest.raises(StoryboardError, match="holds 2 videos"):
        read_file(path)


segments = st.fixed_dictionaries(
    {"text": st.text(st.characters(exclude_categories=["Cs"]), max_size=20)},
    optional={
        "requires_scene_transition": st.booleans() | st.none() | st.sampled_from([0, 1, "no", "", [], [0], 0.5]),
        "neg_text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    },
)


def meant(videos: list[list[dict[str, Any]]]) -> list[list[tuple[str, bool, str]]]:
    """What the authors' code makes of a file: the first flag is not heeded, and null is the empty text."""
    return [
        [
            (each["text"], place > 0 and bool(each.get("requires_scene_transition")), each.get("neg_text") or "")
            for place, each in enumerate(video)
        ]
        for video in videos
    ]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(segments, min_size=1, max_size=4), min_size=1, max_size=3), st.sampled_from(["json", "jsonl"]))
@example([[{"text": " a\n", "neg_text": ""}, {"text": "\u2028 \u732b\t", "requires_scene_transition": "no"}]], "jsonl")
@example(NINE_SECONDS, "json")
def test_nothing_is_lost_on_the_way_in_and_out(videos: list[list[dict[str, Any]]], form: Any) -> None:
    text = json.dumps(videos) if form == "json" else "".join(json.dumps(video) + "\n" for video in videos)
    boards = storyboards_of(read_videos(text, form), form)
    written = to_text(boards, form)
    assert format_of(written, f"a.{form}") == "ttt"
    again = json.loads(written) if form == "json" else [json.loads(line) for line in written.split("\n")[:-1]]
    assert meant(again) == meant(videos)
    assert storyboards_of(read_videos(written, form), form) == boards


def test_what_is_written_says_every_field_plainly() -> None:
    written = json.loads(to_text(storyboards_of(read_videos(json.dumps(NINE_SECONDS), "json"))))
    assert written[0] == NINE_SECONDS[0]
    assert written[1] == [{"text": "One.", "requires_scene_transition": False, "neg_text": None}]


def test_longer_scenes_looks_and_crossfades_are_written_as_they_are_rendered() -> None:
    scenes = (
        Scene(id="a", prompt="A cat sits", negative_prompt="dogs", duration_s=12, chunk_prompts=("", "It yawns")),
        Scene(id="b", prompt="It jumps", duration_s=2, transition="crossfade"),
        Scene(id="c", prompt="It lands", duration_s=4.5, transition="continue"),
    )
    storyboard = Storyboard(look="in ink", negative_look="colour", scenes=scenes)
    [written] = json.loads(to_text([storyboard]))
    assert [segment["text"] for segment in written] == [
        *["A cat sits, in ink"] * 2,
        *["It yawns, in ink"] * 2,
        *("It jumps, in ink", "It lands, in ink", "It lands, in ink"),
    ]
    assert [segment["requires_scene_transition"] for segment in written] == [*[False] * 4, True, False, False]
    assert [segment["neg_text"] for segment in written] == [*["dogs, colour"] * 4, *["colour"] * 3]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "[[]]", "video 1: has no segments"),
        ("a.json", '[[{"text": "a"}], []]', "video 2: has no segments"),
        ("a.json", '[[{"text": "a", "duration": 3}]]', "video 1, segment 1: duration: unknown key; known are"),
        ("a.json", '[[{"text": "a"}, {"txt": "b"}]]', "video 1, segment 2: txt: unknown key, did you mean text?"),
        ("a.json", '[[{"neg_text": "a"}]]', "video 1, segment 1: text: there is none"),
        ("a.json", '[[{"text": null}]]', "video 1, segment 1: text: is null"),
        ("a.json", '[[{"text": 3}]]', "text: must be text in quotes, not 3"),
        ("a.json", '[[{"text": "a", "neg_text": ["b"]}]]', "neg_text: must be text in quotes, not a list"),
        ("a.json", '[["a"]]', "video 1, segment 1: must be a group"),
        ("a.json", '[[{"text": "a"}], {"text": "b"}]', "video 2: must be a list of segments"),
        ("a.json", '[[{"text": "a"}], {"text": "b"}]', "not a group of keys; put [ ] around them"),
        ("a.json", json.dumps([[{"text": "a" * 8001}]]), "video 1, segment 1: text: is too long; at most 8000"),
        ("a.json", '[[{"text": "a"}]', "line 1, column 17: not JSON"),
        ("a.json", json.dumps([[{"text": "a"}]] * 201), "holds 201 videos; at most 200"),
        ("a.json", json.dumps([[{"text": "a"}] * 1001]), "video 1: has 1001 segments; at most 1000"),
        ("a.jsonl", '[{"text": "a"}]\n\n[{"text": "b"}]\n', "line 2: is blank"),
        ("a.jsonl", '[{"text": "a"}]\n\n', "line 2: is blank"),
        ("a.jsonl", '[{"text": "a"}]\n[{"text": "b"]\n', "line 2, column 14: not JSON"),
        ("a.jsonl", '[{"text": "a"}]\n[]', "line 2: has no segments"),
        ("a.jsonl", '[{"text": "a"}]\n{"text": "b"}', "line 2: must be a list of segments"),
        ("a.txt", '[[{"text": "a"}]]', "such a file ends in .json"),
    ],
)
def test_a_wrong_file_is_said_with_its_place(name: str, text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(StoryboardError) as caught:
        read_storyboards(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_storyboard_without_scenes_is_not_written() -> None:
    with pytest.raises(StoryboardError, match='"Nothing" has none'):
        to_text([Storyboard(title="Nothing")])
