"""TTT-Video's network: against diffusers' CogVideoX, its sizes, what it refuses, what may not leak between parts."""

import math
from dataclasses import replace

import pytest
import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from torch import Tensor

from engine.contract.errors import Rejected
from engine.layers.attention import SingleRankLayout
from engine.models.ttt.config import TttConfig, config_from
from engine.models.ttt.keys import our_key, our_key_of_diffusers
from engine.models.ttt.network import TttVideo
from engine.models.ttt.rotary import rotations
from tests.engine.models.ttt.factories import FULL, GRID, TINY, make_film, make_network, settings


def shapes_of(network: TttVideo) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def told(ours: Tensor, golden: Tensor, what: str) -> float:
    difference = (ours - golden).abs()
    print(f"{what}: max {difference.max():.2e}, mean {difference.mean():.2e}")
    return difference.max().item()


def close_gates(network: TttVideo) -> TttVideo:
    for name, weight in network.named_parameters():
        if name.endswith("gating_alpha"):
            weight.zero_()
    return network


def test_zero_gates_and_one_segment_are_diffusers_cogvideox() -> None:
    """One segment has no shared frame and no second text, and closed gates add nothing: what is left is CogVideoX.

    diffusers' block norms have eps 1e-5 by default and are given 1e-6, as TTT-Video's are.
    """
    config = replace(TINY, segment_latent_frames=12, mini_batch_size=1)
    network = close_gates(make_network(config))
    theirs = CogVideoXTransformer3DModel(
        num_attention_heads=config.num_heads,
        attention_head_dim=config.head_dim,
        in_channels=16,
        out_channels=16,
        time_embed_dim=config.time_width,
        text_embed_dim=config.text_width,
        num_layers=config.num_layers,
        norm_eps=1e-6,
        max_text_seq_length=5,
        use_rotary_positional_embeddings=True,
        sample_height=2 * GRID[0],
        sample_width=2 * GRID[1],
        sample_frames=49,
    ).eval()
    ours = network.state_dict()
    theirs.load_state_dict({key: ours[our_key_of_diffusers(key)] for key in theirs.state_dict()})
    left = set(ours) - {our_key_of_diffusers(key) for key in theirs.state_dict()}
    assert all("ssm" in key for key in left), "every other weight has its place in diffusers"
    x, timesteps, text = make_film(1, config)
    angles = rotations(config.head_dim, (13, *GRID)).flatten(0, 1).angle().repeat_interleave(2, dim=-1)
    with torch.no_grad():
        golden = theirs(
            x.transpose(1, 2), text[:, 0], timesteps[:, 0], image_rotary_emb=(angles.cos(), angles.sin())
        ).sample
    assert told(network(x, timesteps, text), golden.transpose(1, 2), "diffusers") < 1e-4
    alone = make_network(replace(config, ssm_layer="none"))
    alone.load_state_dict({key: value for key, value in ours.items() if key not in left})
    assert torch.equal(alone(x, timesteps, text), network(x, timesteps, text)), "without TTT layers: the same numbers"


@pytest.mark.parametrize(
    ("ssm_layer", "size", "num_parameters"),
    [("ttt_mlp", 64, 7_230_178_848), ("ttt_linear", 16, 7_171_860_000), ("none", 64, 5_570_283_072)],
)
def test_sizes_of_the_published_network(ssm_layer: str, size: int, num_parameters: int) -> None:
    with torch.device("meta"):
        network = TttVideo(replace(FULL, ssm_layer=ssm_layer, mini_batch_size=size))  # type: ignore[arg-type]
    assert sum(weight.numel() for weight in network.parameters()) == num_parameters
    given = settings(FULL, ssm_layer="ttt_mlp" if ssm_layer == "none" else ssm_layer, mini_batch_size=size)
    assert config_from(shapes_of(network), given, base=ssm_layer == "none") == network.config


@pytest.mark.parametrize("change", [{"num_layers": 3}, {"num_heads": 2}, {"inner_width": 2}, {"out_channels": 8}])
def test_sizes_are_read_from_weights(change: dict[str, int]) -> None:
    network = make_network(**change)
    assert config_from(shapes_of(network), settings()) == network.config


@pytest.mark.parametrize(
    ("config", "wanted", "base"),
    [
        (TINY, "ttt_linear", False),
        (replace(TINY, ssm_layer="ttt_linear"), "ttt_mlp", False),
        (replace(TINY, ssm_layer="none"), "ttt_mlp", False),
        (TINY, "ttt_mlp", True),
        (TINY, "none", False),
    ],
)
def test_another_ttt_layer_than_the_card_says_is_refused(config: TttConfig, wanted: str, base: bool) -> None:
    with pytest.raises(Rejected, match="ssm_layer") as caught:
        config_from(shapes_of(make_network(config)), settings(ssm_layer=wanted), base=base)
    assert caught.value.code == "weights"


@pytest.mark.parametrize("key", ["patch_embedding.vid_proj.weight", "layers.0.seq_modeling_block.q_norm.weight"])
def test_a_missing_key_is_named(key: str) -> None:
    shapes = shapes_of(make_network())
    del shapes[key]
    with pytest.raises(Rejected, match=key.replace(".", r"\.")):
        config_from(shapes, settings())


def test_head_widths_without_whole_rotary_pairs_are_refused() -> None:
    with pytest.raises(Rejected, match="head width 8"):
        config_from(shapes_of(make_network(num_heads=8)), settings())


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("dit.layers.3.mlp.layer1.weight", "layers.3.mlp.layer1.weight"),
        ("model.dit.time_embed.0.bias", "time_embed.0.bias"),
        ("optimizer.state.dit.time_embed.0.bias.exp_avg", None),
        ("metadata.wandb_id", None),
        ("something.else", "something.else"),
    ],
)
def test_keys_of_originals(key: str, ours: str | None) -> None:
    assert our_key(key) == ours


@pytest.mark.parametrize(("segments", "frames"), [(2, 4), (1, 7), (2, 8), (3, 1), (2, 6)])
def test_segments_that_do_not_fit_the_frames_are_refused(segments: int, frames: int) -> None:
    """The original answers with NaN (too few segments) or a shape error (too many)."""
    x, timesteps, text = make_film(segments)
    x = torch.randn(1, 16, frames, *x.shape[3:])
    with pytest.raises(Rejected, match=f"not {frames}") as caught:
        make_network()(x, timesteps, text)
    assert caught.value.code == "frames"


@pytest.mark.parametrize(
    ("shape", "code"),
    [((1, 5, 24), "text"), ((1, 2, 5, 23), "text"), ((1, 2, 0, 24), "text"), ((1, 0, 5, 24), "frames")],
)
def test_texts_of_another_shape_are_refused(shape: tuple[int, ...], code: str) -> None:
    x, timesteps, _ = make_film(2)
    with pytest.raises(Rejected) as caught:
        make_network()(x, timesteps, torch.zeros(shape))
    assert caught.value.code == code


def test_latents_that_do_not_divide_into_patches_are_refused() -> None:
    x, timesteps, text = make_film(2)
    with pytest.raises(Rejected, match="patches"):
        make_network()(x[..., :-1], timesteps, text)


@pytest.mark.parametrize("ssm_layer", ["ttt_mlp", "ttt_linear"])
@pytest.mark.parametrize("num_segments", [1, 2, 4, 7])
def test_every_whole_number_of_segments_gives_finite_numbers(ssm_layer: str, num_segments: int) -> None:
    """Also where text and video do not divide into mini-batches: the last one is shorter."""
    x, timesteps, text = make_film(num_segments)
    out = make_network(ssm_layer=ssm_layer)(x, timesteps, text)
    assert out.shape == x.shape and out.isfinite().all() and 0.1 < out.std() < 10


def test_films_of_a_batch_do_not_meet() -> None:
    network, (x, timesteps, text) = make_network(), make_film(2, batch=3)
    together = network(x, timesteps, text)
    apart = torch.cat([network(x[i : i + 1], timesteps[i : i + 1], text[i : i + 1]) for i in range(3)])
    assert told(together, apart, "batch of 3 against one at a time") < 1e-5


def test_texts_reach_other_segments_through_ttt_alone() -> None:
    network, (x, timesteps, text) = make_network(), make_film(4)
    other = text.clone()
    other[:, 0] += 1
    far = network(x, timesteps, other)[:, :, -3:] - network(x, timesteps, text)[:, :, -3:]
    assert far.abs().max() > 1e-3, "the story is carried"
    close_gates(network)
    # Two layers of windows that share a frame carry it as far as the third segment's first frame, and no further.
    far = network(x, timesteps, other)[:, :, -3:] - network(x, timesteps, text)[:, :, -3:]
    assert far.abs().max() == 0


def test_the_shared_frame_is_the_mean_of_its_two_segments() -> None:
    network, (x, _, text) = make_network(num_layers=1), make_film(2)
    block = network.layers[0].seq_modeling_block
    sequence = network.sequence_info(network.extent(x, text), (7, *GRID), SingleRankLayout(), x.device)
    text_tokens, video = torch.randn(1, 2, 5, 64), torch.randn(1, 7, 6, 64)
    _, together = block.attend(text_tokens, video, sequence.extent, sequence.rotations, sequence.layout)
    alone = []
    for i in range(2):
        single = replace(sequence.extent, num_segments=1, latent_frames=4)
        part = video[:, 3 * i : 3 * i + 4]
        alone.append(block.attend(text_tokens[:, i : i + 1], part, single, sequence.rotations[:4], sequence.layout)[1])
    shared = (alone[0][:, -1] + alone[1][:, 0]) / 2
    assert told(together[:, 3], shared, "shared frame") < 1e-6
    assert told(together[:, 4:], alone[1][:, 1:], "second segment") < 1e-6


def test_bfloat16_is_close() -> None:
    network, (x, timesteps, text) = make_network(), make_film(2)
    exact = network(x, timesteps, text)
    rough = network.bfloat16()(x.bfloat16(), timesteps, text.bfloat16())
    assert rough.dtype == torch.bfloat16
    mean = (rough.float() - exact).abs().mean() / exact.abs().mean()
    print(f"bfloat16: mean {mean:.2e} of the mean")
    assert mean < 0.1


def test_only_the_first_timestep_of_a_sample_counts() -> None:
    network, (x, timesteps, text) = make_network(), make_film(1)
    changed = timesteps.clone()
    changed[:, 1:] = math.nan
    assert torch.equal(network(x, timesteps, text), network(x, changed, text))
