"""Work that outlives its process: the latents of finished segments, and the sampler's state of the running one.

Comes in: states as they change. Goes out: the newest of them after the death of the process, bit-exact. Does not know
what is sampled, or why it stopped.
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

SAVE_EVERY_S = 2.0


class ResumeStore:
    """Of one job, in its folder of the workspace, under its recipe. Used by rank 0."""

    def __init__(self, workspace: Workspace, job: Job) -> None:
        self.folder = workspace.job_folder(job.id) / job.recipe[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._saved_s = time.monotonic()

    def _state_path(self, segment: int) -> Path:
        return self.folder / f"segment_{segment:03d}.state.safetensors"

    def _latents_path(self, segment: int) -> Path:
        return self.folder / f"segment_{segment:03d}.latents.safetensors"

    def keep(self, segment: int, state: SamplerState, now: bool = False) -> None:
        """Saves the state if the last time is long enough ago (or at once)."""
        if now or time.monotonic() - self._saved_s >= SAVE_EVERY_S:
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
        """A state that cannot be saved costs nothing but the way back: the job goes on."""
        try:
            save_state(state, path)
        except (OSError, SafetensorError) as error:
            print(f"{path}: the state of the work was not saved ({error})", file=sys.stderr, flush=True)

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def save_state(state: SamplerState, path: Path) -> None:
    """Writes the state whole or not at all, bit-exact."""
    tensors = {"x": state.x.cpu().contiguous()}
    if state.previous_x0 is not None:
        tensors["previous_x0"] = state.previous_x0.cpu().contiguous()
    with replacing(path, durable=False) as draft:
        save_file(tensors, draft, metadata={"step": str(state.step)})


def load_state(path: Path, device: torch.device | str = "cpu") -> SamplerState | None:
    """The saved state; None where there is none, or none that can be read: then the work begins again."""
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return SamplerState(tensors["x"], int((file.metadata() or {})["step"]), tensors.get("previous_x0"))
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
