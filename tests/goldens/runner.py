"""Finds golden cases in folders, recognises what each one is, and gives the checks to run.

Comes in: folders. Goes out: one golden per case and check, with its description and tensors read lazily. A case is a
``*.json`` or ``*.json.gz`` file; what kind it is follows from its content, never from its name. Does not know any kind:
those register themselves in ``tests/goldens/kinds/``.
"""

import gzip
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.goldens import kinds as kinds_package
from tests.goldens.formula_weights import formula_weights

DEFAULT_FOLDERS = tuple(Path(__file__).parent / name for name in ("cosmos", "ttt"))
SUFFIXES = (".json", ".json.gz")

Description = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One golden: ``description`` is its JSON; its tensors are beside it, in files that the JSON may name."""

    name: str
    folder: Path
    description: Description

    def tensors(self, file: str | None = None) -> dict[str, Tensor]:
        """All tensors of a file of the case's folder: the one named, or the case's own (``file`` of the JSON)."""
        return load_file(self.folder / (file or self.description.get("file", f"{self.name}.safetensors")))

    def weights(self, prefix: str = "net.") -> dict[str, Tensor]:
        """The case's weights in float32: by ``weights_formula``, in its ``weights_file``, or named with the prefix."""
        if "weights_formula" in self.description:
            return formula_weights(self.description["weights_formula"])
        second = self.description.get("weights_file")
        stored = self.tensors(second) if second else {k: v for k, v in self.tensors().items() if k.startswith(prefix)}
        return {key: value.float() if value.is_floating_point() else value for key, value in stored.items()}


Check = Callable[[Case], None]


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    recognises: Callable[[Description], bool]
    check: Check


@dataclass(frozen=True, slots=True)
class Golden:
    """One test: a case and one check of its kind."""

    id: str
    case: Case
    check: Check


KINDS: list[Kind] = []


def kind(name: str, recognises: Callable[[Description], bool]) -> Callable[[Check], Check]:
    """Registers a check. Several checks may share a kind's name: each becomes a test of its own for every such case."""

    def register(check: Check) -> Check:
        KINDS.append(Kind(name, recognises, check))
        return check

    return register


def goldens_in(folders: Iterable[Path]) -> list[Golden]:
    """Every case of the folders (and of theirs), with all checks of its kind. A folder without cases is an error."""
    found = kinds_that_fail()
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*") if path.name.endswith(SUFFIXES))
        if not paths:
            raise FileNotFoundError(f"{folder}: no golden case there (a case is a .json or .json.gz file)")
        for path in paths:
            found.extend(goldens_of(path))
    return found


def kinds_that_fail() -> list[Golden]:
    """Imports all kinds. For a file that cannot be imported one test that fails, so that the others run."""
    found: list[Golden] = []
    for module in pkgutil.iter_modules(kinds_package.__path__):
        name = f"{kinds_package.__name__}.{module.name}"
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the file or what it tests is broken by
            message = f"{name} cannot be imported: {type(error).__name__}: {error}"
            found.append(Golden(module.name, Case(module.name, Path(), {}), failing(message)))
    return found


def case_at(path: Path) -> Case:
    """Raises OSError or ValueError where it cannot be read."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    content: Any = json.loads(text)
    description: Description = content if isinstance(content, dict) else {"content": content}
    return Case(name_of(path), path.parent, description)


def name_of(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".json")


def goldens_of(path: Path) -> list[Golden]:
    """The tests of one case; of a case that no kind recognises, one test that fails and says so."""
    name = name_of(path)
    try:
        case = case_at(path)
    except (OSError, ValueError, EOFError) as error:
        return [Golden(name, Case(name, path.parent, {}), failing(f"{path}: cannot be read: {error}"))]
    checks = [kind for kind in KINDS if claims(kind, case.description)]
    kinds = sorted({kind.name for kind in checks})
    if len(kinds) != 1:
        what = f"kinds {', '.join(kinds)} all claim it" if kinds else "no kind recognises it"
        return [Golden(name, case, failing(f"{path}: {what} (its keys: {', '.join(case.description)})"))]
    if len(checks) == 1:
        return [Golden(name, case, checks[0].check)]
    return [Golden(f"{name}-{kind.check.__name__}", case, kind.check) for kind in checks]


def claims(kind: Kind, description: Description) -> bool:
    """A description of quite another shape, in which the kind looks for something in vain, is not its own."""
    try:
        return kind.recognises(description)
    except (AttributeError, IndexError, KeyError, TypeError):
        return False


def failing(message: str) -> Check:
    def check(case: Case) -> None:
        raise AssertionError(message)

    return check


def assert_close(ours: Tensor, golden: Tensor, atol: float, rtol: float = 0.0, what: str = "") -> None:
    """Prints the maximum and mean difference, then holds it to ``atol + rtol * |golden|``. NaN is never close."""
    assert ours.shape == golden.shape, f"{what}: {tuple(ours.shape)} is not {tuple(golden.shape)}"
    difference = (ours.double() - golden.double()).abs()
    if difference.numel() == 0:
        raise AssertionError(f"{what}: there is nothing to compare")
    print(f"{what}: max {difference.max():.2e}, mean {difference.mean():.2e}")
    allowed = atol + rtol * golden.double().abs()
    far = ~(difference <= allowed)
    worst = [int(i) for i in torch.unravel_index((difference - allowed).nan_to_num(torch.inf).argmax(), ours.shape)]
    many = f"{int(far.sum())} of {far.numel()}"
    assert not far.any(), f"{what}: max {difference.max():.2e}, {many} too far, worst at {worst}"
