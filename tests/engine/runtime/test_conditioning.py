"""Conditioning frames and previews: what is read for a job and shown on the way."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.contract.card_values import LatentPreview
from engine.contract.errors import Rejected
from engine.contract.jobs import FromMedia, FromTake
from engine.runtime.conditioning import conditioning_frames, fit
from engine.runtime.preview import PreviewClock, preview_frames, write_preview
from engine.storage.media import Frames, MediaStore
from engine.storage.video import VideoWriter
from engine.storage.workspace import Workspace

SIZE = 64, 48


def moving_square(num_frames: int) -> Frames:
    frames = np.full((num_frames, SIZE[1], SIZE[0], 3), (230, 220, 200), np.uint8)
    for index, frame in enumerate(frames):
        frame[16:32, 2 * index : 2 * index + 16] = (200, 40, 30)
    return frames


@pytest.mark.parametrize("size", [(48, 32), (33, 61), (500, 40), (8, 8)])
def test_a_picture_of_any_size_is_fitted(size: tuple[int, int], tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "workspace")
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "picture.png")
    media = MediaStore(workspace.media).put_file(tmp_path / "picture.png")
    frames = conditioning_frames(FromMedia(kind="image", media=media, num_frames=1), SIZE, workspace)
    assert frames.shape == (1, SIZE[1], SIZE[0], 3) and frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - [10, 200, 30]).max() <= 1


def test_a_clips_last_frames(tmp_path: Path) -> None:
    workspace, frames = Workspace.at(tmp_path / "workspace"), moving_square(9)
    with VideoWriter(tmp_path / "clip.mp4", SIZE, 8) as writer:
        writer.write(frames)
    media = MediaStore(workspace.media).put_file(tmp_path / "clip.mp4")
    frames_of_clip = conditioning_frames(FromMedia(kind="clip", media=media, num_frames=5), SIZE, workspace)
    assert np.abs(frames_of_clip.astype(int) - frames[-5:]).mean() < 2.0
    with pytest.raises(Rejected, match="13 frames"):
        conditioning_frames(FromMedia(kind="clip", media=media, num_frames=13), SIZE, workspace)


@pytest.mark.parametrize(
    "conditioning", [FromMedia(kind="image", media="a" * 64, num_frames=1), FromTake(recipe="a" * 64, num_frames=1)]
)
def test_conditioning_that_is_not_there(conditioning: FromMedia | FromTake, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as refused:
        conditioning_frames(conditioning, SIZE, Workspace.at(tmp_path))
    assert refused.value.code == "conditioning"


def test_the_same_size_is_untouched() -> None:
    frames = moving_square(2)
    assert fit(frames, SIZE) is frames


def test_preview_is_the_cards_linear_map(tmp_path: Path) -> None:
    preview = LatentPreview(weight=((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), bias=(0.0, 0.5, 2.0))
    x0 = torch.tensor([0.2, -0.5]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 6)
    frames = preview_frames(x0, preview)
    assert frames.shape == (3, 4, 6, 3)
    assert frames[0, 0, 0].tolist() == [51, 0, 255]
    frames[1] = 100  # equal frames would be joined
    frames[2] = 200
    write_preview(frames, (1280, 720), 0.5, tmp_path / "preview.webp")
    with Image.open(tmp_path / "preview.webp") as picture:
        assert picture.size == (320, 180) and picture.n_frames == 3
    assert [path.name for path in tmp_path.iterdir()] == ["preview.webp"]


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4])
def test_without_a_map_a_latent_of_any_channels_has_a_preview(num_channels: int) -> None:
    x0 = torch.arange(2 * 4 * 6.0).view(1, 1, 2, 4, 6) * torch.ones(1, num_channels, 1, 1, 1)
    frames = preview_frames(x0, None).astype(int)
    assert frames.shape == (2, 4, 6, 3)
    assert frames[1, -1, -1, 0] - frames[0, 0, 0, 0] > 150, "the strongest direction is brightness"
    assert np.abs(frames - frames[..., :1]).max() <= 1, "channels that rise together have no tint"


@pytest.mark.parametrize("every", [1, 2, 5])
def test_previews_come_in_time_and_not_too_often(every: int) -> None:
    clock = PreviewClock(every)
    asked = [clock.is_due() for _ in range(10)]
    assert asked.index(True) == every - 1
    assert sum(asked) == 1, "the other nine came within a tenth of a second"
