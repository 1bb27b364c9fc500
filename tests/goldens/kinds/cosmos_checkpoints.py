"""Which network a checkpoint holds, and that ours has exactly its tensors at full size.

Comes in: a table of the first keys of files, or the keys and shapes of whole released networks. Nothing is computed:
networks are built on the meta device.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from engine.checkpoints.files import Weights
from engine.contract.families.cosmos import CosmosSettings
from engine.models.cosmos.checkpoint import config_of
from engine.models.cosmos.keys import our_key
from engine.models.cosmos.network import CosmosDiT
from engine.models.cosmos.recognise import Recognised, recognise
from tests.goldens.runner import Case, Description, kind

Shape = tuple[int, ...]


def is_detection(description: Description) -> bool:
    return all("keys_and_shapes" in row and "variant" in row for row in description["rows"])


def is_manifest(description: Description) -> bool:
    return all("block_keys" in variant for variant in description["variants"].values())


def variant_of(found: Recognised) -> str | None:
    """In the words of the cases: ``p2_2b_v2w (ema)``."""
    if found.variant is None:
        return None
    return found.variant + " (ema)" * found.ema + " (diffusers)" * (found.form == "diffusers")


@kind("checkpoint_detection", recognises=is_detection)
def detection(case: Case) -> None:
    wrong: list[str] = []
    for row in case.description["rows"]:
        found = recognise({key: tuple(shape) for key, shape in row["keys_and_shapes"].items()})
        print(f"{row['description']}: {variant_of(found)}, {found.what}")
        if variant_of(found) != row["variant"]:
            wrong.append(f"{row['description']}: {variant_of(found)} instead of {row['variant']}")
    assert not wrong, "; ".join(wrong)


def expanded(manifest: Mapping[str, Any]) -> dict[str, Shape]:
    """Every key of the network and its shape."""
    shapes = {key: tuple(shape) for key, shape in manifest["other_keys"].items()}
    for index in range(manifest["num_blocks"]):
        prefix = manifest["block_prefix"].replace("{i}", str(index))
        shapes |= {prefix + key: tuple(shape) for key, shape in manifest["block_keys"].items()}
    return shapes


def digest_of(shapes: Mapping[str, Shape]) -> str:
    lines = sorted(f"{key}:{','.join(map(str, shape))}" for key, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def on_meta(name: str, shapes: Mapping[str, Shape]) -> Weights:
    return Weights(name, lambda: {key: torch.empty(shape, device="meta") for key, shape in shapes.items()})


@kind("key_manifests", recognises=is_manifest)
def full_size(case: Case) -> None:
    for name, manifest in case.description["variants"].items():
        shapes = expanded(manifest)
        assert len(shapes) == manifest["num_tensors"], name
        assert digest_of(shapes) == manifest["sha256_of_sorted_key_shape_lines"], name
        found = recognise(shapes)
        assert variant_of(found) == name, f"{name} is taken for {found.what}"
        check_network(name, manifest, on_meta(name, shapes).renamed(our_key), found)


def check_network(name: str, manifest: Mapping[str, Any], ours: Weights, found: Recognised) -> None:
    assert found.generation is not None
    ratio_t, ratio_h, ratio_w = manifest["rope_ratio_t_h_w"]
    settings = CosmosSettings(
        generation=found.generation, rope_ratio_t=ratio_t, rope_ratio_h=ratio_h, rope_ratio_w=ratio_w
    )
    config = config_of(ours.shapes, name, found, settings)
    assert (config.num_heads, config.head_dim) == (manifest["num_heads"], manifest["head_dim"]), name
    with torch.device("meta"):
        network = CosmosDiT(config)
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    differing = sorted(f"{key} {shape}" for key, shape in expected.items() ^ ours.shapes.items())
    assert not differing, f"{name}: {', '.join(differing[:5])}"
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{name}: {len(expected)} tensors, {num_parameters} parameters, all named and shaped as ours")
    assert (len(expected), num_parameters) == (manifest["num_tensors_diffusers"], manifest["num_parameters"]), name
