"""Progress of a job on disk: latents of finished sampler calls, and the sampler's state of the running one.

Comes in: states as they change. Goes out: the newest saved state after a restart, bit-exact. Does not know what is
sampled, or why it stopped.
"""

import shutil
import sys
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.contract.jobs import Job
from engine.diffusion.samplers import SamplerState
from engine.storage.atomic import replacing
from engine.storage.workspace import Workspace

EXTRA = "extra."


class ResumeStore:
    """The saved work of one job, in the job's folder of the workspace, under its recipe. Used by rank 0."""

    def __init__(self, workspace: Workspace, job: Job, save_every_s: float) -> None:
        self._save_every_s = save_every_s
        self.folder = workspace.job_folder(job.id) / job.recipe[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._saved_s = time.monotonic()

    def _state_path(self, segment: int) -> Path:
        return self.folder / f"segment_{segment:03d}.state.safetensors"

    def _latents_path(self, segment: int) -> Path:
        return self.folder / f"segment_{segment:03d}.latents.safetensors"

    def keep(self, segment: int, state: SamplerState, now: bool = False) -> None:
        """Saves the state if ``save_every_s`` have passed since the last time, or at once."""
        if now or time.monotonic() - self._saved_s >= self._save_every_s:
            self._write(state, self._state_path(segment))
            self._saved_s = time.monotonic()

    def state(self, segment: int) -> SamplerState | None:
        return load_state(self._state_path(segment))

    def keep_latents(self, segment: int, latents: Tensor) -> None:
        self._write(SamplerState(latents), self._latents_path(segment))
        self._state_path(segment).unlink(missing_ok=True)

    def latents(self, segment: int) -> Tensor | None:
        """(1, C, T, h, w) of a finished segment."""
        state = load_state(self._latents_path(segment))
        return state.x if state is not None else None

    def _write(self, state: SamplerState, path: Path) -> None:
        """A state that cannot be saved is logged, and the job continues."""
        try:
            save_state(state, path)
        except (OSError, SafetensorError) as error:
            print(f"{path}: the state of the job was not saved ({error})", file=sys.stderr, flush=True)

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def tensors_of(state: SamplerState) -> dict[str, Tensor]:
    """By name: x, previous_x0 where there is one, and ``extra.NAME`` for each of ``extra``."""
    tensors = {"x": state.x} | {f"{EXTRA}{name}": tensor for name, tensor in state.extra.items()}
    return tensors | ({"previous_x0": state.previous_x0} if state.previous_x0 is not None else {})


def state_from(tensors: dict[str, Tensor], step: int) -> SamplerState:
    """The inverse of ``tensors_of``. Raises KeyError where there is no x."""
    extra = {name.removeprefix(EXTRA): tensor for name, tensor in tensors.items() if name.startswith(EXTRA)}
    return SamplerState(tensors["x"], step, tensors.get("previous_x0"), extra)


def save_state(state: SamplerState, path: Path) -> None:
    """Writes the state whole or not at all, bit-exact."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors_of(state).items()}
    with replacing(path, durable=False) as draft:
        save_file(tensors, draft, metadata={"step": str(state.step)})


def load_state(path: Path, device: torch.device | str = "cpu") -> SamplerState | None:
    """The saved state; None where there is none that can be read: then the call starts again."""
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return state_from(tensors, int((file.metadata() or {})["step"]))
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
