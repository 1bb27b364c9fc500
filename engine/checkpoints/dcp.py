"""Reading torch distributed-checkpoint folders (``.metadata`` and ``*.distcp``) without running what is in them.

Comes in: a folder, and a rule that gives the new name of each name. Goes out: ``Weights`` that reads a tensor when it
is accessed, whole, however many ranks wrote pieces of it. Entries that are not tensors (optimizer settings,
``_extra_state``) are never opened. Does not know models.

``.metadata`` is a pickle. It is read by an unpickler that imports nothing: the few names of torch's own bookkeeping
that a checkpoint needs become ``Record``, a class without behaviour, and any other name is an error. The pieces
themselves are read with ``weights_only``.
"""

import io
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoints.files import Weights
from engine.contract.errors import Rejected

METADATA_NAME = ".metadata"
Rule = Callable[[str], str | None]
"""A name in the folder -> its new name; None: left out."""


class Record:
    """The constructor's ``args`` and the attributes of a pickled object. Nothing is computed."""

    def __init__(self, *args: object) -> None:
        self.args = args

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)
        else:
            self.state = state


METADATA_MODULE, FILES_MODULE = "torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem"
METADATA_NAMES = (
    *("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties", "_MEM_FORMAT_ENCODING"),
    *("TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata"),
)
ADMITTED: dict[tuple[str, str], Any] = {
    **{(METADATA_MODULE, name): Record for name in METADATA_NAMES},
    (FILES_MODULE, "_StorageInfo"): Record,
    (FILES_MODULE, "_StoragePrefix"): Record,
    ("torch", "Size"): tuple,
    ("torch.serialization", "_get_layout"): str,
    ("collections", "OrderedDict"): dict,
    **{(module, name): Record for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")},
}
"""What a name in ``.metadata`` becomes. Number types (``torch.float32``) are added in ``find_class``."""


class MetadataUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in ADMITTED:
            return ADMITTED[module_name, global_name]
        if module_name == "torch" and isinstance(dtype := getattr(torch, global_name, None), torch.dtype):
            return dtype
        raise pickle.UnpicklingError(f"names {module_name}.{global_name}, which has no place in a checkpoint's index")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a tensor: its offset, its size, and where its bytes are. An empty file name: nowhere."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor as the index describes it."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    pieces: tuple[Piece, ...]


def is_dcp(folder: Path) -> bool:
    return (folder / METADATA_NAME).is_file()


def read_dcp(folder: Path, rule: Rule = lambda name: name) -> Weights:
    """The tensors of a folder under the names that ``rule`` gives them.

    Raises Rejected("weights") for a folder of another kind, an index that is damaged or names foreign classes, and
    pieces that are missing, cut short or do not make up their tensor.
    """
    entries = [entry for entry in _entries(folder) if rule(entry.name) is not None]
    for entry in entries:
        _check_whole(folder, entry)
    _check_files(folder, entries)
    return DcpWeights(folder, {entry.name: entry for entry in entries}).renamed(rule)


class DcpWeights(Weights):
    """Tensors that are assembled at every access; none is cached."""

    def __init__(self, folder: Path, entries: Mapping[str, Entry]) -> None:
        self.folder, self.entries = folder, dict(entries)
        self.source, self.metadata = str(folder), {}
        self.shapes = {name: entry.shape for name, entry in entries.items()}
        self.num_bytes = sum(torch.Size(e.shape).numel() * e.dtype.itemsize for e in entries.values())

    def __getitem__(self, name: str) -> Tensor:
        return _assembled(self.folder, self.entries[name])

    def let_go(self) -> None:
        """Nothing to release: no file stays mapped."""

    def renamed(self, rule: Rule) -> "DcpWeights":
        renamed: dict[str, Entry] = {}
        for name, entry in self.entries.items():
            if (new_name := rule(name)) is None:
                continue
            if new_name in renamed:
                problem = f"{renamed[new_name].name} and {entry.name} both mean {new_name}"
                raise Rejected("weights", f"{self.source}: {problem}: two forms of one checkpoint in one folder?")
            renamed[new_name] = entry
        return DcpWeights(self.folder, renamed)


def _entries(folder: Path) -> list[Entry]:
    """Every tensor of the index."""
    metadata = _unpickled(folder)
    try:
        places = {(index.fqn, _offset_of(index)): info for index, info in metadata.storage_data.items()}
        described = metadata.state_dict_metadata.items()
        return [_entry(name, about, places) for name, about in described if hasattr(about, "size")]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise Rejected("weights", f"{folder / METADATA_NAME}: not the index of a checkpoint ({error!r}).") from error


def _unpickled(folder: Path) -> Any:
    path = folder / METADATA_NAME
    if not is_dcp(folder):
        contents = (
            ", ".join(sorted(each.name for each in folder.iterdir())[:5]) if folder.is_dir() else "no such folder"
        )
        problem = f"not a torch distributed checkpoint: it has no {METADATA_NAME} ({contents})"
        raise Rejected("weights", f"{folder}: {problem}. Name the folder of one step, with its *.distcp files.")
    try:
        return MetadataUnpickler(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # a damaged pickle can fail in any way
        raise Rejected("weights", f"{path}: cannot be read as a checkpoint's index: it {_reason_of(error)}.") from error


def _reason_of(error: Exception) -> str:
    return (
        str(error) if isinstance(error, pickle.UnpicklingError) and "names" in str(error) else f"is damaged ({error})"
    )


def _offset_of(index: Any) -> tuple[int, ...]:
    return tuple(getattr(index, "offset", None) or ())


def _entry(name: str, about: Any, places: Mapping[tuple[str, tuple[int, ...]], Any]) -> Entry:
    pieces: list[Piece] = []
    for chunk in about.chunks:
        offsets, sizes = tuple(chunk.offsets), tuple(chunk.sizes)
        info = places.get((name, offsets)) or places[name, ()]
        if getattr(info, "transform_descriptors", None):
            raise ValueError(f"{name} is compressed ({info.transform_descriptors}), which is not read")
        pieces.append(Piece(offsets, sizes, info.relative_path, info.offset, info.length))
    return Entry(name, tuple(about.size), about.properties.state[0], tuple(pieces))


def _check_whole(folder: Path, entry: Entry) -> None:
    """Every element in exactly one piece, by counting: pieces of one tensor never overlap in torch's own layouts."""
    held = sum(torch.Size(piece.sizes).numel() for piece in entry.pieces)
    if held != torch.Size(entry.shape).numel():
        problem = f"its pieces hold {held} of the {torch.Size(entry.shape).numel()} elements of {entry.name}"
        raise Rejected("weights", f"{folder}: not a whole checkpoint: {problem}.")


def _check_files(folder: Path, entries: Iterable[Entry]) -> None:
    """That every file is here, and is long enough."""
    ends: dict[str, int] = {}
    for piece in (piece for entry in entries for piece in entry.pieces):
        ends[piece.file] = max(ends.get(piece.file, 0), piece.start + piece.length)
    if outside := [name for name in ends if Path(name).name != name]:
        raise Rejected("weights", f"{folder / METADATA_NAME}: names files outside its own folder ({outside[0]}).")
    if missing := sorted(name for name in ends if not (folder / name).is_file()):
        problem = f"{len(missing)} of {len(ends)} files are missing: {', '.join(missing)}"
        raise Rejected("weights", f"{folder}: {problem}. Copy them here from where the checkpoint was written.")
    for name, end in ends.items():
        if (size := (folder / name).stat().st_size) < end:
            raise Rejected("weights", f"{folder / name}: cut short: {size} bytes, {end} expected. Copy it again.")


def _assembled(folder: Path, entry: Entry) -> Tensor:
    if len(entry.pieces) == 1:
        return _read_piece(folder, entry, entry.pieces[0])
    whole = torch.empty(entry.shape, dtype=entry.dtype)
    for piece in entry.pieces:
        place = tuple(slice(start, start + size) for start, size in zip(piece.offsets, piece.sizes, strict=True))
        whole[place] = _read_piece(folder, entry, piece)
    return whole


def _read_piece(folder: Path, entry: Entry, piece: Piece) -> Tensor:
    path = folder / piece.file
    try:
        with path.open("rb") as file:
            file.seek(piece.start)
            tensor = torch.load(io.BytesIO(file.read(piece.length)), map_location="cpu", weights_only=True)
    except Exception as error:  # torch has its own kinds of errors for damaged bytes
        raise Rejected("weights", f"{path}: {entry.name} cannot be read ({error}). Copy the file again.") from error
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != piece.sizes or tensor.dtype != entry.dtype:
        raise Rejected("weights", f"{path}: {entry.name} is not what the index says. Copy the checkpoint again.")
    return tensor
