"""``storyboard critique``: files, folders, bad files, the report."""

import json
from pathlib import Path

import pytest

from engine.contract.assistants import Critique, Trial
from engine.storage.video import VideoWriter
from engine.storage.workspace import Workspace
from studio.cli.critique_report import Judged, page, scored_names, write_report
from studio.cli.main import main
from tools.diorama import world

HOSTILE = "<script>alert('x')</script>"


def write_clip(path: Path) -> Path:
    with VideoWriter(path, (96, 64), 8) as writer:
        writer.start()
        writer.write(world.render(world.Combination("ball", "red", "right", "snow"), 1).frames)
        writer.complete()
    return path


def test_a_folder_is_scored_bad_files_are_named_and_the_report_holds_all(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    good = write_clip(clips / "<b>ball.mp4")
    good.with_suffix(".txt").write_text(f"a red ball rolls to the right in the snow {HOSTILE}")
    (clips / "text.mp4").write_text("not a clip")
    (clips / "empty.webm").touch()
    report = tmp_path / "report"
    flags = ["--workspace", str(workspace.root), "--json", "--report", str(report)]
    assert main(["critique", str(clips), str(tmp_path / "absent.mp4"), *flags]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["critique", "error", "error", "error"]
    assert lines[0]["score"] > 0.9 and lines[0]["source"] == "built in"
    problems = [line["problem"] for line in lines[1:]]
    assert ["neither a picture" in problems[0], "neither" in problems[1], "no such file" in problems[2]] == [True] * 3
    score = int(100 * lines[0]["score"])
    assert {path.name for path in report.iterdir()} == {
        "index.html",
        *(f"<b>ball_score{score:03d}{suffix}" for suffix in (".mp4", ".json", ".html")),
    }
    index = (report / "index.html").read_text()
    assert "<script" not in index and "<b>" not in index and "data:video/mp4;base64," in index


def test_nothing_to_score_is_said(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--workspace", str(workspace.root)]
    (tmp_path / "none").mkdir()
    assert main(["critique", str(tmp_path / "none"), *place]) == 2
    assert "no clip is in this folder" in capsys.readouterr().err
    assert main(["critique", "x.mp4", "--critic", "off", *place]) == 2
    assert "the critic is off" in capsys.readouterr().err
    assert main(["critique", "x.mp4", "--trials", "0", *place]) == 2
    assert "--trials 0" in capsys.readouterr().err


def test_every_trial_is_in_the_report_as_text(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    trials = (Trial(passed=True, text="fine"), Trial(passed=None, text=HOSTILE))
    judged = [Judged(clip, HOSTILE, Critique(score=0.5, source=HOSTILE, reasons=(HOSTILE,), trials=trials))]
    text = write_report(tmp_path / "report", [*judged, *judged]).read_text()
    assert text.count("Trial 1: no anomalies") == 2 and text.count("Trial 2: not readable") == 2
    assert "<script" not in text and "&lt;script&gt;" in text
    assert scored_names([*judged, *judged]) == ["a_score050", "a-2_score050"]
    assert "<i>" not in page("<i>", [])
