"""Reading files of tensors, whatever wrote them: ``.pt``/``.pth``/``.bin``, ``.safetensors``, folders of shards.

Comes in: a path. Goes out: ``Weights``, a mapping from name to tensor that stays in the file until a tensor is asked
for. Nothing in a file is ever run: what is not plain tensors is refused with words. Does not know models, key names
(but for the training frameworks' wrappers and EMA copies), devices or precisions.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.contract.errors import Rejected
from engine.storage.weight_files import what_else

WRAPPERS = ("model", "state_dict", "module", "model_state_dict")
"""Under which training frameworks put the state dict they save."""
EMA_PREFIX = "net_ema."
INDEX_NAMES = ("model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json")
SINGLE_NAMES = ("model.safetensors", "diffusion_pytorch_model.safetensors", "adapter_model.safetensors")
PICKLED_NAMES = ("pytorch_model.bin", "diffusion_pytorch_model.bin", "adapter_model.bin")
PICKLED_INDEX_NAMES = ("pytorch_model.bin.index.json", "diffusion_pytorch_model.bin.index.json")

OpenFiles = Callable[[], Mapping[str, Tensor]]


class Weights(Mapping[str, Tensor]):
    """Tensors by name, mapped from their files. ``let_go`` unmaps what was read; a later look maps it again."""

    def __init__(self, source: str, open_files: OpenFiles, metadata: Mapping[str, str] | None = None) -> None:
        self.source, self.metadata, self._open = source, dict(metadata or {}), open_files
        opened = open_files()
        self.shapes = {name: tuple(tensor.shape) for name, tensor in opened.items()}
        self.num_bytes = sum(tensor.nbytes for tensor in opened.values())
        self._opened: Mapping[str, Tensor] | None = opened

    def __getitem__(self, name: str) -> Tensor:
        if self._opened is None:
            self._opened = self._open()
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def let_go(self) -> None:
        """Frees the pages read so far, where no tensor of them is still in use elsewhere."""
        self._opened = None

    def renamed(self, rule: Callable[[str], str | None]) -> "Weights":
        """The same tensors under other names; a name whose rule gives None is left out."""
        return Weights(self.source, lambda: _rename(self._open(), rule, self.source), self.metadata)


EXPECTED = "one file that ends in .safetensors, .pt or .pth, shards with their index, or folders iter_NUMBER"
TENSOR_SUFFIXES = (".safetensors", ".pt", ".pth")
STATE_OF_TRAINING = re.compile(r"(extra_state|optim|scheduler|rng_state|random_states|training_args)")
"""How files begin that a trainer writes beside the weights."""


def _rename(tensors: Mapping[str, Tensor], rule: Callable[[str], str | None], source: str) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if (ours := rule(name)) is None:
            continue
        if ours in renamed:
            raise Rejected("weights", f"{source}: two tensors both mean {ours}; the second is {name}.")
        renamed[ours] = tensor
    return renamed


def read_weights(path: Path, ema: bool = False) -> Weights:
    """A file, or a folder with one file or with shards and their index.

    ema: the averaged copy (``{"ema": ...}``, or names with ``net_ema.``) in place of the last weights; an error where
    there is none. Without it the averaged copy is left out, unless the file holds nothing else. Raises
    Rejected("weights") for what is missing, cut short, foreign, or not plain tensors.
    """
    if path.is_dir():
        return _read_folder(path, ema)
    opener, metadata = _opener(path)
    return Weights(str(path), lambda: state_dict_of(opener(), str(path), ema), metadata)


def _read_folder(folder: Path, ema: bool) -> Weights:
    for name in (*INDEX_NAMES, *PICKLED_INDEX_NAMES):
        if (folder / name).exists():
            return _read_shards(folder / name, ema)
    for name in (*SINGLE_NAMES, *PICKLED_NAMES):
        if (folder / name).exists():
            return read_weights(folder / name, ema)
    others = [path for path in sorted(folder.iterdir()) if path.suffix in TENSOR_SUFFIXES]
    others = [path for path in others if not STATE_OF_TRAINING.match(path.name)] or others
    if len(others) == 1:
        return read_weights(others[0], ema)
    if (folder / ".metadata").exists():
        raise Rejected("weights", f"{folder}: a checkpoint of torch.distributed, where a file of tensors was expected.")
    if len(others) > 1:
        names = ", ".join(path.name for path in others)
        raise Rejected("weights", f"{folder}: several files of weights ({names}) and no index that joins them.")
    raise Rejected(
        "weights", f"{folder}: no weights here{_unfinished(folder)}{_folders_in(folder)}. Expected {EXPECTED}."
    )


def _folders_in(folder: Path) -> str:
    names = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    return f" (there are the folders {', '.join(names[:5])})" if names else ""


def _unfinished(folder: Path) -> str:
    """Describes the partial files that an interrupted download leaves."""
    parts = [*folder.glob("*.incomplete"), *folder.glob(".cache/huggingface/download/**/*.incomplete")]
    parts += [*folder.glob("*.part"), *folder.glob("*.aria2"), *folder.glob("*.crdownload")]
    return f" (an unfinished download: {parts[0].name}; get it again, it resumes)" if parts else ""


def _read_shards(index: Path, ema: bool) -> Weights:
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        shards = sorted(set(weight_map.values()))
        outside = [shard for shard in shards if Path(shard).name != shard]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Rejected("weights", f"{index}: not an index of weights ({error!r}). Get it again.") from error
    if outside:
        raise Rejected("weights", f"{index}: names files outside its own folder ({outside[0]}).")
    folder = index.parent
    if missing := [shard for shard in shards if not (folder / shard).exists()]:
        problem = f"{len(missing)} of {len(shards)} parts are missing: {', '.join(missing)}"
        raise Rejected("weights", f"{folder}: {problem}{_unfinished(folder)}. Finish the download.")
    openers = {shard: _opener(folder / shard)[0] for shard in shards}

    def open_files() -> Mapping[str, Tensor]:
        opened = {shard: opener() for shard, opener in openers.items()}
        lost = [name for name, shard in weight_map.items() if name not in opened[shard]]
        if lost:
            shard = weight_map[lost[0]]
            raise Rejected("weights", f"{folder / shard}: lacks {lost[0]}, which {index.name} says is in it.")
        return state_dict_of({name: opened[shard][name] for name, shard in weight_map.items()}, str(folder), ema)

    return Weights(str(folder), open_files)


def _opener(path: Path) -> tuple[Callable[[], Any], dict[str, str]]:
    """How the file is opened, known by its first bytes; and its metadata."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        problem = f"no such file{_unfinished(path.parent)}" if isinstance(error, FileNotFoundError) else error.strerror
        raise Rejected("weights", f"{path}: {problem}. Restore it or choose another model.") from error
    if head[8:9] == b"{" and not head.startswith(b"PK"):
        return lambda: _map_safetensors(path)[0], _map_safetensors(path)[1]
    if head.startswith(b"PK"):
        _check_archive(path)
        return lambda: load_plain(path, str(path), mmap=True), {}
    raise Rejected("weights", f"{path}: {what_else(head)}")


def _map_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        problem = f"cut short or not a readable safetensors file ({error})"
        raise Rejected("weights", f"{path}: {problem}. Get it again.") from error


def _check_archive(path: Path) -> None:
    """Raises for a zip that is cut short, or that is TorchScript: code, where tensors were expected."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise Rejected("weights", f"{path}: cut short or damaged ({error}). Get it again.") from error
    if any("/code/" in name for name in names):
        raise Rejected("weights", f"{path}: a TorchScript file (code), where plain weights were expected.")
    if not any(name.endswith("/data.pkl") for name in names):
        raise Rejected("weights", f"{path}: a zip file, but not one of PyTorch's.")


def load_plain(file: Path | io.BytesIO, source: str, mmap: bool = False) -> Any:
    """``torch.load`` of tensors, numbers, words and raw bytes; anything else in the file is refused, never run."""
    try:
        with torch.serialization.safe_globals([io.BytesIO]):  # TransformerEngine keeps its extra states in these
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap or None)
    except Exception as error:  # the unpickler raises errors of many kinds for damaged bytes
        first = " ".join(str(error).split())
        if "Weights only load failed" in first:
            problem = f"holds Python objects ({_foreign_object(first)}), not only tensors"
            reason = "reading them could run code, so the file is refused. Get a copy that holds weights alone"
            raise Rejected("weights", f"{source}: {problem}; {reason}.") from error
        raise Rejected("weights", f"{source}: cut short or damaged ({first[:200]}). Get it again.") from error


def _foreign_object(message: str) -> str:
    words = message.partition("GLOBAL ")[2].split()
    return words[0].rstrip(".,") if words else message[:120]


def read_json(path: Path) -> dict[str, Any]:
    """A configuration beside weights. Raises Rejected("weights") where it is missing or no JSON object."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Rejected("weights", f"{path}: cannot read this configuration: {error}. Get it again.") from error
    if not isinstance(data, dict):
        raise Rejected("weights", f"{path}: not a configuration; a group of names and values was expected.")
    return data


def state_dict_of(document: Any, source: str, ema: bool = False) -> dict[str, Tensor]:
    """The tensors of what a file held: unwrapped, with the averaged copy chosen or left out."""
    if ema and isinstance(document, dict) and isinstance(document.get("ema"), dict):
        return {name.replace("-", "."): value for name, value in _tensors(document["ema"]).items()}
    while isinstance(document, dict) and not _tensors(document):
        inner = [document[name] for name in WRAPPERS if isinstance(document.get(name), dict)]
        if not inner:
            held = ", ".join(map(str, list(document)[:5])) or "nothing"
            raise Rejected("weights", f"{source}: no weights in it; it holds {held}.")
        document = inner[0]
    if not isinstance(document, dict):
        raise Rejected("weights", f"{source}: holds a {type(document).__name__}, where tensors by name were expected.")
    return _choose_ema(_tensors(document), source, ema)


def _tensors(document: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in document.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _choose_ema(tensors: dict[str, Tensor], source: str, ema: bool) -> dict[str, Tensor]:
    averaged = [name for name in tensors if name.startswith(EMA_PREFIX)]
    if ema and not averaged:
        raise Rejected("weights", f"{source}: holds no averaged (EMA) copy of the weights. Ask for the plain ones.")
    if ema:
        return {name: tensors[name] for name in averaged}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(EMA_PREFIX)} or tensors
