"""RoPE angles, in float32 and as the released scripts compute them in bfloat16.

Comes in: a case with slices of angle tables for several head sizes, ratios, grids and frame rates.
"""

from typing import Any

import torch
from torch import Tensor

from engine.layers.rotary import RotaryConfig, axis_dims, rope_angles
from tests.goldens.runner import Case, Description, assert_close, kind

BASE_FPS = 24.0


def is_table(description: Description) -> bool:
    configs = description.get("configs")
    return isinstance(configs, list) and all("ratios_t_h_w" in config for config in configs)


def angles_of(config: dict[str, Any], reference_bf16: bool = False) -> Tensor:
    """(T, h, w, d)."""
    ratio_t, ratio_h, ratio_w = config["ratios_t_h_w"]
    rotary = RotaryConfig(
        head_dim=config["head_dim"],
        ratio_t=ratio_t,
        ratio_h=ratio_h,
        ratio_w=ratio_w,
        base_fps=BASE_FPS if config["fps"] is not None else None,
        reference_bf16=reference_bf16,
    )
    grid = config["grid_T_H_W"]
    assert list(axis_dims(config["head_dim"])) == config["dims_t_h_w"]
    return rope_angles(rotary, (grid[0], grid[1], grid[2]), config["fps"]).unflatten(1, (grid[1], grid[2]))


def rows_of(config: dict[str, Any], angles: Tensor) -> Tensor:
    return torch.stack([angles[t, h, w] for t, h, w in config["row_tokens_t_h_w"]])


def axes_of(config: dict[str, Any], angles: Tensor) -> dict[str, Tensor]:
    """The angles along each axis, (n, d_axis / 2)."""
    t, h, w = angles[..., : config["head_dim"] // 2].split([dim // 2 for dim in config["dims_t_h_w"]], dim=-1)
    return {"t": t[:, 0, 0], "h": h[0, :, 0], "w": w[0, 0]}


@kind("rope_tables", recognises=is_table)
def float32(case: Case) -> None:
    golden, tolerance = case.tensors(), case.description["tolerance"]
    for config in case.description["configs"]:
        key, angles = config["key"], angles_of(config)
        close = tolerance["atol"], tolerance["rtol"]
        assert_close(rows_of(config, angles), golden[f"{key}_rows"], *close, f"{key} rows")
        for axis, ours in axes_of(config, angles).items():
            assert_close(ours[config[f"{axis}_index"]], golden[f"{key}_{axis}"], *close, f"{key} {axis}")


@kind("rope_tables", recognises=is_table)
def reference_bf16(case: Case) -> None:
    """Bit by bit, and as far from float32 as the case says."""
    golden, recorded = case.tensors(), case.description.get("bf16_buffer_angle_error_vs_fp32", {})
    for config in case.description["configs"]:
        key, angles = config["key"], angles_of(config, reference_bf16=True)
        if f"{key}_rows_bf16buf" in golden:
            assert_close(rows_of(config, angles), golden[f"{key}_rows_bf16buf"], 0.0, what=f"{key} rows")
        exact = axes_of(config, angles_of(config))
        for axis, ours in axes_of(config, angles).items():
            error = float((ours - exact[axis]).abs().max())
            print(f"{key} {axis}: {error:.4f} rad from float32")
            assert key not in recorded or abs(error - recorded[key][f"{axis}_max"]) <= 1e-5
