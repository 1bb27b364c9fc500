"""TTT-Video checkpoints in torch distributed-checkpoint folders, in both key forms, against the tensors they hold.

Comes in: a case that names the keys of folders beside it. Does not know how a network uses the tensors.
"""

import torch

from engine.checkpoints.dcp import read_dcp
from engine.models.ttt.keys import our_key
from tests.goldens.runner import Case, Description, kind


def recognises(description: Description) -> bool:
    keys = description.get("keys")
    return isinstance(keys, dict) and any(name.startswith("dcp_") for name in keys)


@kind("ttt_dcp", recognises=recognises)
def check(case: Case) -> None:
    """Exactly, in the folder's own precision; what else a folder holds carries no weight of the network."""
    expected = {our_key(name): tensor for name, tensor in case.tensors().items()}
    for name in folders_of(case):
        weights = read_dcp(case.folder / name, our_key)
        assert set(weights) == set(expected), name
        for key, tensor in expected.items():
            assert weights[key].dtype == (torch.bfloat16 if "bf16" in name else torch.float32), f"{name}: {key}"
            assert torch.equal(weights[key], tensor.to(weights[key].dtype)), f"{name}: {key}"
        print(f"{name}: {len(weights)} tensors, difference 0")


def folders_of(case: Case) -> list[str]:
    """Those beside the case whose keys or counts it names."""
    beside = sorted(path.parent.name for path in case.folder.glob("*/.metadata"))
    folders = [name for name in beside if any(key.startswith(name) for key in case.description["keys"])]
    assert folders, f"{case.folder}: none of the folders that {case.name} is about"
    return folders
