"""One safetensors file from a checkpoint in parts: ``python -m engine.models.dfm.consolidate SOURCE... --out FILE``.

Comes in: folders with ``mp_rank_*`` parts, single parts, Megatron folders or files. Goes out: one file under the
original's keys, checked to be a whole network, with ``run_config.yaml`` beside it where the source had one. Does not
know cards, devices or precisions: every tensor keeps its own.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.checkpoints.assign import check_keys
from engine.contract.errors import EngineError, Rejected
from engine.models.dfm.checkpoint import RANK_FILE, TABLE, config_of, newest, rank_parts, read_state
from engine.models.dfm.keys import bare_keys, from_megatron, unstacked
from engine.models.dfm.network import DfmDiT
from engine.models.dfm.parallel import Part, join
from engine.models.dfm.run_config import NAME, RunConfig, read_run_config
from engine.storage.atomic import replacing


@dataclass(frozen=True, slots=True)
class Consolidated:
    path: Path
    num_tensors: int
    num_bytes: int
    parts: tuple[str, ...]


def consolidate(sources: list[Path], out: Path) -> Consolidated:
    """Joins the parts and writes ``out`` whole or not at all.

    Raises Rejected("weights") naming what is missing, overlapping, different or no part of a DFM DiT, and where ``out``
    is there already.
    """
    if out.exists():
        raise Rejected("weights", f"{out}: there already. Choose another name, or move it away.")
    if not sources:
        raise Rejected("weights", "Nothing to join: name at least one folder or file.")
    places = [place for source in sources for place in parts_below(source)]
    parts = [read_part(place) for place in places]
    state = join(parts)
    config_file = find_run_config(places)
    check_whole(state, config_file, [part.name for part in parts])
    write(state, config_file, out)
    num_bytes = sum(tensor.nbytes for tensor in state.values())
    return Consolidated(out, len(state), num_bytes, tuple(part.name for part in parts))


def parts_below(source: Path) -> list[Path]:
    """The parts of a source for each rank; the source itself where it has none."""
    if not source.exists():
        raise Rejected("weights", f"{source}: not there. Name a checkpoint's folder or its parts.")
    checkpoint = newest(source)
    if not checkpoint.is_dir():
        return [checkpoint]
    return rank_parts(checkpoint) or [checkpoint]


def read_part(place: Path) -> Part:
    state: dict[str, Tensor] = {}
    stored = read_state(place)
    for key, bare in bare_keys(stored, str(place)).items():
        state.update(unstacked(bare, stored[key], str(place)))
    if not state:
        raise Rejected("weights", f"{place}: no weights of a network in it.")
    rank = RANK_FILE.search(place.stem if place.is_file() else place.name) or RANK_FILE.search(place.parent.name)
    if rank is None:
        return Part(place.name, state)
    return Part(
        place.name if RANK_FILE.search(place.name) else place.parent.name, state, int(rank[1]), int(rank[2] or 0)
    )


def find_run_config(places: list[Path]) -> Path | None:
    """Beside a part, or beside the folders of the parts."""
    for place in places:
        for folder in (place, place.parent, place.parent.parent):
            if (folder / NAME).is_file():
                return folder / NAME
    return None


def check_whole(state: dict[str, Tensor], config_file: Path | None, names: list[str]) -> None:
    """Raises Rejected("weights") unless the joined tensors are exactly those of one network.

    Without ``run_config.yaml`` the size of the position table is not known here, and left to the model's card.
    """
    source = f"Joined from {', '.join(names)}"
    run_config = read_run_config(config_file, RunConfig()) if config_file else RunConfig()
    ours = from_megatron(state, source)
    try:
        config = config_of(ours, run_config, source)
        with torch.device("meta"):
            network = DfmDiT(config)
        if config_file is None or TABLE not in ours:
            ours[TABLE] = network.positions.table
        check_keys(network, ours, source)
    except Rejected as error:
        hint = "Is the part of a rank missing, or from another checkpoint?"
        raise Rejected(error.code, f"{str(error).rstrip('.')}. {hint}") from error


def write(state: dict[str, Tensor], config_file: Path | None, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(NAME)
    if config_file and beside.exists() and beside.read_bytes() != config_file.read_bytes():
        raise Rejected("weights", f"{beside}: another model's file is there. Write into a folder of its own.")
    with replacing(out) as draft:
        save_file({key: tensor.clone(memory_format=torch.contiguous_format) for key, tensor in state.items()}, draft)
    if config_file and not beside.exists():
        shutil.copyfile(config_file, beside)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Joins the parts of a DFM checkpoint into one safetensors file.")
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE", help="folder with mp_rank_* parts, or a part"
    )
    parser.add_argument("--out", "--to", required=True, type=Path, metavar="FILE", help="the safetensors file to write")
    options = parser.parse_args(arguments)
    try:
        result = consolidate(options.sources, options.out)
    except (EngineError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    size = f"{result.num_tensors} tensors, {result.num_bytes / 1e9:.2f} GB"
    print(f"{result.path}: {size}, joined from {len(result.parts)} part{'s' * (len(result.parts) != 1)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
