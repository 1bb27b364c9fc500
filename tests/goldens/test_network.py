"""Our network against the original's numbers: every released architecture, read through the rules for original keys."""

import pytest
import torch

from engine.layers.rotary import RotaryConfig, axis_dims, rope_angles
from tests.goldens.cases import assert_close, description, network_of, tensors

ATOL, RTOL = 5e-5, 1e-4


@pytest.mark.parametrize("case", ["p2_v2w_dit_2b", "p2_v2w_dit_14b"])
def test_video_to_world_network(case: str) -> None:
    golden, network = tensors(case), network_of(case)
    x = golden["latent_in"]
    mask = golden["condition_mask"].expand(-1, -1, -1, *x.shape[-2:])
    out = network(x, golden["timesteps"], golden["text"], condition_mask=mask)
    assert_close(out, golden["out"], ATOL, RTOL, case)


@pytest.mark.parametrize("output", ["out", "out_with_padding_mask"])
def test_text_to_image_network(output: str) -> None:
    golden, network = tensors("p2_t2i_dit"), network_of("p2_t2i_dit")
    padding = golden["padding_mask_pixels"].float() if output != "out" else None
    timesteps = golden["timesteps"][:, None]
    out = network(golden["latent_in"], timesteps, golden["text"], padding_mask=padding)
    assert_close(out, golden[output], ATOL, RTOL, output)


@pytest.mark.parametrize("case", ["p1_t2w_dit", "p1_v2w_dit"])
@pytest.mark.parametrize("output", ["out", "out_fps24"])
def test_predict1_network(case: str, output: str) -> None:
    golden, network = tensors(case), network_of(case)
    if output not in golden:
        pytest.skip("this case has one frame rate")
    x = golden["latent_in"]
    timesteps = golden["timesteps"][:, None].expand(-1, x.shape[2])
    mask = golden.get("condition_mask")
    mask = mask.expand(-1, -1, -1, *x.shape[-2:]) if mask is not None else None
    fps = 24.0 if output == "out_fps24" else float(description(case)["fps"])
    out = network(x, timesteps, golden["text"], condition_mask=mask, fps=fps)
    assert_close(out, golden[output], ATOL, RTOL, f"{case} {output}")


@pytest.mark.parametrize("config", description("rope_tables")["configs"], ids=lambda config: config["key"])
def test_rotary_angles(config: dict) -> None:
    golden, grid = tensors("rope_tables"), tuple(config["grid_T_H_W"])
    ratio_t, ratio_h, ratio_w = config["ratios_t_h_w"]
    fps = config["fps"]
    rotary = RotaryConfig(
        head_dim=config["head_dim"],
        ratio_t=ratio_t,
        ratio_h=ratio_h,
        ratio_w=ratio_w,
        base_fps=24.0 if fps is not None else None,
    )
    assert list(axis_dims(config["head_dim"])) == config["dims_t_h_w"]
    angles = rope_angles(rotary, grid, fps)
    rows = torch.stack([angles[t, h * grid[2] + w] for t, h, w in config["row_tokens_t_h_w"]])
    assert_close(rows, golden[f"{config['key']}_rows"], 1e-5, 1e-6, config["key"])
