"""Renders in TensorBoard: a run for each model, a step for each take.

Comes in: records. Goes out: event files that ``tensorboard --logdir`` shows: curves of seconds and scores, settings as
text, the film as an animation. Needs the extra ``tracking`` (tensorboardX, no torch). Sends nothing anywhere. Does not
know the studio.
"""

import importlib
import io
from pathlib import Path
from typing import Any

from PIL import Image

from engine.storage.media import read_frames
from studio.errors import PresetError
from studio.tracking.record import TakeRecord

MAX_GIF_FRAMES = 49
"""The film's last frames: TensorBoard keeps animations whole in memory."""


class TensorBoardTracker:
    """``folder``: of all runs. Raises PresetError where tensorboardX is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            tensorboard: Any = importlib.import_module("tensorboardX")
        except ImportError as error:
            raise PresetError("--track", "tensorboard", "needs: pip install 'storyboard-studio[tracking]'") from error
        self._writer_of = tensorboard.SummaryWriter
        self._summary: Any = importlib.import_module("tensorboardX.proto.summary_pb2").Summary
        self._folder = folder
        self._writers: dict[str, Any] = {}
        self._num_takes: dict[str, int] = {}

    def record(self, record: TakeRecord) -> None:
        model = str(record.settings["model"])
        writer = self._writers.get(model)
        if writer is None:
            writer = self._writers[model] = self._writer_of(str(self._folder / model))
        step = self._num_takes[model] = self._num_takes.get(model, -1) + 1
        for name, value in record.numbers.items():
            writer.add_scalar(name, value, step)
        rows = {**record.settings, "take": record.take_id}
        rows |= {"prompt": " / ".join(record.prompts)} if record.prompts else {}
        rows |= {"reasons": "; ".join(record.reasons)} if record.reasons else {}
        writer.add_text("take", "\n".join(f"    {name}: {value}" for name, value in rows.items()), step)
        self._add_film(writer, record, step)
        writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _add_film(self, writer: Any, record: TakeRecord, step: int) -> None:
        count = min(MAX_GIF_FRAMES, int(record.settings["num_frames"]))
        frames = [Image.fromarray(frame) for frame in read_frames(record.film, count)]
        gif = io.BytesIO()
        duration_ms = 1000 / int(record.settings["fps"])
        frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=duration_ms, loop=0)
        width, height = frames[0].size
        image = self._summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif.getvalue())
        summary = self._summary(value=[self._summary.Value(tag="film", image=image)])
        writer.file_writer.add_summary(summary, step)
