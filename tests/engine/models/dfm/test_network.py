"""The network by itself: what each input does, what is refused, and that tokens may lie in any order."""

import pytest
import torch
from torch import Tensor

from engine.contract.errors import Rejected
from engine.layers.attention import SingleRankLayout
from engine.models.dfm.checkpoint import network_of
from engine.models.dfm.keys import from_megatron
from engine.models.dfm.network import DfmDiT, from_tokens, to_tokens
from engine.models.dfm.positions import sincos_table
from engine.models.dfm.run_config import RunConfig
from tests.engine.models.dfm.factories import MAX_FRAMES, MAX_IMG, NUM_HEADS, TEXT_WIDTH, tiny_state
from tests.goldens.runner import assert_close

TOLD = RunConfig(max_frames=MAX_FRAMES, max_img_h=MAX_IMG, max_img_w=MAX_IMG)


@pytest.fixture(scope="module")
def network() -> DfmDiT:
    return network_of(from_megatron(tiny_state(), "tiny"), TOLD, "tiny", torch.float32)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(frames: int = 3, height: int = 4, width: int = 6, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    x, text = drawn(batch, 16, frames, height, width), drawn(batch, 8, TEXT_WIDTH, seed=1)
    return x, torch.full((batch, frames), 0.3), text


class Shuffled:
    """One rank that keeps the tokens of each frame in another order: what differs shows what ignores the layout."""

    def __init__(self, num_tokens: int) -> None:
        self.order = torch.randperm(num_tokens, generator=torch.Generator().manual_seed(2))
        self.whole = SingleRankLayout()

    def scatter(self, tokens: Tensor) -> Tensor:
        return tokens[:, :, self.order]

    def gather(self, tokens: Tensor, tokens_per_frame: int) -> Tensor:
        assert tokens_per_frame == len(self.order)
        return tokens[:, :, self.order.argsort()]

    def self_attend(self, q: Tensor, k: Tensor, v: Tensor, tokens_per_frame: int) -> Tensor:
        return self.whole.self_attend(q, k, v, tokens_per_frame)


def test_tokens_may_lie_anywhere(network: DfmDiT) -> None:
    given = inputs()
    assert_close(network(*given, layout=Shuffled(2 * 3)), network(*given), 2e-5, what="shuffled tokens")


def test_samples_of_a_batch_do_not_meet(network: DfmDiT) -> None:
    x, _, text = inputs(batch=2)
    timesteps = torch.tensor([[0.3] * 3, [-0.8] * 3])
    together = network(x, timesteps, text)
    for index in range(2):
        alone = network(x[index : index + 1], timesteps[index : index + 1], text[index : index + 1])
        assert_close(together[index : index + 1], alone, 2e-5, what=f"sample {index}")


def test_without_fps_it_is_thirty(network: DfmDiT) -> None:
    given = inputs()
    assert torch.equal(network(*given), network(*given, fps=30.0))
    assert (network(*given, fps=24.0) - network(*given)).abs().max() > 1e-3


def test_rows_of_no_text_take_part(network: DfmDiT) -> None:
    """Zero rows are attended, not masked: more of them, another answer; without any text the cross-attention is 0."""
    x, timesteps, text = inputs()
    padded = torch.cat([text, torch.zeros(1, 8, TEXT_WIDTH)], dim=1)
    assert (network(x, timesteps, text) - network(x, timesteps, padded)).abs().max() > 1e-3
    block = network.blocks[0]
    attended = block.cross_attn(drawn(1, 3, 6, network.config.width), torch.zeros(1, 8, TEXT_WIDTH))
    assert torch.equal(attended, torch.zeros_like(attended))


def test_projections_are_interleaved_by_head(network: DfmDiT) -> None:
    """The plain twin of the fused projection: rows [q | k | v] of head 0, then of head 1."""
    attention, x = network.blocks[0].self_attn, drawn(1, 1, 5, network.config.width)
    size = network.config.head_dim
    heads = []
    for head in range(NUM_HEADS):
        q, k, v = (
            x[0, 0] @ rows.T for rows in attention.qkv.weight[3 * size * head : 3 * size * (head + 1)].split(size)
        )
        weights = torch.softmax(attention.q_norm(q) @ attention.k_norm(k).T * size**-0.5, dim=-1)
        heads.append(weights @ v)
    plain = torch.cat(heads, dim=-1) @ attention.out.weight.T
    assert_close(attention(x, SingleRankLayout(), 5)[0, 0], plain, 1e-5, what="self-attention")


def test_one_noise_level_a_sample(network: DfmDiT) -> None:
    x, timesteps, text = inputs()
    other = torch.cat([timesteps[:, :1], timesteps[:, 1:] + 1.0], dim=1)
    assert torch.equal(network(x, timesteps, text), network(x, other, text))
    assert not torch.equal(network(x, timesteps + 1.0, text), network(x, timesteps, text))


def test_masks_are_taken_and_not_read(network: DfmDiT) -> None:
    given, mask = inputs(), torch.ones(1, 1, 3, 4, 6)
    assert torch.equal(network(*given, condition_mask=mask, padding_mask=mask[:, 0, :1]), network(*given))


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((MAX_FRAMES + 1, 4, 4), "7 latent frames, at most 6"),
        ((2, MAX_IMG + 2, 4), "9 patches of height, at most 8"),
        ((2, 4, MAX_IMG + 2), "9 patches of width, at most 8"),
        ((2, 5, 4), "2 frames and 4x5 do not divide"),
    ],
)
def test_sizes_that_are_refused(network: DfmDiT, size: tuple[int, int, int], told: str) -> None:
    with pytest.raises(Rejected, match=told) as caught:
        network(*inputs(*size))
    assert caught.value.code == "size"


def test_the_largest_size_works(network: DfmDiT) -> None:
    assert torch.isfinite(network(*inputs(MAX_FRAMES, MAX_IMG, MAX_IMG))).all()


def test_a_row_of_the_table_by_hand() -> None:
    table = sincos_table((3, 4, 5), 32, torch.float64)
    frame, row, column = 2, 3, 1
    expected = []
    for position, width in ((frame, 8), (column, 12), (row, 12)):
        angles = position * 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
        expected += [angles.sin(), angles.cos()]
    assert_close(table[frame * 20 + row * 5 + column], torch.cat(expected), 1e-12, what="row")


@pytest.mark.parametrize("patch_temporal", [1, 2])
def test_tokens_and_back(patch_temporal: int) -> None:
    x = drawn(2, 3, 4, 6, 8)
    tokens = to_tokens(x, 2, patch_temporal)
    assert tokens.shape == (2, 4 // patch_temporal, 12, 12 * patch_temporal)
    assert torch.equal(from_tokens(tokens, (4 // patch_temporal, 3, 4), 2, patch_temporal), x)
    assert torch.equal(tokens[0, 0, 0, :3], x[0, :, 0, 0, 0]), "channels come first in a token's features"
