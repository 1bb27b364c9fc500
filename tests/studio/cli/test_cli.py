"""The command line: what it says, its exit codes, and the whole way with a real engine process over a fake group."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from engine.client.client import EngineClient
from engine.storage.media import probe
from engine.storage.workspace import Workspace
from studio.cli.flags import DONE, FAILED, NO_ENGINE, STOPPED, WRONG
from studio.cli.main import main
from studio.film.film import read_film_metadata

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "assets" / "examples").glob("*.yaml"))
TWO = """
schema: storyboard/1
title: Two
preset: draft
scenes:
  - {id: a, prompt: "a red ball in a meadow", duration_s: 1}
  - {id: b, prompt: "PROMPT", duration_s: 1, transition: continue}
"""


def storyboard(folder: Path, prompt: str = "a blue ball in a meadow") -> Path:
    path = folder / "two.yaml"
    path.write_text(TWO.replace("PROMPT", prompt))
    return path


def run(workspace: Workspace, *arguments: object) -> int:
    command, *rest = map(str, arguments)
    return main([command, "--workspace", str(workspace.root), *rest])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_render_gives_a_film_and_rendering_again_renders_nothing(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = storyboard(tmp_path), tmp_path / "films" / "out.mp4"
    assert run(workspace, "render", path, "--out", out, "--json") == DONE
    said = lines(capsys.readouterr().out)
    assert said[-1]["event"] == "film" and said[-1]["path"] == str(out) and said[-1]["rendered"] == 2
    assert {line["state"] for line in said if line["event"] == "scene"} >= {"rendering", "fresh"}
    assert probe(out).num_frames == 16
    assert "title: Two" in read_film_metadata(out)["storyboard"]
    assert run(workspace, "render", path, "--out", out, "--json") == DONE
    again = lines(capsys.readouterr().out)
    assert [line["event"] for line in again] == ["film"] and again[0]["rendered"] == 0
    assert "nothing to render" in again[0]["text"]
    assert run(workspace, "render", path, "--out", out, "--scale", "4") == DONE
    assert probe(out).size_px == (384, 256)
    assert len(engine.jobs()) == 2


def test_a_changed_line_renders_that_scene_alone(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert run(workspace, "render", storyboard(tmp_path), "--out", out) == DONE
    assert run(workspace, "plan", storyboard(tmp_path, "a green ball")) == DONE
    assert "b  1 s, 8 frames  stale: prompt changed" in capsys.readouterr().out
    assert run(workspace, "render", storyboard(tmp_path, "a green ball"), "--out", out) == DONE
    assert "rendered 1 of 2 scenes" in capsys.readouterr().out
    assert len(engine.jobs()) == 3


def test_the_same_takes_serve_another_file(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, "render", storyboard(tmp_path), "--out", tmp_path / "one.mp4") == DONE
    (tmp_path / "copy").mkdir()
    capsys.readouterr()
    assert run(workspace, "plan", storyboard(tmp_path / "copy"), "--json") == DONE
    plan = json.loads(capsys.readouterr().out)
    assert [scene["state"] for scene in plan["scenes"]] == ["fresh", "fresh"]


def test_a_scene_that_fails_means_no_film_and_says_why(
    engine: EngineClient, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"older")
    assert run(workspace, "render", storyboard(tmp_path, "fail"), "--out", out) == FAILED
    said = capsys.readouterr()
    assert "scene 2 (b): " in said.out and "asked for a failure" in said.out
    assert "no film: 1 of 2 scenes failed" in said.err
    assert out.read_bytes() == b"older"
    assert run(workspace, "render", storyboard(tmp_path), "--out", out) == DONE


def test_a_rank_that_dies_mid_step_costs_no_film(engine: EngineClient, workspace: Workspace, tmp_path: Path) -> None:
    path = storyboard(tmp_path, "die at step 3 on attempt 1")
    assert run(workspace, "render", path, "--out", tmp_path / "out.mp4") == DONE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_and_leaves_the_old_film(
    number: signal.Signals, engine: EngineClient, workspace: Workspace, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"older")
    arguments = ["render", "--workspace", workspace.root, storyboard(tmp_path, "1 s per step"), "--out", out, "--json"]
    command = [sys.executable, "-m", "studio.cli", *map(str, arguments)]
    heeded = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children would ignore it
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        signal.signal(signal.SIGINT, heeded)
        assert running.stdout is not None
        for line in running.stdout:
            said = json.loads(line)
            if said.get("id") == "b" and said.get("state") == "rendering":
                break
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == STOPPED, errors
    assert "stopped" in errors and "Traceback" not in errors
    assert {status.state for status in engine.jobs()} == {"finished", "cancelled"}
    assert out.read_bytes() == b"older"


def test_no_engine_at_the_address(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe_socket.getsockname()[1]}"
    assert run(workspace, "render", storyboard(tmp_path), "--engine", address) == NO_ENGINE
    said = capsys.readouterr().err
    assert address in said and "Start one" in said and "Traceback" not in said


@pytest.mark.parametrize("command", ["render", "plan", "check"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scenes:\n  - {promt: a ball}\n", r"scenes[0].promt: unknown key, did you mean prompt?"),
        ("scenes:\n  - {prompt: a ball, duration_s: .nan}\n", "duration_s"),
        ("scenes:\n  - {prompt: a ball, conditioning: {media: gone.png}}\n", "gone.png: no such file"),
        ("[1, 2", "bad.yaml"),
    ],
)
def test_a_wrong_storyboard_is_said_with_its_field(
    command: str, text: str, words: str, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert run(workspace, command, path) == WRONG
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


@pytest.mark.parametrize("command", ["render", "plan", "check"])
def test_a_scene_without_a_prompt_is_said_before_anything_is_rendered(
    command: str, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, command, storyboard(tmp_path, " ")) == WRONG
    said = capsys.readouterr()
    assert (said.out + said.err).count("no prompt") == 1
    assert not workspace.engine_address.exists()


@pytest.mark.parametrize("command", ["render", "plan", "check"])
def test_a_file_that_is_not_there(command: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, command, "nowhere.yaml") == WRONG
    assert "nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "value"), [("--preset", "blanced"), ("--model", "diorma")])
def test_a_misspelt_preset_or_model(
    flag: str, value: str, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, "render", storyboard(tmp_path), flag, value) == WRONG
    assert "did you mean" in capsys.readouterr().err


def test_a_preset_on_the_command_line_counts(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: dict[str, int] = {}
    for preset in ("draft", "max"):
        assert run(workspace, "plan", storyboard(tmp_path), "--preset", preset, "--json") == DONE
        steps[preset] = json.loads(capsys.readouterr().out)["jobs"][0]["sampler"]["num_steps"]
    assert steps["draft"] < steps["max"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_right(path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "check", path) == DONE
    assert "right (" in capsys.readouterr().out


def test_models_and_presets_are_listed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "models") == DONE
    assert "diorama: Diorama" in capsys.readouterr().out
    assert run(workspace, "presets") == DONE
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["draft", "fast", "balanced", "quality", "max"]


@pytest.mark.parametrize("start", [lambda flags: main(["serve", *flags]), lambda flags: main(["engine", *flags])])
def test_a_port_in_use_is_said(start: Any, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert start(["--workspace", str(workspace.root), "--port", port]) == WRONG
    said = capsys.readouterr().err
    assert port in said and "hoose another" in said and "Traceback" not in said


def test_app_is_serve(workspace: Workspace) -> None:
    """``app.py`` holds no logic: its flags are those of ``storyboard serve``."""
    assert app.main is main
    done = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    flags = {word.rstrip(",") for word in done.stdout.split() if word.startswith("--")}
    assert flags >= {"--help", "--workspace", "--models-root", "--engine", "--host", "--port", "--ranks"}


def test_a_reader_that_leaves_early_is_no_fault(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "studio.cli", "models", "--workspace", str(workspace.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert "Traceback" not in running.stderr.read()
        assert running.wait(timeout=60) == FAILED


def test_a_workspace_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["models", "--workspace", str(tmp_path / "file")]) == WRONG
    assert "Choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["no-such"], ["render"], ["serve", "--port", "many"]])
def test_wrong_arguments_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == WRONG
    assert "usage: storyboard" in capsys.readouterr().err
