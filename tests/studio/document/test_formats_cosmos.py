"""NVIDIA's batch files: what an entry becomes, what is said of a bad one, and how such a file is recognised."""

import json
from pathlib import Path

import pytest
from PIL import Image

from engine.storage.media import MediaStore
from studio.document.formats.cosmos_batch import MODELS, BadEntry, read_array, read_lines, scene_of
from studio.document.formats.plain_yaml import MAX_BYTES
from studio.document.formats.reading import format_of, read_batch, read_file, read_storyboards
from studio.document.storyboard import MAX_SCENES
from studio.errors import StoryboardError
from studio.library.importing import Importer

PROMPT = "A robot arm pours tea."


def written(folder: Path, content: object, name: str = "batch.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("entry", "media", "output", "model"),
    [
        ({"prompt": PROMPT, "output_image": "a/b.jpg"}, "", "a/b.jpg", MODELS["predict2", "picture"]),
        ({"prompt": PROMPT, "output_video": "tea.mp4"}, "", "tea.mp4", MODELS["predict2", "text"]),
        ({"prompt": PROMPT}, "", "output_0.mp4", MODELS["predict2", "text"]),
        (
            {"input_video": "in.png", "prompt": PROMPT, "output_video": "tea.mp4"},
            "in.png",
            "tea.mp4",
            MODELS["predict2", "frames"],
        ),
    ],
)
def test_predict2_entries(entry: dict[str, str], media: str, output: str, model: str) -> None:
    batch = read_array([entry])
    assert (batch.bad, batch.model) == ((), model)
    assert (batch.entries[0].prompt, batch.entries[0].media, batch.entries[0].output) == (PROMPT, media, output)


def test_predict1_lines_count_from_0_as_nvidias_do() -> None:
    batch = read_lines(f'{{"prompt": "{PROMPT}"}}\n{{"visual_input": "a b.mp4", "prompt": "Two."}}\n')
    assert [(entry.output, entry.media) for entry in batch.entries] == [("0.mp4", ""), ("1.mp4", "a b.mp4")]
    assert batch.model == MODELS["predict1", "frames"]
    assert read_lines(json.dumps({"prompt": PROMPT})).model == MODELS["predict1", "text"]


def test_an_entry_is_a_scene_joined_by_a_cut(tmp_path: Path) -> None:
    entries = [{"prompt": "One."}, {"input_video": "in.mp4", "prompt": "Two.", "output_video": "two.mp4"}]
    storyboard = read_file(written(tmp_path, entries))
    assert [scene.transition for scene in storyboard.scenes] == ["cut", "cut"]
    assert [scene.notes for scene in storyboard.scenes] == ["file: output_0.mp4", "file: two.mp4"]
    assert storyboard.scenes[1].conditioning is not None and storyboard.scenes[1].conditioning.media == "in.mp4"
    assert (storyboard.aspect, storyboard.title) == ("16:9", "Batch of 2 clips")
    assert storyboard.scenes[0].duration_s == 93 / 16


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "prompt: there is none"),
        ({"prompt": "  "}, "prompt: there is none"),
        ({"promt": PROMPT}, "promt: unknown field, did you mean prompt?"),
        ({"prompt": PROMPT, "seed": 3}, "seed: unknown field; known are input_video, output_image"),
        ({"prompt": 3}, "prompt: must be text in quotes, not 3"),
        ({"prompt": None}, "not nothing"),
        ({"prompt": PROMPT, "input_video": ""}, "input_video: is empty"),
        ({"prompt": PROMPT, "output_image": "a.jpg"}, "asks for a video"),
        ([PROMPT], "must be a group"),
        (PROMPT, "must be a group"),
        (None, "must be a group"),
    ],
)
def test_a_bad_entry_is_told_and_the_others_are_there(entry: object, words: str) -> None:
    batch = read_array([{"prompt": PROMPT, "output_video": "a.mp4"}, entry, {"prompt": "Three."}])
    assert [good.number for good in batch.entries] == [1, 3]
    assert batch.bad[0].number == 2 and words in batch.bad[0].reason


def test_a_picture_has_no_input() -> None:
    batch = read_array([{"prompt": PROMPT, "output_image": "a.jpg"}, {"prompt": PROMPT, "input_video": "a.png"}])
    assert batch.makes == "picture" and "a picture is made from its prompt alone" in batch.bad[0].reason
    board_entry = scene_of(batch.entries[0], 1 / 16)
    assert board_entry.notes == "file: a.jpg"


def test_a_broken_or_blank_line_is_a_bad_entry() -> None:
    batch = read_lines('{"prompt": "a"}\n\n{"prompt": }\n{"prompt": "a", "prompt": "b"}\n{"prompt": "d"}\n')
    assert [entry.number for entry in batch.entries] == [1, 5]
    assert [bad.number for bad in batch.bad] == [2, 3, 4]
    assert batch.bad[0] == BadEntry(2, "is a blank line; take it out")
    assert "line 3, column 12: not JSON" in batch.bad[1].reason and "there twice" in batch.bad[2].reason


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "", "is empty"),
        ("a.json", " \n", "is empty"),
        ("a.json", "[]", "holds no entries"),
        ("a.json", '[{"prompt": "a"},', "line 1, column 18: not JSON"),
        ("a.json", '[\n{"prompt": "a"}\n{"prompt": "b"}]', "line 3, column 1: not JSON"),
        ("a.json", '[{"promt": "a"}, {"prompt": "b"}]', "entry 1: promt: unknown field"),
        ("a.jsonl", '{"prompt": "a"}\n\n{"prompt": "b"}', "entry 2: is a blank line"),
        ("a.jsonl", '{"prompt"\n{"prompt": "b"}', "entry 1: line 1"),
        ("a.json", json.dumps([{"prompt": "a" * 8001}]), "entry 1: prompt: is too long"),
        ("a.json", '[{"prompt": "\\ud800"}]', "entry 1: prompt: has characters that no text file can hold"),
        ("a.json", json.dumps([{"prompt": "a", "input_video": "p" * 5000}]), "entry 1: media: is too long"),
        ("a.json", json.dumps([{"prompt": "a"}] * (MAX_SCENES + 1)), "at most 1000 in one file"),
        ("a.json", "[" * 5000, "nests too deep"),
        ("a.json", '[{"prompt": "' + "a" * MAX_BYTES + '"}]', "is larger than 2 MiB"),
    ],
)
def test_a_wrong_file_is_said_with_its_entry(name: str, text: str, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, text, name)
    with pytest.raises(StoryboardError) as caught:
        read_storyboards(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_not_utf8_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"prompt": "caf\xe9"}]')
    with pytest.raises(StoryboardError, match="is not UTF-8 text"):
        read_batch(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ('[{"prompt": "a"}]', "a.txt", "cosmos"),
        ('\n [\n {"prompt": "a"}]', "", "cosmos"),
        ('[{"promt": "a"}]', "", "cosmos"),
        ('{"prompt": "a"}\n{"prompt": "b"}', "a.txt", "cosmos"),
        ('{"prompt": "a"}', "", "cosmos"),
        ('{"promt": "a"\n', "a.jsonl", "cosmos"),
        ('[[{"text": "a"}]]', "", "ttt"),
        ("[ \n [", "", "ttt"),
        ('[{"text": "a"}]\n\n[{"text": "b"}]', "", "ttt"),
        ("[]\n[]", "a.jsonl", "ttt"),
        ('{"title": "a", "scenes": []}', "", "storyboard"),
        ('{"schema": "storyboard/1"}', "", "storyboard"),
        ("{\n}", "", "storyboard"),
        ("{scenes: [{prompt: a}]}", "", "storyboard"),
        ("scenes:\n- {prompt: a}", "a.json", "storyboard"),
        ("", "", "storyboard"),
    ],
)
def test_a_format_is_known_by_its_content(text: str, name: str, wanted: str) -> None:
    assert format_of(text, name) == wanted


def test_half_a_character_in_a_file_is_told_in_words_that_can_be_written(tmp_path: Path) -> None:
    path = written(tmp_path, r'[{"prom\ud800pt": "a"}, {"prompt": "b"}]')
    assert [entry.reason.encode() for entry in read_batch(path).bad] == [
        rb"prom\ud800pt: unknown field, did you mean prompt?"
    ]
    with pytest.raises(StoryboardError) as caught:
        read_storyboards(path)
    assert rb"entry 1: prom\ud800pt" in str(caught.value).encode()


def test_a_storyboard_is_no_batch(tmp_path: Path) -> None:
    with pytest.raises(StoryboardError, match="is no batch file"):
        read_batch(written(tmp_path, "scenes:\n- {prompt: a}", "a.yaml"))
    with pytest.raises(StoryboardError, match="no such file"):
        read_batch(tmp_path / "nowhere.json")


def test_a_sent_batch_brings_only_what_lies_beside_it(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    for place in (sent / "in.png", tmp_path / "secret.png"):
        Image.new("RGB", (16, 16), (1, 2, 3)).save(place)
    names = ("in.png", "../secret.png", str(tmp_path / "secret.png"), "gone.png")
    path = written(sent, [{"prompt": "a", "input_video": name} for name in names])
    store = MediaStore(tmp_path / "media")
    [(storyboard, stored)] = Importer(sent, store, sent=True).brought_all(path)
    assert [name for _, name in stored] == ["in.png"] and store.has(stored[0][0].sha256)
    brought = [scene.conditioning.media for scene in storyboard.scenes if scene.conditioning]
    assert brought == [stored[0][0].sha256, *names[1:]]


SAMPLE = {"name": "tea", "seed": 3, "prompt": PROMPT, "input_path": "in.mp4", "inference_type": "video2world"}
IN_FILE = {key: value for key, value in SAMPLE.items() if key != "prompt"} | {"prompt_path": "p.txt"}
BY_NAME = {"inference_type": "video2world", "seed": 3, "samples": {"tea": {"prompt": PROMPT, "input_path": "in.mp4"}}}
COSMOS_3 = {"name": "tea", "seed": 3, "prompt": PROMPT, "vision_path": "in.mp4", "model_mode": "video2video"}


@pytest.mark.parametrize(
    ("content", "name"),
    [(SAMPLE, "a.json"), ([IN_FILE], "a.json"), (BY_NAME, "a.json"), (json.dumps(COSMOS_3) + "\n", "a.jsonl")],
)
def test_samples_of_newer_models_are_entries(content: object, name: str, tmp_path: Path) -> None:
    """Of Cosmos-Predict2.5 (one, a list, by name, a prompt in a file) and Cosmos 3."""
    (tmp_path / "p.txt").write_text(PROMPT + "\n")
    batch = read_batch(written(tmp_path, content, name))
    (entry,) = batch.entries
    assert (batch.bad, entry.prompt, entry.media, entry.output) == ((), PROMPT, "in.mp4", "tea.mp4")
    assert (entry.settings.seed, entry.settings.num_input_frames) == (3, 5)
    assert scene_of(entry, 1.0).seed == 3


def test_what_a_sample_says_in_vain_is_told_and_what_nothing_makes_is_refused(tmp_path: Path) -> None:
    samples = [
        {"inference_type": "text2world", "prompt": PROMPT, "guidance": 3, "num_steps": 9, "resolution": "720"},
        {"model_mode": "policy", "prompt": PROMPT},
        {"inference_type": "text2world", "prompt_path": "gone.txt"},
        {"model_mode": "text2video", "prompt": {"subjects": ["a robot"]}, "negative_prompt": ""},
    ]
    batch = read_batch(written(tmp_path, samples))
    assert batch.entries[0].notes == ("not used, since Cosmos-Predict2 makes it: resolution",)
    assert (batch.entries[0].settings.guidance_scale, batch.entries[0].settings.num_steps) == (4, 9)
    assert [bad.number for bad in batch.bad] == [2, 3] and "gone.txt" in batch.bad[1].reason
    assert batch.entries[1].prompt == '{"subjects": ["a robot"]}' and batch.entries[1].settings.negative_prompt == ""
