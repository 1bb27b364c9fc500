"""Which component of a model is on the device when: one class for each rung of offload.

Comes in: components as they are needed, and a device. Goes out: the same modules, on the device while they work. Does
not know what a module computes.

A new rung is one class here, its line in RESIDENCIES and its name in ``Offload`` (engine/contract/jobs.py). A rung that
moves blocks finds them with ``engine.models.model.blocks_of``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from engine.contract.jobs import Offload

M = TypeVar("M", bound=nn.Module)


class LazyModule:
    """A component that is loaded when it is first needed, and again after ``forget``."""

    def __init__(self, load: Callable[[], nn.Module]) -> None:
        self._load = load
        self.loaded: nn.Module | None = None

    def get(self) -> nn.Module:
        self.loaded = self.loaded or self._load()
        return self.loaded

    def forget(self) -> None:
        """Drops the module, so that its memory is free."""
        self.loaded = None


class Residency(ABC):
    """Moves the components of one job between host memory and ``device``."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @abstractmethod
    def prepare(self, components: Iterable[nn.Module], encoder: LazyModule | None) -> None:
        """Before a job: components that an earlier job, under another residency, may have left on the device."""

    @abstractmethod
    def acquire(self, component: nn.Module) -> None:
        """Before a component works."""

    @abstractmethod
    def release(self, component: nn.Module) -> None:
        """After a component has worked, or failed."""

    @abstractmethod
    def release_lazy(self, component: LazyModule) -> None:
        """``release`` for a component that can be loaded again."""

    def acquire_all(self, components: Iterable[nn.Module]) -> None:
        for component in components:
            self.acquire(component)

    @contextmanager
    def on_device(self, component: M) -> Generator[M]:
        """The component, ready to work inside the block."""
        self.acquire(component)
        try:
            yield component
        finally:
            self.release(component)

    @contextmanager
    def lazy_on_device(self, component: LazyModule) -> Generator[nn.Module]:
        """``on_device`` for a component that is loaded when it is needed."""
        module = component.get()
        self.acquire(module)
        try:
            yield module
        finally:
            self.release_lazy(component)


class KeepResident(Residency):
    """Whatever has worked stays on the device. Fastest, most memory."""

    def prepare(self, components: Iterable[nn.Module], encoder: LazyModule | None) -> None:
        pass

    def acquire(self, component: nn.Module) -> None:
        component.to(self.device)

    def release(self, component: nn.Module) -> None:
        pass

    def release_lazy(self, component: LazyModule) -> None:
        pass


class MoveByComponent(Residency):
    """A component is on the device only while it works; a lazy one is dropped from host memory too."""

    def prepare(self, components: Iterable[nn.Module], encoder: LazyModule | None) -> None:
        if encoder is not None:
            self.release_lazy(encoder)
        for component in components:
            self.release(component)

    def acquire(self, component: nn.Module) -> None:
        component.to(self.device)

    def release(self, component: nn.Module) -> None:
        if self.device.type != "cpu":
            component.to("cpu")
            torch.cuda.empty_cache()

    def release_lazy(self, component: LazyModule) -> None:
        if component.loaded is not None:
            self.release(component.loaded)
        component.forget()


RESIDENCIES: dict[Offload, type[Residency]] = {"none": KeepResident, "components": MoveByComponent}
"""From the fastest to the one that needs the least memory on the device."""


def residency_for(offload: Offload, device: torch.device) -> Residency:
    return RESIDENCIES[offload](device)


def smaller_offload(offload: Offload) -> Offload | None:
    """The next rung, which needs less memory; None after the last."""
    rungs = list(RESIDENCIES)
    return next(iter(rungs[rungs.index(offload) + 1 :]), None)
