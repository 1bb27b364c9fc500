"""The refiner on the command line: a file refined, films of refined prompts, prompts written from the picture."""

import json
from pathlib import Path

import pytest
from PIL import Image

from engine.storage.workspace import Workspace
from studio.cli.flags import DONE, FAILED, WRONG
from studio.cli.main import main
from studio.document.formats.yaml_file import from_text, read_file
from tests.engine.in_process import EngineThread
from tests.fake_endpoint import FakeEndpoint, media_of

STORY = "model: diorama\nscenes:\n  - {id: a, prompt: a ship at sunset}\n  - {id: b, prompt: a red ball in a meadow}\n"
WORDY = "{base: diorama, vocabulary: [], built_in: ''}"
"""A card for any words, with the bundled weights."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return path


def refine(workspace: Workspace, *arguments: object) -> int:
    return main(["refine", "--workspace", str(workspace.root), *map(str, arguments)])


def test_a_file_is_refined_and_printed_or_written_back(
    workspace: Workspace, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refine(workspace, file, "--scene", "a") == DONE
    printed = capsys.readouterr()
    refined = from_text(printed.out).scenes
    assert refined[0].refinement and refined[0].refinement.accepted and refined[1].refinement is None
    assert "scene a: refined by built in" in printed.err and file.read_text() == STORY
    assert refine(workspace, file, "--in-place") == DONE
    assert [scene.refinement is not None for scene in read_file(file).scenes] == [True, True]
    assert refine(workspace, file, "--in-place", "--scene", "none") == WRONG
    assert refine(workspace, file, "--refiner", "off") == FAILED
    assert "switched off" in capsys.readouterr().err


def test_a_batch_without_prompts_is_written_from_its_pictures(
    workspace: Workspace, tmp_path: Path, fake_endpoint: FakeEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_endpoint.reset("A red square glows.")
    root = tmp_path / "models"
    (root / "cards").mkdir(parents=True)
    (root / "cards" / "wordy.yaml").write_text(WORDY)
    Image.new("RGB", (96, 64), "red").save(tmp_path / "red.png")
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"visual_input": "red.png"}\n{"visual_input": "gone.png"}\n{"prompt": "a boat"}\n')
    arguments = ["batch", batch, "--model", "wordy", "--preset", "draft", "--out", tmp_path / "out", "--json"]
    places = ["--workspace", workspace.root, "--models-root", root, "--refiner", fake_endpoint.url]
    with EngineThread(workspace, models_root=root) as engine:
        assert main(list(map(str, [*arguments, *places]))) == FAILED
        prompts = sorted(status.job.segments[0].prompt for status in engine.jobs())
        assert prompts == ["A red square glows.", "a boat"], "only the prompt that is missing is written"
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["notes"] for line in lines if line["event"] == "refined"] == [["Written from the picture."]]
        assert [line["number"] for line in lines if line.get("state") == "failed"] == [2]
        assert main(list(map(str, [*arguments, *places, "--refine"]))) == FAILED
        assert len(engine.jobs()) == 3, "the first entry's prompt is kept, the third's is refined now"
    assert [len(media_of(body)) for body in fake_endpoint.asked] == [1, 0]
