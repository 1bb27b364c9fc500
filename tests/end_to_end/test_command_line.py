"""The same ways from the command line: files of storyboards, and batch files as they are."""

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.storage.media import probe
from studio.cli.main import main
from tests.end_to_end.conftest import Rig

pytestmark = pytest.mark.parametrize("rig", [1], indirect=True, ids=["1 rank"])
"""How many ranks render is nothing that a command knows; ``test_model_features`` has two."""

STORYBOARD = """
model: {model}
preset: draft
aspect: "3:2"
scenes:
  - prompt: a red ball
    duration_s: 1
{more}
"""
RE_IMAGINED = """
    conditioning: {media: walk.mp4, strength: 0.8, first_frame_strength: 0.4}
"""
CONTINUED = """
    conditioning: {media: walk.mp4, num_frames: 5}
  - prompt: a blue boat
    duration_s: 3
    transition: continue
    chunk_prompts: [a blue boat turns, a blue boat rests]
"""
WORDS_ALONE = """
    first_frame: {prompt: a red ball at dawn, seed: 3}
"""
TWO_SCENES = """
  - prompt: a blue boat
    duration_s: 1
"""


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def storyboard(rig: Rig, *words: str | Path) -> Done:
    """A command in this process; ``tests/studio/cli`` has processes, signals and pipes."""
    places = ["--workspace", rig.workspace.root, "--models-root", rig.models]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as errors:
        code = main(list(map(str, [*words, *places])))
    return Done(code, out.getvalue(), errors.getvalue())


@pytest.fixture
def folder(rig: Rig, tmp_path: Path) -> Path:
    for path in (rig.picture, rig.clip):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "more", "num_frames"),
    [
        ("video2world", WORDS_ALONE, 8),
        ("video2world", RE_IMAGINED, 8),
        ("video2world", CONTINUED, 32),
        ("predict1", CONTINUED.replace("5", "9"), 32),
        ("worlds", "", 8),
        ("dfm", TWO_SCENES, 16),
        ("ttt", TWO_SCENES, 17),
    ],
    ids=["first frame", "re-imagined", "continued", "predict1", "text alone", "dfm", "jointly"],
)
def test_render(rig: Rig, folder: Path, model: str, more: str, num_frames: int) -> None:
    (folder / "film.yaml").write_text(STORYBOARD.format(model=model, more=more))
    done = storyboard(rig, "render", folder / "film.yaml", "--out", folder / "film.mp4")
    assert done.returncode == 0, done.stderr + done.stdout
    assert probe(folder / "film.mp4").num_frames == num_frames


V2W = [
    {"input_video": "harbour.png", "prompt": "a red ball", "output_video": "first.mp4"},
    {"input_video": "nowhere.png", "prompt": "a boat", "output_video": "lost.mp4"},
    {"input_video": "walk.mp4", "prompt": "a blue boat", "output_video": "deep/second.mp4"},
]
T2W = [{"prompt": "a red ball", "output_video": "ball.mp4"}, {"prompt": "a boat"}]
T2I = [{"prompt": "a red ball", "output_image": "ball.jpg"}]
LINES = [{"visual_input": "harbour.png", "prompt": "a red ball"}, {"visual_input": "walk.mp4", "prompt": "a boat"}]
SEGMENTS = [
    {"text": "a red ball", "requires_scene_transition": False, "neg_text": None},
    {"text": "a blue boat", "requires_scene_transition": True, "neg_text": "blurry"},
]


@pytest.mark.parametrize(
    ("model", "name", "content", "made", "code"),
    [
        ("video2world", "batch.json", json.dumps(V2W), ["first.mp4", "deep/second.mp4"], 1),
        ("video2world", "batch.json", json.dumps(T2W), ["ball.mp4", "output_1.mp4"], 0),
        ("pictures", "batch.json", json.dumps(T2I), ["ball.jpg"], 0),
        ("predict1", "batch.jsonl", "\n".join(map(json.dumps, LINES)), ["0.mp4", "1.mp4"], 0),
        ("worlds", "batch.jsonl", json.dumps({"prompt": "a red ball"}), ["0.mp4"], 0),
    ],
    ids=["video2world", "text2world", "text2image", "predict1 video2world", "predict1 text2world"],
)
def test_batch(rig: Rig, folder: Path, model: str, name: str, content: str, made: list[str], code: int) -> None:
    """A bad entry is reported; the others are made, under the names that they give."""
    (folder / name).write_text(content)
    out = folder / "out"
    wishes = ["--model", model, "--preset", "draft", "--aspect", "3:2", "--guidance", "2", "--nvidia-guidance"]
    done = storyboard(rig, "batch", folder / name, "--out", out, *wishes)
    assert done.returncode == code, done.stderr + done.stdout
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert [path for path in found if path.endswith((".mp4", ".jpg"))] == sorted(made), found
    assert ("nowhere.png" in done.stderr + done.stdout) == (code == 1)


def test_batch_of_videos_denoised_jointly(rig: Rig, folder: Path) -> None:
    (folder / "films.json").write_text(json.dumps([SEGMENTS, SEGMENTS[:1]]))
    out = folder / "out"
    done = storyboard(rig, "batch", folder / "films.json", "--model", "ttt", "--preset", "draft", "--out", out)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(list(out.rglob("*.mp4"))) == 2


def test_models_list_tells_what_is_there(rig: Rig) -> None:
    done = storyboard(rig, "models", "list")
    assert done.returncode == 0, done.stderr
    for name in ("video2world", "worlds", "ttt", "dfm", "diorama", "cosmos-predict2-2b-video2world-720p-16fps"):
        assert name in done.stdout
