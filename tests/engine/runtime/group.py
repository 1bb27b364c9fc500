"""Real ranks, and a small service at the other end of their line. For tests only.

Comes in: a model folder, jobs. Goes out: the events of real processes. Does not know HTTP, queues or databases.
"""

import os
import queue
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from engine.contract import wire
from engine.contract.cards import ModelCard
from engine.contract.events import EVENT, TERMINAL, Event
from engine.contract.jobs import Job, JobConditioning, SamplerSettings, Segment, Speed, make_job
from engine.contract.values import Value
from engine.runtime import worker
from engine.runtime.render_context import SAVE_EVERY_S
from engine.storage.card_files import fingerprint
from engine.storage.hashes import FileHashes
from tests.engine.forked import Forked
from tests.engine.runtime.tiny import make_tiny_model

REPOSITORY = Path(__file__).parents[3]


class Group:
    """``with Group(root, num_ranks) as group``: ranks that run until the block is left. ``root`` holds everything.

    ``spawned``: they are started as an engine starts them, and not forked. ``environment``: what such ranks see
    instead of this process's own, in which they compute on the CPU. ``save_every_s``: 0 saves after each step.
    """

    def __init__(
        self,
        root: Path,
        num_ranks: int,
        spawned: bool = False,
        environment: Mapping[str, str] = os.environ,
        save_every_s: float = SAVE_EVERY_S,
    ) -> None:
        self.root, self.num_ranks, self.spawned, self.environment = root, num_ranks, spawned, dict(environment)
        self.save_every_s = save_every_s
        self.card = make_model_once(root)
        self.workspace = root / "workspace"
        self.workspace.mkdir(exist_ok=True)
        self.events: queue.Queue[Event | None] = queue.Queue()

    def __enter__(self) -> "Group":
        secret = secrets.token_hex(8)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(90)
            host, port = server.getsockname()
            self.process = self._start(self._environment(f"{host}:{port}", secret))
            self.connection, _ = server.accept()
        self.lines = self.connection.makefile("rb")
        hello = wire.Hello.model_validate_json(self.lines.readline())
        assert hello.secret == secret and hello.num_ranks == self.num_ranks
        self.pid, self.device = hello.pid, hello.device
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.send(wire.Shutdown())
            self.process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self.hang_up()
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.lines.close()
            self.connection.close()

    def hang_up(self) -> None:
        """What the ranks see when the service dies."""
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def send(self, message: Value) -> None:
        self.connection.sendall(wire.line(message))

    def run(self, job: Job, timeout_s: float = 60.0) -> list[Event]:
        """-> all events of the job, the terminal one last."""
        self.send(wire.RunJob(job=job, attempt=1))
        return self.until_end(timeout_s)

    def until_end(self, timeout_s: float = 60.0) -> list[Event]:
        seen = [self.next_event(timeout_s)]
        while not isinstance(seen[-1], TERMINAL):
            seen.append(self.next_event(timeout_s))
        return seen

    def next_event(self, timeout_s: float = 60.0) -> Event:
        event = self.events.get(timeout=timeout_s)
        assert event is not None, "the ranks are gone"
        return event

    def is_gone(self, timeout_s: float = 20.0) -> bool:
        """Waits for the line to end."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.events.get(timeout=timeout_s) is None:
                return True
        return False

    def kill_a_rank(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def _read(self) -> None:
        try:
            for content in self.lines:
                self.events.put(EVENT.validate_json(content))
        except OSError:
            pass
        self.events.put(None)

    def _start(self, environment: dict[str, str]) -> "subprocess.Popen[bytes] | Forked":
        if not self.spawned:
            return Forked(worker.main, self.num_ranks, environment, 1)
        spawn = [sys.executable, "-m", "engine.service.spawn_ranks", str(self.num_ranks)]
        return subprocess.Popen([*spawn, "-m", "engine.runtime.worker"], env=environment)

    def _environment(self, address: str, secret: str) -> dict[str, str]:
        return self.environment | {
            wire.SOCKET_VARIABLE: address,
            wire.SECRET_VARIABLE: secret,
            wire.WORKSPACE_VARIABLE: str(self.workspace),
            wire.MODEL_CARDS_VARIABLE: str(self.root / "cards"),
            wire.MODELS_ROOT_VARIABLE: str(self.root / "models"),
            wire.SAVE_EVERY_VARIABLE: str(self.save_every_s),
            "PYTHONPATH": str(REPOSITORY),
        }


def make_model_once(root: Path) -> ModelCard:
    path = root / "card.json"
    if path.exists():
        return ModelCard.model_validate_json(path.read_bytes())
    card = make_tiny_model(root / "models", root / "cards")
    path.write_text(card.model_dump_json())
    return card


def tiny_job(
    root: Path,
    num_steps: int = 3,
    overlaps: tuple[int, ...] = (0,),
    num_frames: int | None = None,
    conditioning: JobConditioning | None = None,
    sampler: str = "res_2ab",
    prompt: str = "a red ball",
    **changes: object,
) -> Job:
    """A job for the tiny model: one segment of 9 frames per entry of ``overlaps``."""
    segments = tuple(
        Segment(
            scene_id="scene-1",
            prompt=prompt,
            negative_prompt="",
            num_frames=9,
            num_overlap_frames=overlap,
            starts_scene=index == 0,
        )
        for index, overlap in enumerate(overlaps)
    )
    settings: dict[str, object] = {
        "project_id": "project",
        "scene_ids": ("scene-1",),
        "model": "tiny",
        "weights": fingerprint(make_model_once(root), root / "models", FileHashes()),
        "segments": segments,
        "size_px": (48, 32),
        "fps": 8,
        "num_frames": num_frames or 9 * len(overlaps) - sum(overlaps),
        "seed": 7,
        "sampler": SamplerSettings.model_validate(
            {"name": sampler, "num_steps": num_steps, "sigma_max": 80.0, "sigma_min": 0.002, "rho": 7.0}
        ),
        "guidance_scale": 3.0,
        "conditioning": conditioning,
        "speed": Speed(precision="float32"),
    }
    return make_job(**(settings | changes))
