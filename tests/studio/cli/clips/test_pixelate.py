"""A clip comes back with its faces pixelated. The detector here finds white squares, as the real one finds faces."""

from pathlib import Path

import numpy as np
import pytest

from engine.assistants.faces import Box, Frame
from engine.contract.errors import Rejected
from engine.storage.media import probe, read_range
from engine.storage.video import VideoWriter
from studio.cli.clips.pixelate import pixelate_clip
from studio.cli.main import main
from studio.errors import FilmError


class WhiteSquares:
    def boxes(self, frame: Frame) -> list[Box]:
        rows, columns = np.nonzero((frame > 200).all(axis=2))
        if not len(rows):
            return []
        top, left = int(rows.min()), int(columns.min())
        return [(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1)]


def test_a_clip_is_pixelated_frame_by_frame(tmp_path: Path) -> None:
    frames = np.full((4, 64, 96, 3), 30, dtype=np.uint8)
    frames[1:, 10:50, 20:60] = 255
    frames[1:, 25:30, 35:45] = 210  # a feature of the face
    clip, out = tmp_path / "clip.mp4", tmp_path / "faces.mp4"
    with VideoWriter(clip, (96, 64), 8) as writer:
        writer.write(frames)
    assert pixelate_clip(clip, out, WhiteSquares()) == (3, 4)
    assert probe(out).num_frames == 4 and probe(out).size_px == (96, 64)
    before, after = (read_range(path, 0, 4).astype(int) for path in (clip, out))
    assert abs(after[0] - before[0]).max() <= 8, "a frame without a face"
    assert after[2, 26:29, 37:43].mean() > before[2, 26:29, 37:43].mean() + 8, "the feature is gone"
    with pytest.raises(FilmError, match="the clip itself"):
        pixelate_clip(clip, clip, WhiteSquares())
    (tmp_path / "no.mp4").write_text("no clip")
    with pytest.raises(Rejected):
        pixelate_clip(tmp_path / "no.mp4", tmp_path / "none.mp4", WhiteSquares())
    assert not list(tmp_path.glob("none*"))


def test_without_weights_the_command_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pixelate", str(tmp_path / "a.mp4"), "--models-root", str(tmp_path)]) == 1
    assert "face_detection_yunet" in capsys.readouterr().err
