"""A fake group: one small process that speaks the ranks' socket protocol and draws coloured cards instead of films.

Comes in: the environment and commands of ``engine.contract.wire``. Goes out: events, and real takes (an H.264 file with
as many frames as asked). Prompts order misbehaviour, for tests of everything around a group:

    die at step N [on attempt M]     ends itself by signal 9
    stall at step N                  says nothing more
    lie                              announces a take that does not exist
    fail                             ends the job as failed
    reject                           ends the job as rejected
    S s per step                     works slowly

Of an assistant's job the prompt or text does the same. A refiner adds words, a guard calls a text unsafe that has the
word "unsafe" in it, and media safe, and a critic's score follows from the media's hash.

Does not know torch, models or samplers.
"""

import colorsys
import hashlib
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from PIL import Image

from engine.contract import wire
from engine.contract.assistants import (
    AssistantAnswer,
    AssistantJob,
    CheckTakeRequest,
    CheckTextRequest,
    Critique,
    CritiqueRequest,
    Finding,
    Refinement,
    RefineRequest,
    Trial,
    Verdict,
)
from engine.contract.events import (
    Answered,
    Event,
    Failed,
    Finished,
    JobCancelled,
    JobRejected,
    Preview,
    Stage,
    StageName,
    Step,
)
from engine.contract.frames import num_latent_frames
from engine.contract.jobs import FromModel, Job, Span, Take
from engine.storage.atomic import draft_of, open_replacing, publish_folder
from engine.storage.media import Frames, file_sha256
from engine.storage.workspace import Workspace

DEFAULT_STEP_S = 0.02
NUM_TOKENS = 4
"""Steps of an assistant's answer."""
PAUSE_LOOK_S = 0.02
LOST_SIGHT = 1
"""Exit code where the service is gone."""


class Stopped(Exception):
    """The job was cancelled."""


class Rank:
    """Rank 0 and all others in one."""

    def __init__(self, connection: socket.socket, workspace: Workspace) -> None:
        self._connection = connection
        self._workspace = workspace
        self._jobs: queue.Queue[wire.RunJob | wire.RunAssistant | None] = queue.Queue()
        self._cancelled: set[str] = set()
        self._going = threading.Event()
        self._going.set()

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while (order := self._jobs.get()) is not None:
            self._obey(order)

    def say(self, event: Event | wire.Hello) -> None:
        self._connection.sendall(wire.line(event))

    def _listen(self) -> None:
        for raw in self._connection.makefile("rb"):
            command = wire.COMMAND.validate_json(raw)
            match command:
                case wire.RunJob() | wire.RunAssistant():
                    self._jobs.put(command)
                case wire.Upcoming():
                    pass  # it loads no models
                case wire.CancelJob(job_id=job_id):
                    self._cancelled.add(job_id)
                case wire.Pause():
                    self._going.clear()
                case wire.Resume():
                    self._going.set()
                case wire.Shutdown():
                    os._exit(0)
        os._exit(LOST_SIGHT)

    def _obey(self, order: wire.RunJob | wire.RunAssistant) -> None:
        job = order.job
        prompt = asked_text(job) if isinstance(job, AssistantJob) else " ".join(each.prompt for each in job.segments)
        if "reject" in prompt:
            reason = f"job {job.id}: the prompt asked to be rejected."
            return self.say(JobRejected(time_s=time.time(), job_id=job.id, code="asked", reason=reason))
        try:
            self._steps(job, prompt, order.attempt)
        except Stopped:
            return self.say(JobCancelled(time_s=time.time(), job_id=job.id))
        if "fail" in prompt:
            reason = f"job {job.id}: the prompt asked for a failure."
            return self.say(Failed(time_s=time.time(), job_id=job.id, reason=reason))
        if isinstance(job, AssistantJob):
            return self.say(Answered(time_s=time.time(), job_id=job.id, answer=answer_to(job)))
        self.say(Finished(time_s=time.time(), job_id=job.id, takes=self._takes(job, "lie" in prompt.split())))

    def _steps(self, job: Job | AssistantJob, prompt: str, attempt: int) -> None:
        step_s = _number(r"([\d.]+) s per step", prompt, DEFAULT_STEP_S)
        for stage, num_steps in _stages(job):
            segments = 1 if isinstance(job, AssistantJob) else len(job.segments)
            self.say(Stage(time_s=time.time(), job_id=job.id, stage=stage, segment=0, num_segments=segments))
            for step in range(1, num_steps + 1):
                if stage == "denoise" or isinstance(job, AssistantJob):
                    _misbehave(prompt, step, attempt)
                time.sleep(step_s)
                self._edge(job)
                self._tell(job, stage, step, num_steps, step_s)

    def _edge(self, job: Job | AssistantJob) -> None:
        """A step boundary, where pause and cancel take effect; a cancel also while it is paused."""
        while job.id not in self._cancelled:
            if self._going.wait(PAUSE_LOOK_S):
                return
        raise Stopped

    def _tell(self, job: Job | AssistantJob, stage: StageName, step: int, num_steps: int, step_s: float) -> None:
        progress = {"stage": stage, "step": step, "num_steps": num_steps, "step_s": step_s}
        left_s = (num_steps - step) * step_s
        common = {"time_s": time.time(), "job_id": job.id}
        self.say(Step.model_validate({**progress, **common, "left_s": left_s, "memory_bytes": 64 * 2**20}))
        if isinstance(job, Job) and stage == "denoise" and (step % job.speed.preview_every == 0 or step == num_steps):
            self._preview(job, step / num_steps)
            self.say(Preview.model_validate({**common, "step": step}))

    def _preview(self, job: Job, done: float) -> None:
        """The picture so far: noise that clears."""
        width, height = job.size_px
        noise = np.random.default_rng(job.seed).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
        clear = draw_frames(job, 3).astype(np.float32)
        mixed = (clear * done + noise.astype(np.float32) * (1 - done)).astype(np.uint8)
        first, *rest = [Image.fromarray(frame) for frame in mixed]
        with open_replacing(self._workspace.job_folder(job.id) / "preview.webp", durable=False) as file:
            first.save(file, format="WEBP", save_all=True, append_images=rest, duration=200, loop=0)

    def _takes(self, job: Job, announce_only: bool) -> tuple[Take, ...]:
        picture = self._picture(job.conditioning) if isinstance(job.conditioning, FromModel) else None
        frames = draw_frames(job, job.num_frames)
        return tuple(
            self._write(job, span, frames[span.start : span.end], picture, announce_only) for span in job.spans
        )

    def _picture(self, wanted: FromModel) -> str:
        """A first frame of one colour. -> its SHA-256."""
        path = self._workspace.picture(wanted.recipe)
        Image.new("RGB", wanted.size_px, tuple(bytes.fromhex(wanted.recipe[:6]))).save(path, format="PNG")
        return file_sha256(path)

    def _write(self, job: Job, span: Span, frames: Frames, picture: str | None, announce_only: bool) -> Take:
        folder = self._workspace.take_folder(span.recipe)
        draft = draft_of(folder)
        draft.mkdir(parents=True)
        started_s = time.monotonic()
        write_clip(draft / "take.mp4", frames, job.fps)
        take = _take(job, span, draft / "take.mp4", time.monotonic() - started_s, picture)
        (draft / "take.json").write_text(take.model_dump_json(indent=2))
        (draft / "tail.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
        if not announce_only and not folder.exists():
            publish_folder(draft, folder)
        return take


def _number(pattern: str, text: str, default: float) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else default


def _stages(job: Job | AssistantJob) -> Iterator[tuple[StageName, int]]:
    if isinstance(job, AssistantJob):
        yield "write", NUM_TOKENS
        return
    yield "encode", 1
    yield "denoise", job.sampler.num_steps * (1 if job.joint else len(job.segments))
    yield "decode", num_latent_frames(job.num_frames, 4)
    yield "write", 1


def _misbehave(prompt: str, step: int, attempt: int) -> None:
    for order in re.finditer(r"(die|stall) at step (\d+)(?: on attempt (\d+))?", prompt):
        if step == int(order.group(2)) and attempt == int(order.group(3) or attempt):
            if order.group(1) == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()


def asked_text(job: AssistantJob) -> str:
    match job.request:
        case CheckTextRequest():
            return job.request.text
        case CheckTakeRequest():
            return ""
        case RefineRequest() | CritiqueRequest():
            return job.request.prompt


def answer_to(job: AssistantJob) -> AssistantAnswer:
    """The same for the same request."""
    match job.request:
        case RefineRequest(prompt=prompt, seed=seed):
            text = f"{prompt}, seen in full detail" + f" ({seed})" * bool(seed)
            return Refinement(text=text, source=job.model, notes=("added: seen in full detail",))
        case CheckTextRequest(text=text):
            found = (Finding(category="asked", detail='the text holds the word "unsafe"'),)
            safe = "unsafe" not in text.lower()
            return Verdict(safe=safe, source=job.model, findings=() if safe else found)
        case CheckTakeRequest():
            return Verdict(safe=True, source=job.model)
        case CritiqueRequest(media=media, num_trials=num_trials):
            passed = [int(digit, 16) >= 8 for digit in media[:num_trials].ljust(num_trials, "0")]
            trials = tuple(Trial(passed=each, text="no" if each else "yes") for each in passed)
            reasons = ("a fault was seen",) if not all(passed) else ()
            score = sum(passed) / num_trials
            return Critique(score=score, source=job.model, reasons=reasons, trials=trials)


def draw_frames(job: Job, num_frames: int) -> Frames:
    """A card in a colour of the prompt's, with a square that crosses it. -> (F, H, W, 3) uint8."""
    width, height = job.size_px
    digest = hashlib.sha256("\n".join(segment.prompt for segment in job.segments).encode()).digest()
    card, square = (
        [round(255 * part) for part in colorsys.hsv_to_rgb(((digest[i] + job.seed) % 256) / 256, 0.6, light)]
        for i, light in ((0, 0.5), (1, 0.95))
    )
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    frames[:] = card
    side = max(4, height // 4)
    for i, frame in enumerate(frames):
        x = round((width - side) * i / max(1, num_frames - 1))
        frame[height // 2 - side // 2 : height // 2 + side // 2, x : x + side] = square
    return frames


def write_clip(path: Path, frames: Frames, fps: int) -> None:
    height, width = frames.shape[1:3]
    write_frames: Any = imageio_ffmpeg.write_frames  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    writer = write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        macro_block_size=1,
        output_params=["-pix_fmt", "yuv420p", "-movflags", "+faststart", "-threads", "1"],
        ffmpeg_log_level="error",
    )
    writer.send(None)
    for frame in frames:
        writer.send(frame.tobytes())
    writer.close()


def _take(job: Job, span: Span, path: Path, write_s: float, picture: str | None) -> Take:
    return Take(
        id=span.recipe,
        recipe=span.recipe,
        scene_id=span.scene_id,
        job=job,
        media=file_sha256(path),
        picture=picture,
        first_frame=span.start,
        num_frames=span.end - span.start,
        fps=job.fps,
        size_px=job.size_px,
        seed=job.seed,
        render_s=write_s,
        versions={"engine": "fake"},
        timings_s={"encode": 0.0, "denoise": 0.0, "decode": 0.0, "write": write_s},
    )


def main() -> None:
    host, _, port = os.environ[wire.SOCKET_VARIABLE].rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rank = Rank(connection, Workspace.at(Path(os.environ[wire.WORKSPACE_VARIABLE])))
        secret = os.environ[wire.SECRET_VARIABLE]
        rank.say(wire.Hello(secret=secret, device="fake", num_ranks=1, pid=os.getpid()))
        rank.run()


if __name__ == "__main__":
    sys.exit(main())
