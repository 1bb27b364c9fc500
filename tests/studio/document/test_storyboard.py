"""The document: what is refused, in which words and where; upgrades; ids. Does not know files on disk."""

from typing import Any

import pytest

from studio.document.storyboard import SCHEMA, Storyboard, document_of, read_document
from studio.errors import StoryboardError


def scene(**fields: Any) -> dict[str, Any]:
    return {"scenes": [{"id": "one", "prompt": "a"}, {"id": "two", "prompt": "b", **fields}]}


WRONG = [
    (scene(promt="x"), "scenes[1].promt", "unknown key, did you mean prompt?"),
    (scene(overrides={"num_step": 3}), "scenes[1].overrides.num_step", "did you mean num_steps?"),
    (scene(conditioning={"media": "a.png", "frames": 1}), "scenes[1].conditioning.frames", "unknown key"),
    (scene(conditioning="a.png"), "scenes[1].conditioning", "group of `key: value`"),
    (scene(conditioning={"media": "a.png", "strength": 2}), "scenes[1].conditioning.strength", "1 or less"),
    (scene(conditioning={"media": ""}), "scenes[1].conditioning.media", "must not be empty"),
    (
        scene(conditioning={"media": "a.mp4", "strength": -0.1}),
        "scenes[1].conditioning.strength",
        "0 or more, not -0.1",
    ),
    (
        scene(conditioning={"media": "a.mp4", "first_frame_strength": "0.4"}),
        "scenes[1].conditioning.first_frame_strength",
        "must be a number",
    ),
    (scene(first_frame={"promt": "x"}), "scenes[1].first_frame.promt", "did you mean prompt?"),
    (scene(first_frame={"seed": -1}), "scenes[1].first_frame.seed", "0 or more"),
    (scene(first_frame=None), "scenes[1].first_frame", "group of `key: value`"),
    (scene(chunk_prompts="a boat"), "scenes[1].chunk_prompts", "must be a list"),
    (scene(chunk_prompts=["a", 3]), "scenes[1].chunk_prompts[1]", "must be text, not 3"),
    (scene(chunk_prompts=["a"] * 1001), "scenes[1].chunk_prompts", "at most 1000"),
    ({"size_px": "1280x704"}, "size_px", "must be a list"),
    ({"size_px": [1280]}, "size_px[1]", "is missing"),
    ({"size_px": [1280, 704, 3]}, "size_px", "too many entries"),
    ({"size_px": [1280, 8]}, "size_px[1]", "16 or more"),
    ({"size_px": [1280.5, 704]}, "size_px[0]", "whole number"),
    ({"tilte": "x"}, "tilte", "did you mean title?"),
    (scene(prompt=3), "scenes[1].prompt", "must be text, not 3; put it in quotes"),
    (scene(prompt=None), "scenes[1].prompt", "must be text, not nothing"),
    (scene(prompt="x" * 9000), "scenes[1].prompt", "at most 8000 characters"),
    (scene(duration_s=0), "scenes[1].duration_s", "more than 0"),
    (scene(duration_s=-1.5), "scenes[1].duration_s", "more than 0, not -1.5"),
    (scene(duration_s=float("nan")), "scenes[1].duration_s", "finite number"),
    (scene(duration_s=float("inf")), "scenes[1].duration_s", "finite number"),
    (scene(duration_s=1e12), "scenes[1].duration_s", "600 or less"),
    (scene(duration_s="3"), "scenes[1].duration_s", "must be a number"),
    (scene(duration_s=True), "scenes[1].duration_s", "must be a number"),
    (scene(transition="fade"), "scenes[1].transition", "'cut', 'continue' or 'crossfade'"),
    (scene(crossfade_s=0), "scenes[1].crossfade_s", "more than 0"),
    (scene(seed=-1), "scenes[1].seed", "0 or more"),
    (scene(seed=2**32), "scenes[1].seed", "4294967295 or less"),
    (scene(seed=1.5), "scenes[1].seed", "whole number"),
    (scene(id=7), "scenes[1].id", "must be text"),
    (scene(id="a/../b"), "scenes[1].id", "must be a name of letters"),
    (scene(id="one"), "scenes[1].id", 'scenes[0] has the id "one" too'),
    ({"scenes": {}}, "scenes", "must be a list"),
    ({"scenes": ["a red ball"]}, "scenes[0]", "group of `key: value`"),
    ({"aspect": "wide"}, "aspect", 'width:height such as "3:2"'),
    ({"fps": 0}, "fps", "1 or more"),
    ({"seed": "7"}, "seed", "whole number"),
    ({"schema": "storyboard/99"}, "schema", "a newer version"),
    ({"schema": 1}, "schema", "cannot be read here"),
    ([], "", "a storyboard is a group"),
    (None, "", "a storyboard is a group"),
    ({1: 2}, "[1]", "keys are words"),
]


@pytest.mark.parametrize("document, field, words", WRONG, ids=[f"{w[1]}: {w[2][:20]}" for w in WRONG])
def test_what_is_wrong_is_said_with_its_place(document: object, field: str, words: str) -> None:
    with pytest.raises(StoryboardError) as caught:
        read_document(document)
    problem = next((problem for problem in caught.value.problems if problem.field == field), None)
    assert problem is not None, f"nothing said about {field!r}: {caught.value}"
    assert words in problem.message


def test_all_problems_are_said_at_once_with_the_file() -> None:
    document = {"titel": "x", **scene(promt="a", seed=-1, id="one")}
    with pytest.raises(StoryboardError) as caught:
        read_document(document, "film.yaml")
    assert {p.field for p in caught.value.problems} == {"titel", "scenes[1].promt", "scenes[1].seed", "scenes[1].id"}
    assert str(caught.value).startswith("film.yaml: ")


def test_one_mistake_is_said_once() -> None:
    with pytest.raises(StoryboardError) as caught:
        read_document(scene(id="one"))
    assert [problem.field for problem in caught.value.problems] == ["scenes[1].id"]


def test_a_scene_without_words_is_a_document_all_the_same() -> None:
    assert read_document({"scenes": [{"prompt": ""}]}).scenes[0].prompt == ""


def test_too_many_scenes_are_refused() -> None:
    with pytest.raises(StoryboardError, match="at most 1000"):
        read_document({"scenes": [{"prompt": "a"}] * 1001})


def test_scenes_without_an_id_get_one_by_place_that_is_not_taken() -> None:
    storyboard = read_document({"scenes": [{"prompt": "a"}, {"id": "scene-3"}, {"prompt": "b"}, {"id": "intro"}]})
    assert [scene.id for scene in storyboard.scenes] == ["scene-1", "scene-3", "scene-4", "intro"]


def test_an_old_document_is_upgraded() -> None:
    old = {"schema": "storyboard/0", "style": "paper", "scenes": [{"id": "a", "text": "a ball", "seconds": 2.0}]}
    storyboard = read_document(old)
    assert (storyboard.look, storyboard.scenes[0].prompt, storyboard.scenes[0].duration_s) == ("paper", "a ball", 2.0)
    assert document_of(storyboard)["schema"] == SCHEMA
    assert old["scenes"] == [{"id": "a", "text": "a ball", "seconds": 2.0}]


def test_an_upgraded_document_is_checked_too() -> None:
    with pytest.raises(StoryboardError, match=r"scenes\[0\].duration_s: must be more than 0"):
        read_document({"schema": "storyboard/0", "scenes": [{"text": "a", "seconds": 0}]})


def test_a_document_is_read_as_it_was_written() -> None:
    whole = scene(seed=7, conditioning={"media": "a.png", "strength": 0.0}, overrides={"num_steps": 9})
    whole["scenes"][1] |= {"chunk_prompts": ["b", ""], "first_frame": {"prompt": "c", "seed": 1}}
    storyboard = read_document({**whole, "size_px": [1280, 704]})
    assert read_document(document_of(storyboard)) == storyboard
    assert (storyboard.size_px, storyboard.scenes[1].chunk_prompts) == ((1280, 704), ("b", ""))


def test_two_scenes_of_one_id_cannot_be_made_in_code_either() -> None:
    one = read_document(scene()).scenes[0]
    with pytest.raises(ValueError, match="give each its own"):
        Storyboard(scenes=(one, one))


def test_a_scene_is_found_by_its_id_or_its_likeness_is_named() -> None:
    storyboard = read_document(scene())
    assert storyboard.scene("two").prompt == "b"
    with pytest.raises(StoryboardError, match="did you mean two"):
        storyboard.scene("twoo")
