"""How a job that needs too much memory ends: with advice, all memory released, and the rank continues."""

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract.events import EngineEvent, Failed, JobEvent
from engine.runtime.link import ControlFlags
from engine.runtime.loop import run_job
from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RankContext
from engine.storage.workspace import Workspace
from tests.engine.runtime.group import tiny_job

NO_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    RuntimeError("unable to mmap 8 bytes from file <a.pt>: Cannot allocate memory (12)"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


class Held:
    """Stands for the tensors of a job."""


class FullModelCache:
    """Has no context for any model."""

    def __init__(self, error: Exception) -> None:
        self.error, self.held, self.was_free = error, weakref.ref(Held()), False

    def holds(self, wanted: object) -> bool:
        return True

    def model(self, wanted: object) -> object:
        tensors = Held()
        self.held = weakref.ref(tensors)
        raise self.error

    def drop(self) -> None:
        self.was_free = self.held() is None


def context_with(models: Any, folder: Path) -> tuple[RankContext, list[JobEvent | EngineEvent]]:
    sent: list[JobEvent | EngineEvent] = []
    return RankContext(
        Ranks(0, 1, torch.device("cpu")), models, Workspace.at(folder), sent.append, ControlFlags()
    ), sent


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: str(error)[:24])
def test_a_job_without_context_fails_and_the_rank_goes_on(error: Exception, root: Path, tmp_path: Path) -> None:
    models = FullModelCache(error)
    context, sent = context_with(models, tmp_path)
    run_job(tiny_job(root), context)
    (event,) = sent
    assert isinstance(event, Failed) and "What would fit: offload: components" in event.reason
    assert models.was_free, "nothing of the failed work is held while its memory is given back"


def test_any_other_error_ends_the_rank(root: Path, tmp_path: Path) -> None:
    context, sent = context_with(FullModelCache(RuntimeError("CUDA error: device-side assert triggered")), tmp_path)
    with pytest.raises(RuntimeError, match="device-side"):
        run_job(tiny_job(root), context)
    assert not sent
