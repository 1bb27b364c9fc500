"""Giving a network its weights: strictly, tensor by tensor, without a second copy of the file in memory.

Comes in: a network on the meta device, tensors under its names. Goes out: the network with its weights, or an error in
which every name that does not fit is listed. Does not know files, key names of other layouts or devices.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from engine.checkpoints.files import Weights
from engine.contract.errors import Rejected

MAPPED_SHARE = 0.05
"""Of the file: how much may be mapped beside the copies that were made of it."""

Change = Callable[[str, Tensor], Tensor]


def unchanged(name: str, tensor: Tensor) -> Tensor:
    return tensor


def assign_strictly(
    network: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    dtype: torch.dtype,
    change: Change = unchanged,
) -> None:
    """Every tensor passes ``change`` (a LoRA, say) and is cast; one of the right precision stays mapped from its file.

    Raises Rejected("weights") naming every missing, unexpected or misshapen key.
    """
    check_keys(network, state, source)
    names = list(network.state_dict())
    copies = _copies(state, names, dtype, change)
    mapped = {name: state[name] for name in names if name not in copies}
    network.load_state_dict(copies | mapped, strict=True, assign=True)
    if isinstance(state, Weights):
        state.let_go()


def _copies(state: Mapping[str, Tensor], names: list[str], dtype: torch.dtype, change: Change) -> dict[str, Tensor]:
    """What does not stay as the file has it. No tensor of the file is held, so that its pages can go on the way."""
    copies: dict[str, Tensor] = {}
    since_let_go = 0
    for name in names:
        tensor = state[name]
        changed = change(name, tensor).to(dtype if tensor.is_floating_point() else tensor.dtype)
        if changed is tensor:
            continue
        copies[name] = changed
        since_let_go += tensor.nbytes
        if isinstance(state, Weights) and since_let_go > MAPPED_SHARE * state.num_bytes:
            del tensor, changed
            state.let_go()
            since_let_go = 0
    if isinstance(state, Weights):
        state.let_go()
    return copies


def check_keys(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Raises Rejected("weights") where names or shapes are not the network's. Reads no tensor's data."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    shapes = state.shapes if isinstance(state, Weights) else {name: tuple(t.shape) for name, t in state.items()}
    missing = [f"missing {name}" for name in grouped(name for name in expected if name not in shapes)]
    unexpected = [f"unexpected {name}" for name in grouped(name for name in shapes if name not in expected)]
    misshapen: dict[str, list[str]] = {}
    for name, shape in shapes.items():
        if name in expected and shape != expected[name]:
            misshapen.setdefault(f"{shape}, expected {expected[name]}", []).append(name)
    wrong = [f"{name} is {shape}" for shape, names in misshapen.items() for name in grouped(names)]
    if faults := missing + unexpected + wrong:
        raise Rejected("weights", f"{source}: not weights of this network: {'; '.join(faults)}")


def grouped(names: Iterable[str]) -> list[str]:
    """Names that differ in their first number alone as one: ``blocks.{0..27}.mlp.up.weight``."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for name in names:
        match = re.fullmatch(r"(\D*?)(\d+)(\..*)", name)
        key, number = ((match[1], match[3]), int(match[2])) if match else ((name,), 0)
        groups.setdefault(key, []).append(number)
    return [key[0] if len(key) == 1 else f"{key[0]}{_numbers(numbers)}{key[1]}" for key, numbers in groups.items()]


def _numbers(numbers: list[int]) -> str:
    """[3] -> "3", [0, 1, 2, 5] -> "{0..2,5}"."""
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "{" + ",".join(str(a) if a == b else f"{a}..{b}" for a, b in runs) + "}"
