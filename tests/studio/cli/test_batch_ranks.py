"""Batch files of Cosmos, DFM and TTT-Video through service and real ranks, on tiny files of the original formats."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.client.client import EngineClient
from engine.contract.events import Finished, Stage
from engine.contract.jobs import FromMedia, FromModel
from engine.storage.media import probe, read_frames
from engine.storage.workspace import Workspace
from studio.cli.flags import DONE
from studio.cli.main import main
from tests.engine.in_process import EngineThread
from tests.engine.models.cosmos.factories import make_predict1, make_predict2, write_card
from tests.engine.models.dfm.factories import make_dfm
from tests.engine.models.dfm.factories import tiny_card as dfm_card
from tests.engine.models.ttt.model_factories import make_ttt
from tests.take_files import write_clip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, EngineClient]]:
    root = tmp_path_factory.mktemp("batches")
    models, cards, workspace = root / "models", root / "cards", Workspace.at(root / "workspace")
    for card in (
        make_predict2(models, kind="text2image", name="tiny-t2i"),
        make_predict2(models, first_frame="tiny-t2i", name="tiny-v2w"),
        make_predict1(models, kind="text2world", name="tiny-t2w1"),
        make_predict1(models, kind="video2world", name="tiny-v2w1"),
    ):
        write_card(card, cards)
    make_ttt(models, cards_folder=cards)
    make_dfm(models, cards_folder=cards)
    with EngineThread(workspace, group="local", cards=cards, models_root=models) as client:
        yield workspace, client


def run(workspace: Workspace, folder: Path, model: str, entries: list[dict[str, str]], name: str, *more: str) -> Path:
    """-> the folder of what was made, all of it."""
    as_lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    (folder / name).write_text(as_lines if name.endswith(".jsonl") else json.dumps(entries))
    places = ["--workspace", str(workspace.root), "--out", str(folder / "out"), "--model", model]
    assert main(["batch", *places, "--preset", "draft", "--aspect", "3:2", str(folder / name), *more]) == DONE
    return folder / "out"


def jobs_of(client: EngineClient, model: str) -> list[Any]:
    return [status.job for status in client.jobs() if status.job.model == model]


def test_text_to_image(rig: tuple[Workspace, EngineClient], tmp_path: Path) -> None:
    workspace, client = rig
    entries = [{"prompt": "a boat", "output_image": "boat.png"}, {"prompt": "a kite"}]
    out = run(workspace, tmp_path, "tiny-t2i", entries, "pictures.json", "--guidance", "2", "--nvidia-guidance")
    assert sorted(path.name for path in out.iterdir()) == ["boat.png", "output_1.jpg"]
    assert {probe(path).kind for path in out.iterdir()} == {"image"}
    assert {probe(path).size_px for path in out.iterdir()} == {(48, 32)}
    assert not np.array_equal(read_frames(out / "boat.png", 1), read_frames(out / "output_1.jpg", 1))
    assert {job.guidance_scale for job in jobs_of(client, "tiny-t2i")} == {3.0}


def test_text_to_world_begins_with_a_picture(rig: tuple[Workspace, EngineClient], tmp_path: Path) -> None:
    """And three entries load the picture model and the film model once each at most: both stay."""
    workspace, client = rig
    before = client.status().last_seq
    entries = [{"prompt": f"a {what}", "output_video": f"{what}.mp4"} for what in ("boat", "kite", "bird")]
    out = run(workspace, tmp_path, "tiny-v2w", entries, "worlds.json")
    assert {probe(path).num_frames for path in out.iterdir()} == {9}
    jobs = jobs_of(client, "tiny-v2w")
    assert [job.conditioning.model for job in jobs if isinstance(job.conditioning, FromModel)] == ["tiny-t2i"] * 3
    ended = {job.id for job in jobs}
    loads: list[str] = []
    with contextlib.closing(client.events(before)) as events:
        while ended:
            event = next(events)
            loads += [event.phase] if isinstance(event, Stage) and event.stage == "load" else []
            ended -= {event.job_id} if isinstance(event, Finished) else set()
    assert "film" in loads and len(set(loads)) == len(loads)


def test_video_to_world_of_pictures_and_clips(rig: tuple[Workspace, EngineClient], tmp_path: Path) -> None:
    workspace, client = rig
    Image.new("RGB", (48, 32), (180, 40, 40)).save(tmp_path / "red.png")
    write_clip(tmp_path / "move.mp4", 9, (48, 32), 8, (30, 60, 200))
    entries = [
        {"input_video": "red.png", "prompt": "it moves", "output_video": "red.mp4"},
        {"input_video": "move.mp4", "prompt": "it stops", "output_video": "move.mp4"},
    ]
    out = run(workspace, tmp_path, "tiny-v2w", entries, "frames.json", "--num-input-frames", "5")
    assert {probe(path).num_frames for path in out.iterdir()} == {9}
    starts = [job.conditioning for job in jobs_of(client, "tiny-v2w")]
    assert sorted(start.num_frames for start in starts if isinstance(start, FromMedia)) == [1, 5]


def test_a_clip_reimagined_for_each_prompt(rig: tuple[Workspace, EngineClient], tmp_path: Path) -> None:
    workspace, client = rig
    write_clip(tmp_path / "clip.mp4", 9, (48, 32), 8, (30, 60, 200))
    entries = [{"prompt": "in snow", "output_video": "snow.mp4"}]
    flags = ("--reimagine", str(tmp_path / "clip.mp4"), "--strength", "0.6")
    out = run(workspace, tmp_path, "tiny-v2w", entries, "edits.json", *flags)
    assert probe(out / "snow.mp4").num_frames == 9
    assert [job.reimagine.strength for job in jobs_of(client, "tiny-v2w") if job.reimagine] == [0.6]


@pytest.mark.parametrize("model", ["tiny-t2w1", "tiny-v2w1"])
def test_predict1_lines(model: str, rig: tuple[Workspace, EngineClient], tmp_path: Path) -> None:
    workspace, _ = rig
    Image.new("RGB", (48, 32), (180, 40, 40)).save(tmp_path / "red.png")
    start = {} if model == "tiny-t2w1" else {"visual_input": "red.png"}
    out = run(workspace, tmp_path, model, [{"prompt": "a boat", **start}, {"prompt": "a kite", **start}], "lines.jsonl")
    assert sorted(path.name for path in out.iterdir()) == ["0.mp4", "1.mp4"]
    assert {probe(path).num_frames for path in out.iterdir()} == {17}


def test_dfm_takes_lines_of_prompts_too(rig: tuple[Workspace, EngineClient], tmp_path: Path) -> None:
    workspace, client = rig
    out = run(workspace, tmp_path, "tiny-dfm", [{"prompt": "a boat"}, {"prompt": "a kite"}], "lines.jsonl")
    assert {probe(path).num_frames for path in out.iterdir()} == {dfm_card().chunk_num_frames}
    assert len(jobs_of(client, "tiny-dfm")) == 2


def test_a_film_for_each_video_of_segments(rig: tuple[Workspace, EngineClient], tmp_path: Path) -> None:
    """This tiny model's segments are 8 frames, a second: three for each of the file's, and one frame at the start."""
    workspace, client = rig
    videos: list[Any] = [
        [{"text": "a boat", "neg_text": "fog"}, {"text": "a kite", "requires_scene_transition": True}],
        [{"text": "a bird"}],
    ]
    out = run(workspace, tmp_path, "tiny-ttt", videos, "prompts.json")
    assert [probe(out / f"prompt-{number}.mp4").num_frames for number in (0, 1)] == [49, 25]
    jobs = sorted(jobs_of(client, "tiny-ttt"), key=lambda job: len(job.segments))
    assert [job.joint for job in jobs] == [True, True] and [len(job.scene_ids) for job in jobs] == [1, 2]
    texts = [segment.prompt for segment in jobs[1].segments]
    assert texts == ["a boat", "a boat", "a boat<end_scene>", "<start_scene>a kite", "a kite", "a kite"]
    assert [segment.negative_prompt for segment in jobs[1].segments] == [*["fog"] * 3, *[""] * 3]
