"""How many bytes of models fit: what is free on the host, or a setting, and what a model will need.

Comes in: cards, files, the host's own figures. Goes out: bytes. A model that waits is in the host's memory, so that is
what limits how many stay; on the device is the one that works. Does not know which models are loaded, or who asks.
"""

import math
import os
from pathlib import Path

from torch import nn

from engine.contract.assistant_cards import AssistantCard
from engine.contract.card_values import Part, Precision
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.wire import MODEL_MEMORY_VARIABLE
from engine.models.model import DTYPES
from engine.storage.card_files import find_part, part_files

SHARE = 0.75
"""Of the free memory that models may fill; the rest is for their work, and for others."""
MEMORY_FILE = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def module_bytes(*modules: nn.Module | None, on_host: bool = False) -> int:
    """Measured: of all parameters and buffers; ``on_host``: of those in the host's memory now."""
    tensors = {id(t): t for module in modules if module for t in (*module.parameters(), *module.buffers())}
    counted = [tensor for tensor in tensors.values() if not on_host or tensor.device.type == "cpu"]
    return sum(tensor.numel() * tensor.element_size() for tensor in counted)


def capacity_bytes(host_bytes: int, num_ranks: int) -> int:
    """For all models of one rank together, ``host_bytes`` of which are in the host's memory; as many ranks share it.
    What is on the device counts as still to come: it leaves for the host when another model works.

    Raises Rejected("memory") for a setting that is no number.
    """
    setting = os.environ.get(MODEL_MEMORY_VARIABLE, "")
    if setting:
        return _set_bytes(setting)
    return int((host_free_bytes() / num_ranks + host_bytes) * SHARE)


def _set_bytes(setting: str) -> int:
    try:
        gigabytes = float(setting)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < 1e9:
        problem = f'{MODEL_MEMORY_VARIABLE}: "{setting}" is no number of gigabytes'
        raise Rejected("memory", f"{problem}. Set one such as 40 for the engine, or none, and start it again.")
    return int(gigabytes * 1e9)


def host_free_bytes() -> int:
    """What this process may still fill: of the host, or of the container it is in."""
    fields = dict(line.split(":") for line in MEMORY_FILE.read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = _cgroup_figure("memory.max"), _cgroup_figure("memory.current")
    return min(free, max(0, limit - used)) if limit is not None and used is not None else free


def _cgroup_figure(name: str) -> int | None:
    """None: this process is in no container with a limit."""
    try:
        return int((CGROUP / name).read_text())
    except (OSError, ValueError):
        return None


def network_bytes(card: ModelCard, precision: Precision, models_root: Path) -> int:
    """Of network and autoencoder, before they are loaded."""
    network = card.network.num_parameters * DTYPES[precision].itemsize
    return network + part_bytes(card.parts.autoencoder, models_root)


def encoder_bytes(card: ModelCard, models_root: Path) -> int:
    """Of the text encoder, before it is loaded."""
    parameters = card.text.num_parameters * DTYPES[card.text.precision].itemsize
    return parameters or part_bytes(card.parts.text_encoder, models_root)


def assistant_bytes(card: AssistantCard, models_root: Path) -> int:
    """Of all its parts, before they are loaded."""
    parameters = card.num_parameters * DTYPES[card.precision].itemsize
    return parameters or sum(part_bytes(part, models_root) for part in card.parts.all().values())


def part_bytes(part: Part, models_root: Path) -> int:
    return sum(path.stat().st_size for path in part_files(find_part(part, models_root)))
