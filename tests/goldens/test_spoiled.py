"""Every kind of golden can fail: a case with one value changed, under another name, does not pass."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.goldens.kinds.cosmos_predict1_sampler import RATIO
from tests.goldens.runner import DEFAULT_FOLDERS, Description, case_at, goldens_in

FOLDER = DEFAULT_FOLDERS[0]
SPOILED = [
    ("p2_t2i_dit", "out_with_padding_mask"),
    ("p2_v2w_dit_2b", "out"),
    ("p2_v2w_dit_14b", "condition_mask"),
    ("p1_t2w_dit", "out"),
    ("p1_v2w_dit", "out_fps24"),
    ("p2_guided_v2w_loop", "x0_uncond"),
    ("p2_guided_v2w_loop", "result_empty_negative"),
    ("rope_tables", "p1_14b_g1_rows"),
    ("rope_tables", "p2_14b_v2w_g0_rows_bf16buf"),
    ("p2_sampler", "sigmas_10"),
    ("p2_sampler", "init_noise_seed42"),
    ("p2_sampler", "samples"),
    ("p2_sampler", "sdedit_0.4_final"),
    ("p1_sampler", "sigmas_35"),
    ("p1_sampler", "t2w_pred_x0"),
    ("p1_sampler", "v2w_exact_result_N35"),
    ("p1_sampler", "v2w_as_written_result_N5"),
    ("p1_sampler", "aug1_new_xt"),
    ("conditioning_resize", "img_61x97"),
    ("conditioning_resize", "video_nlat2"),
    ("p2_wan_vae_dim4", "enc_F9"),
    ("p2_wan_vae_dim8", "dec_F5"),
]


def copied(case: str, folder: Path) -> Description:
    """The case as ``spoiled`` in a folder of its own, with the files that it names; -> its JSON."""
    description = case_at(FOLDER / f"{case}.json").description
    shutil.copy(FOLDER / f"{case}.safetensors", folder / "spoiled.safetensors")
    if "weights_file" in description:
        shutil.copy(FOLDER / description["weights_file"], folder)
    description["file"] = "spoiled.safetensors"
    (folder / "spoiled.json").write_text(json.dumps(description))
    return description


def failures(folder: Path) -> list[str]:
    found: list[str] = []
    for golden in goldens_in([folder]):
        try:
            golden.check(golden.case)
        except AssertionError as error:
            found.append(f"{golden.id}: {error}")
    return found


def spoil(folder: Path, name: str) -> None:
    """One value in a hundred, by a tenth of the largest; of a mask, by turning it over."""
    tensors = load_file(folder / "spoiled.safetensors")
    values = tensors[name].flatten()
    if values.dtype == torch.uint8:
        values[::100] ^= 0x10
    elif "mask" in name:
        values[:] = 1 - values
    else:
        values[::100] += 0.1 * values.abs().max()
    tensors[name] = values.reshape(tensors[name].shape)
    save_file(tensors, folder / "spoiled.safetensors")


@pytest.mark.parametrize(("case", "name"), SPOILED)
def test_a_changed_value_is_noticed(tmp_path: Path, case: str, name: str) -> None:
    copied(case, tmp_path)
    spoil(tmp_path, name)
    messages = failures(tmp_path)
    print("\n".join(messages))
    assert messages


@pytest.mark.parametrize("case", sorted({case for case, _ in SPOILED}))
def test_unchanged_it_passes(tmp_path: Path, case: str) -> None:
    copied(case, tmp_path)
    assert failures(tmp_path) == []


@pytest.mark.parametrize(
    ("case", "path", "wrong"),
    [
        ("p2_sampler", ("sdedit", "start_index", 7), 7),
        ("conditioning_resize", ("shape_table", -1, "resized_wh", 0), 960),
        ("conditioning_resize", ("per_image", 1, "crop_top"), 26),
        ("p1_sampler", ("v2w", "measured", "as_written_N35", RATIO), 1.0),
        ("p1_sampler", ("v2w", "augment_noise_seed"), 2),
        ("p2_guided_v2w_loop", ("guidance",), 6.0),
        ("p1_v2w_dit", ("fps",), 17),
        ("p2_wan_vae_dim8", ("weights_formula", "salt"), "another"),
    ],
)
def test_what_a_case_says_of_itself_is_noticed(tmp_path: Path, case: str, path: tuple[Any, ...], wrong: Any) -> None:
    description = copied(case, tmp_path)
    place: Any = description
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = wrong
    (tmp_path / "spoiled.json").write_text(json.dumps(description))
    assert failures(tmp_path)


PARTS = [
    ("p1_sampler", "sigmas_35"),
    ("p1_sampler", "t2w_result"),
    ("p1_sampler", "v2w_exact_result_N5"),
    ("p2_sampler", "sigmas_10"),
    ("p2_sampler", "init_noise_seed1"),
]


@pytest.mark.parametrize(("case", "name"), PARTS)
def test_a_part_of_a_case_is_a_case(tmp_path: Path, case: str, name: str) -> None:
    prefix = name.partition("_")[0]
    description = copied(case, tmp_path)
    description.pop("sdedit", None)
    file = tmp_path / "spoiled.safetensors"
    kept = {key: tensor for key, tensor in load_file(file).items() if key.startswith(prefix)}
    save_file(kept, file)
    description["tensors"] = {key: description["tensors"][key] for key in kept}
    (tmp_path / "spoiled.json").write_text(json.dumps(description))
    assert failures(tmp_path) == []
    spoil(tmp_path, name)
    assert failures(tmp_path)


def test_a_table_of_shapes_is_a_case(tmp_path: Path) -> None:
    whole = case_at(FOLDER / "conditioning_resize.json").description
    (tmp_path / "shapes.json").write_text(json.dumps({name: whole[name] for name in ("case", "shape_table")}))
    assert failures(tmp_path) == []
    whole["shape_table"][0]["crop_left_top"][0] += 1
    (tmp_path / "shapes.json").write_text(json.dumps({"shape_table": whole["shape_table"]}))
    assert failures(tmp_path)


def test_another_network_is_noticed(tmp_path: Path) -> None:
    detection = case_at(FOLDER / "checkpoint_detection.json").description
    detection["rows"][0]["variant"] = "p2_14b_t2i"
    (tmp_path / "detection.json").write_text(json.dumps(detection))
    manifests = case_at(FOLDER / "key_manifests.json.gz").description
    manifests["variants"]["p1_7b_v2w"]["block_keys"].popitem()
    (tmp_path / "manifests.json.gz").write_bytes(gzip.compress(json.dumps(manifests).encode()))
    assert len(failures(tmp_path)) == 2
