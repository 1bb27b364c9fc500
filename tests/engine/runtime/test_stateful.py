"""A wrapper with state: its run is killed midway, and the resumed run has the bits of an uninterrupted one."""

import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.contract.events import Step
from engine.diffusion.samplers import SamplerState
from engine.runtime.resume import load_state, save_state
from tests.engine.forked import Forked
from tests.engine.runtime.stateful_main import NUM_STEPS, Blend, Forgetful, render, slowly


@pytest.fixture(scope="module")
def uninterrupted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return render(root, tmp_path_factory.mktemp("whole"), Blend)


@pytest.fixture(scope="module")
def killed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a process that was killed amid sampling, after a state was saved."""
    workspace = tmp_path_factory.mktemp("killed")
    process = Forked(slowly, 1, os.environ, root, workspace)
    deadline_s = time.monotonic() + 90
    while not state_files(workspace):
        assert process.poll() is None and time.monotonic() < deadline_s, "no state was saved"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not list(workspace.rglob("*.latents.safetensors")), "it was killed before its end"
    return workspace


def state_files(workspace: Path) -> list[Path]:
    return list(workspace.rglob("*.state.safetensors"))


def saved_state(workspace: Path) -> SamplerState:
    (path,) = state_files(workspace)
    state = load_state(path)
    assert state is not None and 0 < state.step < NUM_STEPS
    return state


def without_extra(workspace: Path) -> None:
    """As a version without ``extra`` would have saved it."""
    (path,) = state_files(workspace)
    state = saved_state(workspace)
    save_state(SamplerState(state.x, state.step, state.previous_x0), path)


def first_step(events: list[object]) -> int:
    return next(event.step for event in events if isinstance(event, Step))


def test_the_resumed_run_has_the_bits_of_the_uninterrupted_one(
    root: Path, killed: Path, uninterrupted: Tensor, tmp_path: Path
) -> None:
    workspace = shutil.copytree(killed, tmp_path / "workspace")
    state, events = saved_state(workspace), list[object]()
    assert set(state.extra) == {"Blend.0/previous"}
    latents = render(root, workspace, Blend, events.append)
    assert first_step(events) == state.step + 1, "it continues from the saved step"
    assert torch.equal(latents, uninterrupted)


def test_without_its_state_the_resumed_run_would_differ(
    root: Path, killed: Path, uninterrupted: Tensor, tmp_path: Path
) -> None:
    workspace = shutil.copytree(killed, tmp_path / "workspace")
    without_extra(workspace)
    events: list[object] = []
    latents = render(root, workspace, Forgetful, events.append)
    difference = (latents - uninterrupted).abs().max().item()
    print(f"max difference {difference:.2e}, resumed at step {first_step(events)}")
    assert first_step(events) > 1 and difference > 0.0


def test_a_state_saved_without_the_wrappers_state_starts_again(
    root: Path, killed: Path, uninterrupted: Tensor, tmp_path: Path
) -> None:
    """An older file is read, and not resumed with a wrapper that it knows nothing of."""
    workspace = shutil.copytree(killed, tmp_path / "workspace")
    without_extra(workspace)
    events: list[object] = []
    assert torch.equal(render(root, workspace, Blend, events.append), uninterrupted)
    assert first_step(events) == 1


def test_a_state_with_tensors_of_several_types_is_saved_bit_for_bit(tmp_path: Path) -> None:
    extra = {"Cache.0/step": torch.tensor([3]), "Cache.1/residual": torch.randn(2, 3, dtype=torch.bfloat16)}
    save_state(SamplerState(torch.randn(1, 2, 3), 4, extra=extra), tmp_path / "state")
    state = load_state(tmp_path / "state")
    assert state is not None and state.extra.keys() == extra.keys()
    assert all(torch.equal(state.extra[name], tensor) for name, tensor in extra.items())
