"""Which files of each model are on this machine, and whether it fits: by names, sizes and first bytes.

Comes in: model cards, the models' root, what this machine says of its memory. Goes out: ``ModelFiles`` and words. A
part that is cut short counts as missing. Does not know how files are fetched or read. Does not hash anything.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engine.contract.assistant_cards import AssistantCard
from engine.contract.card_values import Part, Precision
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.storage.card_files import find_part, is_weight_file
from engine.storage.weight_files import problem_of

GIB = 2**30
BYTES_OF: dict[Precision, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
WORKING_SHARE = 1.25
"""What a network needs beside its weights while it runs, as a share of them: a rule of thumb, shown as an estimate."""
MEMINFO = Path("/proc/meminfo")
INDEX_SUFFIX = ".index.json"


@dataclass(frozen=True, slots=True)
class PartFiles:
    """``place``: what is read, None where it is missing or not whole. ``reason``: what is missing, as text."""

    name: str
    part: Part
    place: Path | None
    reason: str = ""

    @property
    def num_bytes(self) -> int:
        """Of the files that are here."""
        return _num_bytes(self.place) if self.place else 0


@dataclass(frozen=True, slots=True)
class ModelFiles:
    card: ModelCard | AssistantCard
    parts: tuple[PartFiles, ...]

    @property
    def missing(self) -> tuple[PartFiles, ...]:
        return tuple(part for part in self.parts if part.place is None)

    @property
    def download_bytes(self) -> int:
        """Of what is missing, as far as the card knows."""
        return sum({files.part: files.part.num_bytes for files in self.missing}.values())

    @property
    def size_known(self) -> bool:
        return all(files.part.num_bytes for files in self.missing)


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory_bytes``: of the host, 0 where it is not known."""

    memory_bytes: int
    gpus: tuple[Gpu, ...]


def files_of(card: ModelCard | AssistantCard, models_root: Path) -> ModelFiles:
    """What of a model is here."""
    parts = card.parts.all().items()
    return ModelFiles(card, tuple(part_files(name, part, models_root) for name, part in parts))


def part_files(name: str, part: Part, models_root: Path) -> PartFiles:
    """Whether a part is here, whole as far as names tell: of a sharded one every file that its index lists."""
    folder = models_root / part.folder
    try:
        place = find_part(part, models_root)
        absent = _absent_shards(place) or _absent_files(place, part)
        unreadable = [] if absent else _unreadable(place)
    except Rejected:
        return PartFiles(name, part, None, f"not in {folder}: {_names(part)}")
    except (OSError, ValueError) as error:
        return PartFiles(name, part, None, f"{folder} cannot be read ({error})")
    if absent:
        return PartFiles(name, part, None, f"not in {place}: {', '.join(absent)}")
    if unreadable:
        return PartFiles(name, part, None, "; ".join(unreadable))
    return PartFiles(name, part, place)


def _names(part: Part) -> str:
    """What would do; "." is the whole folder."""
    whole = ", ".join(part.fetch) or "a checkpoint"
    return " or ".join(whole if path == "." else path for path in part.paths)


def _absent_files(place: Path, part: Part) -> list[str]:
    """Of a folder without safetensors: what was to be downloaded into it and is not there. A folder may be empty."""
    if not place.is_dir():
        return []
    files = [path for path in place.rglob("*") if is_weight_file(path)]
    if any(path.suffix == ".safetensors" for path in files):
        return []
    absent = [name for name in part.fetch if "*" not in name and not (place / name).exists()]
    return absent or ([] if files else ["a checkpoint"])


def _absent_shards(place: Path) -> list[str]:
    absent: set[str] = set()
    for index in place.rglob(f"*{INDEX_SUFFIX}") if place.is_dir() else ():
        document: object = json.loads(index.read_bytes())
        table: object = cast(dict[str, object], document).get("weight_map") if isinstance(document, dict) else None
        if not isinstance(table, dict):
            raise ValueError(f"{index.name} lists no files")
        shards = {str(shard) for shard in cast(dict[str, object], table).values()}
        absent |= {shard for shard in shards if not (index.parent / shard).is_file()}
    return sorted(absent)


def _unreadable(place: Path) -> list[str]:
    """Files of weights that are something else, by their first bytes."""
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    problems = ((path, problem_of(path)) for path in files if path.is_file())
    return [f"{path} is {problem.rstrip('.')}" for path, problem in problems if problem]


def _num_bytes(place: Path) -> int:
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(path.stat().st_size for path in files if path.is_file())


def this_machine() -> Machine:
    try:
        memory = memory_in(MEMINFO.read_text())
    except OSError:
        memory = 0
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        output = ""
    return Machine(memory, gpus_in(output))


def memory_in(meminfo: str) -> int:
    """Bytes of the host's memory from ``/proc/meminfo``; 0 where there is none."""
    found = re.search(r"^MemTotal:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def gpus_in(output: str) -> tuple[Gpu, ...]:
    """The GPUs in nvidia-smi's lines ``name, MiB``; what is no such line is left out."""
    found = (re.fullmatch(r"(.+), (\d+)", line.strip()) for line in output.splitlines())
    return tuple(Gpu(match[1], int(match[2]) * 2**20) for match in found if match)


def needed_bytes(card: ModelCard | AssistantCard) -> tuple[int, str]:
    """-> (memory of the device that the work takes, where the figure is from)."""
    if isinstance(card, AssistantCard):
        return int(card.num_parameters * BYTES_OF[card.precision] * WORKING_SHARE), "an estimate"
    published = [figure for figure in card.measured if figure.memory_gb]
    if published:
        figure = max(published, key=lambda each: each.memory_gb or 0)
        return int((figure.memory_gb or 0) * 10**9), f"published: {figure.device}"
    text = card.text.num_parameters * BYTES_OF[card.text.precision]
    weights = card.network.num_parameters * BYTES_OF[card.precision] + text
    return int(weights * WORKING_SHARE), "an estimate"


def fit(card: ModelCard | AssistantCard, machine: Machine) -> str:
    """In words whether this machine can render with a model."""
    needed, source = needed_bytes(card)
    wanted = f"needs {gigabytes(needed)} ({source})"
    if machine.gpus:
        gpu = max(machine.gpus, key=lambda each: each.memory_bytes)
        verdict = "fits" if gpu.memory_bytes >= needed else "does not fit"
        return f"{verdict} on the GPU: {wanted}, {gpu.name} has {gigabytes(gpu.memory_bytes)}"
    if not machine.memory_bytes:
        return f"{wanted}; this machine does not say what it has"
    verdict = "fits in memory, without a GPU" if machine.memory_bytes >= needed else "does not fit in memory"
    return f"{verdict}: {wanted}, this machine has {gigabytes(machine.memory_bytes)}"


def gigabytes(num_bytes: int) -> str:
    """``28 GB``, ``5.2 GB``, ``310 MB``: powers of ten, as shops and download pages count."""
    if num_bytes < 10**9:
        return f"{max(1, round(num_bytes / 10**6))} MB"
    value = num_bytes / 10**9
    return f"{value:.1f} GB" if value < 9.95 else f"{value:.0f} GB"
