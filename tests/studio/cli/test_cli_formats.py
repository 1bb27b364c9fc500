"""``storyboard import`` and ``export``: files of other tools taken into the workspace, and written again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.storage.workspace import Workspace
from studio.cli.flags import DONE, WRONG
from studio.cli.main import main
from studio.document.formats.reading import read_file
from studio.library.database import Database
from studio.library.projects import Library

ROOT = Path(__file__).parents[3]
VIDEOS = [
    [
        {"text": "Tom sleeps.", "requires_scene_transition": False, "neg_text": "blurry"},
        {"text": "Jerry runs.", "requires_scene_transition": True, "neg_text": None},
    ],
    [{"text": "One.", "requires_scene_transition": False, "neg_text": None}],
]
YAML = "schema: storyboard/1\ntitle: Two\nscenes:\n  - {id: a, prompt: a ball, duration_s: 6}\n  - {prompt: a boat}\n"


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def titles(workspace: Workspace) -> list[str]:
    database = Database.file(workspace.studio_database)
    try:
        return sorted(project.title for project in Library(database).projects())
    finally:
        database.close()


def test_each_video_of_a_file_becomes_a_project_once(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "prompts.json", VIDEOS)
    for _ in range(2):
        assert main(["import", "--workspace", str(workspace.root), str(path)]) == DONE
        assert "Video 1 of 2 (2 scenes)" in capsys.readouterr().out
        assert titles(workspace) == ["Video 1 of 2", "Video 2 of 2"]


def test_a_batch_file_and_a_storyboard_are_taken_in_too(workspace: Workspace, tmp_path: Path) -> None:
    for path in (written(tmp_path, "batch.json", [{"prompt": "a"}]), written(tmp_path, "two.yaml", YAML)):
        assert main(["import", "--workspace", str(workspace.root), str(path)]) == DONE
    assert titles(workspace) == ["Batch of 1 clip", "Two"]


def test_a_wrong_file_is_not_taken_in(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "prompts.jsonl", '[{"text": "a"}]\n\n[{"text": "b"}]\n')
    assert main(["import", "--workspace", str(workspace.root), str(path)]) == WRONG
    assert "line 2: is blank" in capsys.readouterr().err
    assert titles(workspace) == []


@pytest.mark.parametrize(("name", "form"), [("a.json", "json"), ("a.jsonl", "jsonl")])
def test_prompt_files_come_out_as_they_went_in(name: str, form: str, tmp_path: Path) -> None:
    text = json.dumps(VIDEOS) if form == "json" else "".join(json.dumps(video) + "\n" for video in VIDEOS)
    out = tmp_path / "out" / name
    out.parent.mkdir()
    assert main(["export", str(written(tmp_path, name, text)), "--format", "ttt", "--out", str(out)]) == DONE
    lines = out.read_text().splitlines()
    assert (json.loads(out.read_text()) if form == "json" else [json.loads(line) for line in lines]) == VIDEOS


def test_a_storyboard_is_written_as_prompts_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(written(tmp_path, "two.yaml", YAML)), "--format", "ttt"]) == DONE
    path = written(tmp_path, "prompts.json", capsys.readouterr().out)
    assert [scene.prompt for scene in read_file(path).scenes] == ["a ball", "a ball", "a boat"]
    assert main(["export", str(path)]) == DONE
    assert "schema: storyboard/1" in capsys.readouterr().out


def test_what_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "prompts.json", VIDEOS)
    assert main(["export", str(path)]) == WRONG
    assert "prompts.json: holds 2 storyboards" in capsys.readouterr().err
    out = tmp_path / "nowhere" / "a.json"
    assert main(["export", str(path), "--format", "ttt", "--out", str(out)]) == WRONG
    assert "cannot be written" in capsys.readouterr().err


def test_a_storyboard_without_scenes_has_nothing_to_render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("schema: storyboard/1\ntitle: Empty\nscenes: []\n")
    assert main(["check", "--workspace", str(tmp_path / "w"), str(path)]) == WRONG
    assert "nothing to render: the storyboard has no scenes" in capsys.readouterr().out


def test_two_processes_may_bring_one_file_into_a_new_workspace_at_once(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("schema: storyboard/1\ntitle: One\nscenes: [{id: a, prompt: a red ball, duration_s: 1}]\n")
    command = [sys.executable, "-m", "studio.cli", "import", "--workspace", str(tmp_path / "w"), str(path)]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    ends = [(process.communicate(timeout=120)[0].decode(), process.returncode) for process in running]
    assert [code for _, code in ends] == [DONE] * 2, ends
    assert len({text for text, _ in ends}) == 1, "all have the same project"
