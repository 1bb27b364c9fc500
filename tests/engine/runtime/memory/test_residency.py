"""Residency: today's two rungs, and a toy third one by block, which is one class and one line of the table."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.contract.jobs import Job
from engine.models.cosmos.network import CosmosDiT
from engine.models.dfm.network import DfmConfig, DfmDiT
from engine.models.model import blocks_of
from engine.runtime.memory.residency import (
    RESIDENCIES,
    KeepResident,
    LazyModule,
    MoveByComponent,
    Residency,
    smaller_offload,
)
from tests.engine.models.ttt.factories import make_network
from tests.engine.runtime.group import tiny_job
from tests.engine.runtime.stateful_main import context_of, latents_of
from tests.engine.runtime.tiny import tiny_config

META = torch.device("meta")


class Component(nn.Module):
    """Remembers where it was moved; stays on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[str] = []

    def to(self, device: torch.device | str) -> "Component":  # pyright: ignore[reportIncompatibleMethodOverride]
        self.moves.append(str(device))
        return self


@pytest.mark.parametrize(("rung", "moves"), [(KeepResident, ["meta"]), (MoveByComponent, ["meta", "cpu"])])
def test_a_component_is_there_while_it_works(rung: type[Residency], moves: list[str]) -> None:
    component = Component()
    with pytest.raises(ZeroDivisionError), rung(META).on_device(component):
        assert component.moves == ["meta"]
        raise ZeroDivisionError
    assert component.moves == moves, "after an error too"


@pytest.mark.parametrize(("rung", "num_loads"), [(KeepResident, 1), (MoveByComponent, 2)])
def test_a_lazy_component_is_loaded_when_it_is_needed(rung: type[Residency], num_loads: int) -> None:
    loads: list[Component] = []

    def load() -> Component:
        loads.append(Component())
        return loads[-1]

    lazy = LazyModule(load)
    for _ in range(2):
        with rung(META).lazy_on_device(lazy) as module:
            assert module is loads[-1]
    assert len(loads) == num_loads


def test_what_an_earlier_job_kept_leaves_the_device_before_one_with_offload() -> None:
    components, lazy = [Component(), Component()], LazyModule(Component)
    for component in components:
        with KeepResident(META).on_device(component):
            pass
    lazy.get()
    MoveByComponent(META).prepare(components, lazy)
    assert [component.moves for component in components] == [["meta", "cpu"]] * 2 and lazy.loaded is None


def test_the_rungs_are_in_order_of_memory() -> None:
    assert list(RESIDENCIES) == ["none", "components"]
    assert (smaller_offload("none"), smaller_offload("components")) == ("components", None)


class ByBlock(MoveByComponent):
    """A toy rung: a block is ready only while it runs. Outside it holds zeros, so that a miss shows."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.hooks: list[torch.utils.hooks.RemovableHandle] = []
        self.order: list[int] = []

    def acquire(self, component: nn.Module) -> None:
        super().acquire(component)
        for index, block in enumerate(blocks_of(component)):
            weights = [parameter.clone() for parameter in block.parameters()]
            self._fill(block, [torch.zeros_like(weight) for weight in weights])
            self.hooks.append(block.register_forward_pre_hook(lambda b, _, i=index, w=weights: self._enter(b, i, w)))
            self.hooks.append(block.register_forward_hook(lambda b, *_: self._fill(b, self._zeros(b))))

    def release(self, component: nn.Module) -> None:
        for hook in self.hooks:
            hook.remove()
        super().release(component)

    def _enter(self, block: nn.Module, index: int, weights: list[torch.Tensor]) -> None:
        self.order.append(index)
        self._fill(block, weights)

    @staticmethod
    def _zeros(block: nn.Module) -> list[torch.Tensor]:
        return [torch.zeros_like(parameter) for parameter in block.parameters()]

    @staticmethod
    def _fill(block: nn.Module, tensors: Iterable[torch.Tensor]) -> None:
        for parameter, tensor in zip(block.parameters(), tensors, strict=True):
            parameter.data.copy_(tensor)


def test_a_toy_rung_by_block_gives_the_same_bits(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, rungs = tiny_job(root, num_steps=3), list[ByBlock]()
    resident = latents_of(job, context_of(root, tmp_path / "resident"))

    def by_block(device: torch.device) -> ByBlock:
        rungs.append(ByBlock(device))
        return rungs[-1]

    monkeypatch.setitem(RESIDENCIES, "blocks", by_block)
    moved: Job = job.model_copy(update={"speed": job.speed.model_copy(update={"offload": "blocks"})})
    assert torch.equal(latents_of(moved, context_of(root, tmp_path / "moved")), resident)
    assert rungs[0].order[:4] == [0, 1, 0, 1], "each block in its turn, at every evaluation"


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cosmos": lambda: CosmosDiT(tiny_config()),
    "dfm": lambda: DfmDiT(DfmConfig(32, 2, 4, 128)),
    "ttt": make_network,
}


@pytest.mark.parametrize("family", NETWORKS)
def test_every_network_names_its_blocks(family: str) -> None:
    blocks = blocks_of(NETWORKS[family]())
    assert len(blocks) > 1 and len({type(block) for block in blocks}) == 1
