"""A shard without block 0 is recognised by the blocks that it holds."""

import pytest

from engine.models.cosmos.recognise import Shapes, recognise

SHARDS: dict[str, Shapes] = {
    "original predict2": {"x_embedder.proj.1.weight": (2048, 72), "blocks.3.self_attn.q_proj.weight": (2048, 2048)},
    "original predict1": {
        "x_embedder.proj.1.weight": (4096, 72),
        "blocks.block9.blocks.0.block.attn.to_q.0.weight": (4096, 4096),
    },
    "diffusers predict2": {
        "patch_embed.proj.weight": (2048, 72),
        "transformer_blocks.5.attn1.to_q.weight": (2048, 2048),
    },
    "own predict2": {"patch_embed.weight": (2048, 72), "blocks.1.self_attn.q.weight": (2048, 2048)},
}


@pytest.mark.parametrize("name", SHARDS)
def test_a_shard_without_block_0_is_a_cosmos_network(name: str) -> None:
    form, generation = name.split()
    seen = recognise(SHARDS[name])
    assert (seen.form, seen.generation, seen.num_blocks) == (form, generation, 1), seen.what
