"""``storyboard models`` from the command line: what is listed, what is brought, and what is said when it cannot be."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract.card_values import Part
from engine.storage.workspace import Workspace
from studio.cli.flags import DONE, FAILED, WRONG
from studio.cli.main import main
from studio.planning.presets import load_cards
from tests.engine.models.dfm.factories import tiny_state, write_ranks
from tests.studio.downloads.fake_hub import FakeHub, running

NAME = "cosmos-predict2-2b-text2image"
CARD = load_cards()[NAME]
PARTS = CARD.parts.all()


def files_like(part: Part) -> dict[str, bytes]:
    return {name.replace("*", "model"): b"weights" * 300 for name in part.fetch or part.paths[:1]}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    repositories: dict[str, dict[str, bytes]] = {}
    for part in PARTS.values():
        repositories.setdefault(part.repository, {}).update(files_like(part))
    commits = tuple(part.revision.ljust(40, "0") for part in PARTS.values())
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running(FakeHub(repositories, commits=commits)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def run(workspace: Workspace, *arguments: object) -> int:
    root = str(workspace.root.parent / "models")
    return main(["models", "--workspace", str(workspace.root), "--models-root", root, *map(str, arguments)])


def listed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> dict[str, bool]:
    assert run(workspace, "list", NAME, "--json") == DONE
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {part["name"]: part["here"] for part in said["parts"]}


def test_a_model_is_brought_part_by_part(
    hub: FakeHub, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(workspace, capsys) == dict.fromkeys(PARTS, False)
    assert run(workspace, "get", NAME, "--part", "autoencoder", "--accept-licence") == DONE
    said = capsys.readouterr().out
    assert PARTS["autoencoder"].licence in said and f"https://huggingface.co/{PARTS['autoencoder'].repository}" in said
    assert listed(workspace, capsys) == {name: name == "autoencoder" for name in PARTS}
    assert run(workspace, "get", NAME, "--accept-licence") == DONE
    assert listed(workspace, capsys) == dict.fromkeys(PARTS, True)
    asked = len(hub.asked)
    assert run(workspace, "get", NAME) == DONE
    assert "everything is here" in capsys.readouterr().out and len(hub.asked) == asked


def test_nothing_is_brought_before_the_licence_is_accepted(
    hub: FakeHub, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, "get", NAME) == FAILED
    said = capsys.readouterr()
    assert CARD.licence in said.out and "--accept-licence" in said.err
    assert not hub.asked


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", DONE), (b"no\n", FAILED), (b"\x04", FAILED)])
def test_a_person_at_a_terminal_is_asked(typed: bytes, code: int, hub: FakeHub, workspace: Workspace) -> None:
    terminal, keyboard = os.openpty()
    os.write(terminal, typed)
    words = ["models", "get", NAME, "--part", "network", "--workspace", str(workspace.root)]
    command = [sys.executable, "-m", "studio.cli", *words, "--models-root", str(workspace.root.parent / "models")]
    done = subprocess.run(command, stdin=keyboard, capture_output=True, text=True, timeout=120)
    os.close(terminal)
    os.close(keyboard)
    assert done.returncode == code, done.stderr
    assert bool(hub.asked) == (code == DONE)
    assert ("nothing is brought" in done.stderr) == (code == FAILED)


def test_a_gated_model_without_a_token(hub: FakeHub, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    hub.gated = {PARTS["network"].repository}
    assert run(workspace, "get", NAME, "--part", "network", "--accept-licence") == FAILED
    said = capsys.readouterr().err
    assert f"https://huggingface.co/{PARTS['network'].repository} is gated" in said and "HF_TOKEN" in said
    assert "Traceback" not in said


def test_a_hub_that_cannot_be_reached(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert run(workspace, "get", NAME, "--accept-licence") == FAILED
    said = capsys.readouterr().err
    assert "cannot be reached" in said and PARTS["network"].paths[0] in said and PARTS["network"].folder in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get", "cosmos-predict2-2b-text2imag"], f"did you mean {NAME}?"),
        (["list", "nothing"], 'there is no model "nothing"'),
        (["get", NAME, "--part", "netwrk"], "did you mean network?"),
    ],
)
def test_names_that_are_not_there(
    arguments: list[str], words: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace, *arguments) == WRONG
    assert words in capsys.readouterr().err


def test_every_model_is_listed_with_what_is_missing(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "list") == DONE
    said = capsys.readouterr().out
    assert all(f"{card.name}: {card.title}" in said for card in load_cards().values())
    assert f"storyboard models get {NAME}" in said and "needs" in said


def test_the_flags_of_models_hold_for_what_is_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(tmp_path / "models")
    assert main(["models", "--models-root", root, "list", NAME]) == DONE
    before = capsys.readouterr().out
    assert main(["models", "list", "--models-root", root, NAME]) == DONE
    assert capsys.readouterr().out == before and root in before
    monkeypatch.setenv("STORYBOARD_MODELS_ROOT", root)
    assert main(["models", "list", NAME]) == DONE
    assert capsys.readouterr().out == before


def test_parts_of_a_checkpoint_are_joined(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_ranks(tmp_path / "ranks", tiny_state(), num_slices=2, num_stages=1)
    out = tmp_path / "out.safetensors"
    assert main(["models", "consolidate", str(tmp_path / "ranks"), "--out", str(out)]) == DONE
    assert out.is_file() and "joined from 2 parts" in capfd.readouterr().out


def test_consolidate_says_what_it_cannot_join(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.safetensors"
    assert main(["models", "consolidate", str(tmp_path / "nothing"), "--out", str(out)]) == FAILED
    assert "nothing" in capfd.readouterr().err and not out.exists()


def test_assistants_are_listed_behind_the_models(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "list", "qwen3guard-gen-0.6b", NAME) == DONE
    models, _, assistants = capsys.readouterr().out.partition("\nAssistants: refiners, guards and critics\n")
    assert models.startswith(f"{NAME}: ") and assistants.startswith("qwen3guard-gen-0.6b: ")
    assert "1.5 GB" in assistants and "storyboard models get qwen3guard-gen-0.6b" in assistants
