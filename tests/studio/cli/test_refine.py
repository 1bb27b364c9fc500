"""The refiner on the command line: a file refined, films of refined prompts, prompts written from the picture."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.storage.workspace import Workspace
from studio.cli.batch import BatchOptions, RunBatch
from studio.cli.engine_supervisor import EngineSession, EngineSource
from studio.cli.flags import DONE, FAILED, WRONG
from studio.cli.main import main
from studio.document.formats.reading import batch_in
from studio.document.formats.text_file import read_text
from studio.document.formats.yaml_file import from_text, read_file
from studio.planning.presets import load_cards
from studio.services.assistants.settings import AssistantSettings, RefinerSetting
from studio.studio import Studio
from tests.fake_endpoint import FakeEndpoint, media_of
from tests.fakes import FakeEngine

STORY = "model: diorama\nscenes:\n  - {id: a, prompt: a ship at sunset}\n  - {id: b, prompt: a red ball in a meadow}\n"
WORDY = load_cards()["diorama"].model_copy(update={"name": "wordy", "vocabulary": (), "built_in": ""})
"""A model for any words."""


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


class Source(EngineSource):
    """Where a session finds a fake engine."""

    engine: FakeEngine

    def connect(self) -> Any:
        object.__setattr__(self, "engine", FakeEngine(self.workspace, cards={"wordy": WORDY}))
        return self.engine

    running = connect


def batched(root: Path, file: Path, refiner: RefinerSetting) -> tuple[list[dict[str, Any]], list[str]]:
    """What is told of a batch file, and the prompts that are rendered."""
    workspace, told = Workspace.at(root / "workspace"), io.StringIO()
    studio = Studio(workspace, examples=False, assistants=AssistantSettings(refiner=refiner))
    source = Source(workspace)
    run = RunBatch(studio, file, True, EngineSession(studio, source), told)
    assert run.run(batch_in(read_text(file)), BatchOptions(root / "out", "wordy", "draft")) == FAILED
    studio.close()
    source.engine.close()
    prompts = [segment.prompt for job in source.engine.submitted for segment in job.segments]
    return [json.loads(line) for line in told.getvalue().splitlines()], sorted(prompts)


def test_a_batch_without_prompts_is_written_from_its_pictures(tmp_path: Path, fake_endpoint: FakeEndpoint) -> None:
    fake_endpoint.reset("A red square glows.")
    Image.new("RGB", (96, 64), "red").save(tmp_path / "red.png")
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"visual_input": "red.png"}\n{"visual_input": "gone.png"}\n{"prompt": "a boat"}\n')
    setting = RefinerSetting(use=fake_endpoint.url)
    lines, prompts = batched(tmp_path, batch, setting)
    assert prompts == ["A red square glows.", "a boat"], "only the prompt that is missing is written"
    assert [line["notes"] for line in lines if line["event"] == "refined"] == [["Written from the picture."]]
    assert [line["number"] for line in lines if line.get("state") == "failed"] == [2]
    _, prompts = batched(tmp_path, batch, setting.model_copy(update={"by_default": True}))
    assert prompts == ["A red square glows."], "the first entry's prompt and take are kept, the third is refined now"
    assert [len(media_of(body)) for body in fake_endpoint.asked] == [1, 0]
    _, prompts = batched(tmp_path, batch, setting.model_copy(update={"use": "off"}))
    assert prompts == [], "without a refiner the first entry cannot be made, and the third is there"
