"""Finished takes in TensorBoard and Weights & Biases, by their real clients, read back from what they wrote."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from tensorboardX.proto.event_pb2 import Event
from wandb.proto.wandb_internal_pb2 import Record

from engine.storage.media import MediaStore
from engine.storage.workspace import Workspace
from studio.document.storyboard import Scene, Storyboard
from studio.errors import PresetError
from studio.studio import Studio
from studio.tracking.tracking import TrackingSettings, tracker_of
from tests.fakes import FakeEngine
from tests.studio.factories import Bench, benched

BLOCK, WHOLE, LAST = 32768, 1, 4
PROMPT = "a secret balloon nobody may read"
SCENE = Scene(id="a", prompt=PROMPT, duration_s=1)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path))


def track_one(root: Path, prompts: bool) -> Path:
    """Renders one take with both trackers. -> the folder that they wrote."""
    with benched(root) as bench:
        rendered_before(bench)
        bench.studio.close()
        settings = TrackingSettings(("tensorboard", "wandb=films"), prompts)
        bench.studio = Studio(bench.workspace, bench.engine, examples=False, tracking=settings)
        bench.heard()
        project = bench.studio.projects.create(Storyboard(title="Test", scenes=(SCENE,)))
        bench.rendered(project.id)
        bench.until(project.id, lambda board: bool(board.scenes[0].takes and board.scenes[0].takes[0].critique))
    return bench.workspace.root / "tracking"


def rendered_before(bench: Bench) -> None:
    """Takes that are there already are not recorded."""
    bench.rendered(bench.project(Scene(id="x", prompt="an old car", duration_s=1)).id)


def events_in(folder: Path) -> list[Event]:
    """Of TensorBoard's record files: length, checksum, event, checksum."""
    [path] = folder.glob("tensorboard/diorama/events.*")
    content, events = path.read_bytes(), list[Event]()
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return events


def records_in(folder: Path) -> Iterator[Record]:
    """Of wandb's file: LevelDB's log format behind a header of 7 bytes."""
    [path] = folder.glob("wandb/offline-run-*/run-*.wandb")
    content, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := BLOCK - place % BLOCK) < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (WHOLE, LAST):
            yield Record.FromString(parts)
            parts = b""


def logged(folder: Path) -> list[dict[str, str]]:
    rows = [record.history for record in records_in(folder) if record.WhichOneof("record_type") == "history"]
    return [{"/".join(item.nested_key) or item.key: item.value_json for item in row.item} for row in rows]


def test_takes_are_recorded_without_prompts(tmp_path: Path) -> None:
    folder = track_one(tmp_path, prompts=False)
    values = {value.tag: value for event in events_in(folder) for value in event.summary.value}
    assert values["seconds/render"].simple_value > 0 and 0 <= values["score"].simple_value <= 1
    assert values["film"].image.encoded_image_string.startswith(b"GIF89a")
    [row] = logged(folder)
    assert row["settings/model"] == '"diorama"' and float(row["seconds/render"]) > 0
    [film] = folder.glob("wandb/offline-run-*/files/media/videos/*.mp4")
    assert film.stat().st_size > 1000
    everything = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in everything if b"secret balloon" in path.read_bytes()]


def test_the_host_may_record_prompts(tmp_path: Path) -> None:
    folder = track_one(tmp_path, prompts=True)
    texts = [str(value.tensor.string_val) for event in events_in(folder) for value in event.summary.value]
    assert any(PROMPT in text for text in texts)
    assert [row["prompt"] for row in logged(folder)] == [f'"{PROMPT}"']


def test_nothing_is_tracked_unless_asked(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    engine = FakeEngine(workspace, media=MediaStore(workspace.media))
    Studio(workspace, engine, examples=False).close()
    engine.close()
    assert not (tmp_path / "tracking").exists() and wandb.run is None


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="no such tracker; known: tensorboard, wandb"):
        tracker_of("mlflow", tmp_path)
