"""Batch files run as they are: with a real engine process over a fake group, through the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from engine.client.client import EngineClient
from engine.storage.media import probe, read_frames
from engine.storage.workspace import Workspace
from studio.cli.batch import found_beside
from studio.cli.flags import DONE, FAILED, WRONG
from studio.cli.main import main
from studio.cli.scenes.flags import guidance_of
from studio.cli.scenes.outputs import last_frame, target_of, write_picture
from studio.document.formats.cosmos_batch import MODELS
from studio.document.formats.ttt_prompts import MODEL
from studio.errors import FilmError, StoryboardError
from studio.planning.presets import load_cards
from tests.take_files import write_clip

CARD = load_cards()["diorama"]


def written(folder: Path, entries: object, name: str = "batch.json") -> Path:
    path = folder / name
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def run(workspace: Workspace, path: Path, *arguments: object) -> int:
    places = ["--workspace", str(workspace.root), "--model", "diorama", "--preset", "draft"]
    return main(["batch", *places, str(path), *map(str, arguments)])


def told(text: str) -> dict[int, dict[str, Any]]:
    """What was said of each entry, by its number."""
    lines = [json.loads(line) for line in text.splitlines()]
    return {line["number"]: line for line in lines if line["event"] == "entry"}


def test_entries_become_files_and_bad_ones_are_told(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (96, 64), (200, 30, 30)).save(tmp_path / "red.png")
    entries = [
        {"input_video": "red.png", "prompt": "a red ball in a meadow", "output_video": "deep/red.mp4"},
        {"promt": "a blue ball"},
        {"prompt": "a green ball"},
        {"input_video": "gone.png", "prompt": "a boat", "output_video": "gone.mp4"},
        {"prompt": "fail", "output_video": "fails.mp4"},
        {"prompt": "a fish", "output_video": "../fish.mp4"},
    ]
    out = tmp_path / "out"
    assert run(workspace, written(tmp_path, entries), "--out", out, "--json") == FAILED
    said = told(capsys.readouterr().out)
    assert {number: line["state"] for number, line in said.items()} == {
        **{1: "made", 2: "failed", 3: "made", 4: "failed", 5: "failed", 6: "failed"}
    }
    assert "did you mean prompt?" in said[2]["reason"] and "gone.png: no such file" in said[4]["reason"]
    assert "asked for a failure" in said[5]["reason"] and "inside the output folder" in said[6]["reason"]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == ["deep/red.mp4", "output_2.mp4"]
    assert {probe(out / name).num_frames for name in files} == {CARD.chunk_num_frames}
    assert not (tmp_path / "fish.mp4").exists()


def test_a_batch_run_again_renders_nothing_and_gives_the_same_files(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, '{"prompt": "a red ball"}\n{"prompt": "a blue ball"}\n', "batch.jsonl")
    assert run(workspace, path, "--out", tmp_path / "one", "--seed", 7) == DONE
    assert "2 of 2 made" in capsys.readouterr().out
    assert {status.job.seed for status in engine.jobs()} == {7} and len(engine.jobs()) == 2
    assert run(workspace, path, "--out", tmp_path / "two", "--seed", 7) == DONE
    assert len(engine.jobs()) == 2
    for name in ("0.mp4", "1.mp4"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nvidias_guidance_is_converted_and_said(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, [{"prompt": "a red ball"}])
    assert run(workspace, path, "--out", tmp_path, "--guidance", 4, "--nvidia-guidance") == DONE
    assert "NVIDIA's guidance 4 is 5 in the usual convention" in capsys.readouterr().err
    assert [status.job.guidance_scale for status in engine.jobs()] == [5.0]


@pytest.mark.parametrize(
    ("given", "nvidias", "scale"), [(None, True, None), (7.0, True, 8.0), (0.0, True, 1.0), (7.0, False, 7.0)]
)
def test_guidance_in_the_usual_convention(given: float | None, nvidias: bool, scale: float | None) -> None:
    assert guidance_of(given, nvidias) == scale


@pytest.mark.parametrize("given", [-0.5, 101.0, float("nan"), float("inf")])
def test_guidance_that_makes_no_sense_is_said(given: float) -> None:
    with pytest.raises(StoryboardError, match="--guidance"):
        guidance_of(given, False)


def test_a_clip_with_too_few_frames_is_told(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "short.mp4", 3, (96, 64), 8, (9, 90, 9))
    write_clip(tmp_path / "long.mp4", 9, (96, 64), 8, (9, 90, 9))
    entries = [{"visual_input": f"{name}.mp4", "prompt": "a red ball"} for name in ("short", "long")]
    path = written(tmp_path, "\n".join(json.dumps(entry) for entry in entries), "batch.jsonl")
    assert run(workspace, path, "--out", tmp_path / "out", "--num-input-frames", 5, "--json") == FAILED
    said = told(capsys.readouterr().out)
    assert "the clip has 3" in said[1]["reason"] and said[2]["state"] == "made"
    assert run(workspace, path, "--out", tmp_path / "out", "--num-input-frames", 3) == DONE
    assert "note: entry 2: Diorama starts from 1, 5 frames; 3 were asked for, 1 are used" in capsys.readouterr().out
    frames = [status.job.conditioning.num_frames for status in engine.jobs() if status.job.conditioning]
    assert sorted(frames) == [1, 1, 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("[]", "holds no entries"),
        ('[{"prompt": "a"}', "line 1, column 17: not JSON"),
        ("scenes: []", "is no batch file"),
        ('[[{"text": "a"}], []]', "video 2: has no segments"),
    ],
)
def test_a_file_that_is_no_batch_is_said(
    text: str, words: str, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, written(tmp_path, text)) == WRONG
    said = capsys.readouterr().err
    assert words in said and "batch.json" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "diorma"], "did you mean diorama"),
        (["--preset", "drfat"], "did you mean draft"),
        (["--aspect", "wide"], "aspect"),
        (["--seed", "-1"], "--seed: must be from 0"),
        (["--num-input-frames", "0"], "--num-input-frames: must be from 1"),
        (["--guidance", "1000"], "--guidance"),
        (["--reimagine", "a.mp4", "--strength", "1.5"], "--strength: must be from 0 to 1, not 1.5"),
        (["--reimagine", "a.mp4", "--first-frame-strength", "nan"], "--first-frame-strength: must be from 0 to 1"),
    ],
)
def test_what_is_wrong_with_every_entry_is_said_once(
    arguments: list[str], words: str, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, [{"prompt": "a"}, {"prompt": "b"}])
    assert run(workspace, path, *arguments) == WRONG
    said = capsys.readouterr()
    assert words in said.err and "entry" not in said.out and "Traceback" not in said.err
    assert not workspace.engine_address.exists()


def test_entries_that_are_all_bad_need_no_engine(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, written(tmp_path, [{"prompt": ""}, {"prompt": "a", "output_video": "/a.mp4"}])) == FAILED
    assert "0 of 2 made; 2 could not be" in capsys.readouterr().out
    assert not workspace.engine_address.exists()


def test_a_film_for_each_video_of_a_prompt_file(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = [
        [{"text": "a red ball", "neg_text": "snow"}, {"text": "a blue ball", "requires_scene_transition": True}],
        [{"text": "fail"}],
        [{"text": "a boat"}],
    ]
    path = written(tmp_path, "".join(json.dumps(video) + "\n" for video in videos), "prompts.jsonl")
    assert run(workspace, path, "--out", tmp_path / "out", "--guidance", 2) == FAILED
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["prompt-0.mp4", "prompt-2.mp4"]
    assert probe(tmp_path / "out" / "prompt-0.mp4").num_frames == 2 * 3 * CARD.fps
    assert "asked for a failure" in capsys.readouterr().out
    assert {status.job.guidance_scale for status in engine.jobs()} == {2.0}
    negatives = {segment.negative_prompt for status in engine.jobs() for segment in status.job.segments}
    assert negatives == {"snow", ""}


def test_a_video_that_cannot_be_made_leaves_the_others(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, [[{"text": " "}], [{"text": "a boat"}]], "prompts.json")
    assert run(workspace, path, "--out", tmp_path / "out", "--seed", 3) == FAILED
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["prompt-1.mp4"]
    assert "video 1: scene 1 (scene-1): has no prompt" in capsys.readouterr().err


def test_a_clip_to_reimagine_that_is_not_there(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, [{"prompt": "a red ball"}])
    assert run(workspace, path, "--out", tmp_path, "--reimagine", tmp_path / "gone.mp4") == FAILED
    assert "gone.mp4: no such file" in capsys.readouterr().out


def test_the_models_of_these_formats_have_cards() -> None:
    assert {*MODELS.values(), MODEL} <= set(load_cards())


@pytest.mark.parametrize(
    ("name", "picture", "wanted"),
    [
        ("a.mp4", False, "a.mp4"),
        ("a/b/c.MP4", False, "a/b/c.mp4"),
        ("a", False, "a.mp4"),
        ("a\\b.mp4", False, "a/b.mp4"),
        ("./a.mp4", False, "a.mp4"),
        ("a.b.mp4", False, "a.b.mp4"),
        ("a.jpg", True, "a.jpg"),
        ("a.PNG", True, "a.png"),
        ("a", True, "a.jpg"),
    ],
)
def test_names_stay_inside(name: str, picture: bool, wanted: str, tmp_path: Path) -> None:
    assert target_of(name, picture, tmp_path) == tmp_path / wanted


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("/a.mp4", False),
        ("../a.mp4", False),
        ("a/../../b.mp4", False),
        ("..\\a.mp4", False),
        ("C:\\a.mp4", False),
        ("a\0.mp4", False),
        (".", False),
        ("..", True),
        ("a.avi", False),
        ("a.jpg", False),
        ("a.mp4", True),
        ("link/a.mp4", False),
    ],
)
def test_names_that_lead_outside_or_mean_another_kind(name: str, picture: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="name"):
        target_of(name, picture, out)


def test_two_entries_with_one_name(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [{"prompt": "a red ball", "output_video": "a.mp4"}, {"prompt": "a blue ball", "output_video": "./a.mp4"}]
    assert run(workspace, written(tmp_path, entries), "--out", tmp_path / "out", "--json") == FAILED
    assert "an entry before it has this name" in told(capsys.readouterr().out)[2]["reason"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_picture_is_written_from_what_is_kept_without_loss(suffix: str, tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    save_file({"frames": frame}, tmp_path / "tail.safetensors")
    write_clip(tmp_path / "take.mp4", 1, (96, 64), 8, (200, 10, 10))
    target = tmp_path / "deep" / f"a{suffix}"
    write_picture(last_frame(tmp_path / "take.mp4", tmp_path), target)
    read = read_frames(target, 1)
    assert read.shape == (1, 64, 96, 3)
    if suffix == ".png":
        assert np.array_equal(read, frame)
    assert last_frame(tmp_path / "take.mp4", tmp_path / "elsewhere").size == (96, 64)


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FilmError, match="Choose another place with --out"):
        write_picture(Image.new("RGB", (8, 8)), tmp_path / "file" / "a.png")


def test_inputs_are_looked_for_beside_the_file_and_where_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "here.png").write_bytes(b"x")
    (folder / "beside.png").write_bytes(b"x")
    assert found_beside("beside.png", folder) == "beside.png"
    assert found_beside("here.png", folder) == str(tmp_path / "here.png")
    assert found_beside("nowhere.png", folder) == "nowhere.png"
