"""Tiny Cosmos models with random weights, written in every format the released ones come in. For tests only.

Comes in: a models' root. Goes out: files below it, and the card that finds them. Does not know the engine's readers:
names and wrappings are the originals', written out here. A card's films are 48 x 32 pixels and take a second.

Letters: C latent channels, T latent frames, D width.
"""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
import yaml
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor

from engine.contract.card_values import AutoencoderSizes, NetworkSizes, Part, Parts, SamplerDefaults, TextSizes
from engine.contract.cards import ModelCard
from engine.contract.families.cosmos import CosmosSettings
from engine.models.cosmos.network import CosmosConfig, CosmosDiT
from tests.engine.models.cosmos.codec_factories import (
    LATENT_CHANNELS,
    write_cv8x8x8_diffusers,
    write_cv8x8x8_jit,
    write_fast_tokenizer,
    write_t5,
    write_wan,
)
from tests.engine.runtime.tiny import MAX_TOKENS, TEXT_WIDTH

Form = Literal["pt", "both_ema", "only_ema", "safetensors", "diffusers", "own"]
Wrapping = Literal["plain", "model", "module", "state_dict", "ema", "diffusers"]
Kind = Literal["text2image", "text2world", "video2world"]
FORMS, WRAPPINGS = get_args(Form), get_args(Wrapping)

WIDTH, NUM_BLOCKS, NUM_HEADS, ADALN_DIM = 48, 2, 4, 8
BLOCKS_OF = {"": NUM_BLOCKS, "2b": 28, "14b": 36}
EXTRA_GRID = (8, 6, 6)
"""Largest (T, h, w) of Predict1's learnt position tables."""
SIZES_PX = {"3:2": (48, 32), "1:1": (32, 32), "16:9": (64, 32)}


def make_predict2(
    models_root: Path,
    form: Form = "pt",
    kind: Kind = "video2world",
    name: str = "tiny-predict2",
    first_frame: str | None = None,
    fast_tokenizer: bool = False,
    neighborhood: Literal["", "2b", "14b"] = "",
) -> ModelCard:
    """A Predict2 network in one of its forms, a Wan ``tokenizer.pth``, a T5 folder as the hub's.

    neighborhood: as the sparse variants, with as many blocks as their pattern has.
    """
    folder, sizes = models_root / name, config("predict2", kind, BLOCKS_OF[neighborhood])
    state = random_state(sizes)
    path = write_predict2(folder, state, form, sizes)
    if fast_tokenizer:
        write_fast_tokenizer(folder / "tokenizer_fast/tokenizer.pth")
    else:
        write_wan(folder / "tokenizer/tokenizer.pth")
    write_t5(models_root / "t5-11b")
    autoencoder = "tokenizer_fast/tokenizer.pth" if fast_tokenizer else "tokenizer/tokenizer.pth"
    kind_of = "image_jit" if fast_tokenizer else "wan"
    return ModelCard(
        **shared(name, path, autoencoder, state, sizes.num_blocks),
        makes="picture" if kind == "text2image" else "video",
        autoencoder=AutoencoderSizes(
            kind=kind_of, spatial_factor=8, temporal_factor=4, latent_channels=LATENT_CHANNELS
        ),
        cosmos=CosmosSettings(generation="predict2", rope_ratio_h=4.0, rope_ratio_w=4.0, neighborhood=neighborhood),
        chunk_num_frames=1 if kind == "text2image" else 9,
        conditioning_num_frames=() if kind == "text2image" else (1, 5),
        continue_num_frames=1 if kind == "text2image" else 5,
        first_frame=first_frame,
        sampler=SamplerDefaults(name="res_2ab"),
        capabilities=("text", "negative_prompt")
        if kind == "text2image"
        else ("text", "image", "clip", "continue", "sdedit", "negative_prompt"),
    )


def make_predict1(
    models_root: Path,
    wrapping: Wrapping = "plain",
    kind: Kind = "video2world",
    name: str = "tiny-predict1",
    autoencoder: Literal["jit", "diffusers"] = "jit",
) -> ModelCard:
    """A Predict1 ``model.pt`` in one of its wrappings, CV8x8x8 as TorchScript or in diffusers' layout, a T5 folder."""
    folder, sizes = models_root / name, config("predict1", kind)
    state = random_state(sizes)
    path = write_predict1(folder, state, wrapping, sizes)
    (write_cv8x8x8_jit if autoencoder == "jit" else write_cv8x8x8_diffusers)(folder / "CV8x8x8-720p")
    write_t5(models_root / "t5-11b")
    return ModelCard(
        **shared(name, path, "CV8x8x8-720p", state),
        autoencoder=AutoencoderSizes(
            kind="cv8x8x8", spatial_factor=8, temporal_factor=8, latent_channels=LATENT_CHANNELS, scale=0.5
        ),
        parametrisation="edm",
        sigma_data=0.5,
        cosmos=CosmosSettings(generation="predict1", rope_ratio_t=2.0),
        chunk_num_frames=17,
        conditioning_num_frames=() if kind == "text2world" else (1, 9),
        continue_num_frames=1 if kind == "text2world" else 9,
        sampler=SamplerDefaults(name="euler", schedule="karras_to_zero", sigma_min=0.0002),
        capabilities=("text", "negative_prompt")
        if kind == "text2world"
        else ("text", "image", "clip", "continue", "negative_prompt"),
    )


def shared(
    name: str, network: str, autoencoder: str, state: dict[str, Tensor], num_blocks: int = NUM_BLOCKS
) -> dict[str, Any]:
    """What every tiny card says."""
    return {
        "name": name,
        "title": name,
        "summary": "Random weights, for tests.",
        "family": "cosmos",
        "licence": "Apache-2.0",
        "origin": "made by the tests",
        "parts": Parts(
            network=Part(folder=name, paths=(network,)),
            autoencoder=Part(folder=name, paths=(autoencoder,)),
            text_encoder=Part(folder=".", paths=("t5-11b",)),
        ),
        "network": NetworkSizes(
            width=WIDTH,
            num_blocks=num_blocks,
            num_heads=NUM_HEADS,
            patch_spatial=2,
            num_parameters=sum(tensor.numel() for tensor in state.values()),
        ),
        "text": TextSizes(max_tokens=MAX_TOKENS),
        "sizes_px": SIZES_PX,
        "default_aspect": "3:2",
        "fps": 8,
        "max_duration_s": 60.0,
        "num_steps": 3,
        "guidance_scale": 3.0,
        "precision": "float32",
    }


def write_card(card: ModelCard, cards_folder: Path) -> Path:
    cards_folder.mkdir(parents=True, exist_ok=True)
    path = cards_folder / f"{card.name}.yaml"
    document = card.model_dump(mode="json", exclude={"name"})
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


# The network, under our names: what every form is written from.


def config(generation: Literal["predict1", "predict2"], kind: Kind, num_blocks: int = NUM_BLOCKS) -> CosmosConfig:
    predict1 = generation == "predict1"
    return CosmosConfig(
        width=WIDTH,
        num_blocks=num_blocks,
        num_heads=NUM_HEADS,
        text_width=TEXT_WIDTH,
        adaln_lora_dim=ADALN_DIM,
        condition_mask=kind == "video2world",
        rope_ratio_t=2.0 if predict1 else 1.0,
        rope_ratio_h=1.0 if predict1 else 4.0,
        rope_ratio_w=1.0 if predict1 else 4.0,
        rope_base_fps=24.0 if predict1 else None,
        extra_pos_embed=EXTRA_GRID if predict1 else None,
    )


def random_state(sizes: CosmosConfig, seed: int = 5) -> dict[str, Tensor]:
    """Weights of such a size that every branch of the network shows in its output."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return {name: tensor.detach().contiguous() for name, tensor in CosmosDiT(sizes).state_dict().items()}


PREDICT2_NAMES = (
    ("patch_embed.", "x_embedder.proj.1."),
    ("time_embed.norm.", "t_embedding_norm."),
    ("time_embed.", "t_embedder.1."),
    ("final.linear.", "final_layer.linear."),
    ("final.modulation.down.", "final_layer.adaln_modulation.1."),
    ("final.modulation.up.", "final_layer.adaln_modulation.2."),
    (".mlp.up.", ".mlp.layer1."),
    (".mlp.down.", ".mlp.layer2."),
    ("attn.q.", "attn.q_proj."),
    ("attn.k.", "attn.k_proj."),
    ("attn.v.", "attn.v_proj."),
    ("attn.out.", "attn.output_proj."),
    *((f"modulation_{part}.down.", f"adaln_modulation_{part}.1.") for part in ("self_attn", "cross_attn", "mlp")),
    *((f"modulation_{part}.up.", f"adaln_modulation_{part}.2.") for part in ("self_attn", "cross_attn", "mlp")),
)
PREDICT1_NAMES = (
    ("patch_embed.", "x_embedder.proj.1."),
    ("time_embed.norm.", "affline_norm."),
    ("time_embed.", "t_embedder.1."),
    ("extra_pos_embed.", "extra_pos_embedder.pos_emb_"),
    ("final.linear.", "final_layer.linear."),
    ("final.modulation.down.", "final_layer.adaLN_modulation.1."),
    ("final.modulation.up.", "final_layer.adaLN_modulation.2."),
    ("modulation_self_attn.down.", "blocks.0.adaLN_modulation.1."),
    ("modulation_self_attn.up.", "blocks.0.adaLN_modulation.2."),
    ("modulation_cross_attn.down.", "blocks.1.adaLN_modulation.1."),
    ("modulation_cross_attn.up.", "blocks.1.adaLN_modulation.2."),
    ("modulation_mlp.down.", "blocks.2.adaLN_modulation.1."),
    ("modulation_mlp.up.", "blocks.2.adaLN_modulation.2."),
    ("self_attn.", "blocks.0.block.attn."),
    ("cross_attn.", "blocks.1.block.attn."),
    (".mlp.up.", ".blocks.2.block.layer1."),
    (".mlp.down.", ".blocks.2.block.layer2."),
    *((f"attn.{part}.", f"attn.to_{part}.0.") for part in ("q", "k", "v", "out")),
    ("attn.q_norm.", "attn.to_q.1."),
    ("attn.k_norm.", "attn.to_k.1."),
)


def named(state: dict[str, Tensor], table: tuple[tuple[str, str], ...], prefix: str = "") -> dict[str, Tensor]:
    def theirs(name: str) -> str:
        for ours, other in table:
            name = name.replace(ours, other)
        return prefix + name

    return {theirs(name): tensor for name, tensor in state.items()}


def as_predict2(state: dict[str, Tensor], prefix: str = "net.") -> dict[str, Tensor]:
    """With the buffers, counters and extra states of a real file."""
    rotary = WIDTH // NUM_HEADS // 6
    extras = {
        "pos_embedder.seq": torch.arange(128).float(),
        "pos_embedder.dim_spatial_range": torch.zeros(rotary),
        "pos_embedder.dim_temporal_range": torch.zeros(rotary),
        **{f"accum_{what}": torch.tensor(7) for what in ("video_sample_counter", "image_sample_counter", "iteration")},
        "accum_train_in_hours": torch.tensor(0.5),
        "t_embedding_norm._extra_state": torch.empty(0, dtype=torch.uint8),
    }
    return named(state, PREDICT2_NAMES, prefix) | {prefix + name: tensor for name, tensor in extras.items()}


def as_predict1(state: dict[str, Tensor], prefix: str = "net.") -> dict[str, Tensor]:
    numbered = {name.replace("blocks.", "blocks.block", 1): tensor for name, tensor in state.items()}
    heads = {"logvar.0.freqs": torch.zeros(4), "logvar.0.phases": torch.zeros(4), "logvar.1.weight": torch.zeros(1, 4)}
    return named(numbered, PREDICT1_NAMES, prefix) | {f"{prefix}pos_embedder.seq": torch.zeros(8)} | heads


def write_predict2(folder: Path, state: dict[str, Tensor], form: Form, sizes: CosmosConfig) -> str:
    """-> the path below ``folder``. ``both_ema``: the averaged copy is the real one, the plain one is zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    match form:
        case "pt":
            extra = {"net.final_layer._extra_state": io.BytesIO(b"fp8")}
            torch.save({**as_predict2(state), **extra}, folder / "model.pt")
        case "both_ema":
            plain = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
            torch.save(as_predict2(plain) | as_predict2(state, "net_ema."), folder / "model.pt")
        case "only_ema":
            torch.save(as_predict2(state, "net_ema."), folder / "model.pt")
        case "safetensors":
            save_file(as_predict2(state), folder / "model.safetensors")
            return "model.safetensors"
        case "diffusers":
            write_diffusers(folder / "transformer", state, sizes)
            return "transformer"
        case "own":
            (folder / "transformer").mkdir()
            save_file(state, folder / "transformer/model.safetensors")
            (folder / "transformer/config.json").write_text(json.dumps(asdict(sizes)))
            return "transformer"
    return "model.pt"


def write_predict1(folder: Path, state: dict[str, Tensor], wrapping: Wrapping, sizes: CosmosConfig) -> str:
    """-> the path below ``folder``. ``ema``: both copies, in which the plain one is the real one."""
    folder.mkdir(parents=True, exist_ok=True)
    if wrapping == "diffusers":
        write_diffusers(folder / "transformer", state, sizes)
        return "transformer"
    plain = as_predict1(state)
    averaged = {name.replace(".", "-"): tensor + 1 for name, tensor in plain.items()}
    document = {
        "plain": plain,
        "model": {"model": plain, "iteration": 3},
        "module": {"module": plain},
        "state_dict": {"state_dict": plain},
        "ema": {"model": plain, "ema": averaged},
    }[wrapping]
    torch.save(document, folder / "model.pt")
    return "model.pt"


def diffusers_twin(
    state: dict[str, Tensor], sizes: CosmosConfig, masks_given: bool = False, eps: float = 1e-6
) -> CosmosTransformer3DModel:
    """diffusers' own network with the same weights.

    masks_given: both masks come as channels of its input (to resize one itself it needs torchvision). eps: of its
    q/k norms; 1e-5 by its default, 1e-6 in the original.
    """
    t, h, w = sizes.extra_pos_embed or (128, 120, 120)
    theirs = CosmosTransformer3DModel(
        in_channels=sizes.in_channels + int(sizes.condition_mask) + int(masks_given),
        out_channels=sizes.out_channels,
        num_attention_heads=sizes.num_heads,
        attention_head_dim=sizes.head_dim,
        num_layers=sizes.num_blocks,
        mlp_ratio=sizes.mlp_ratio,
        text_embed_dim=sizes.text_width,
        adaln_lora_dim=sizes.adaln_lora_dim,
        max_size=(t, 2 * h, 2 * w),
        patch_size=(1, 2, 2),
        rope_scale=(sizes.rope_ratio_t, sizes.rope_ratio_h, sizes.rope_ratio_w),
        concat_padding_mask=not masks_given,
        extra_pos_embed_type="learnable" if sizes.extra_pos_embed else None,
    ).eval()
    theirs.load_state_dict(named(state, DIFFUSERS_NAMES))
    for name, module in theirs.named_modules():
        if name.endswith(("norm_q", "norm_k")):
            cast(Any, module).eps = eps
    return theirs


DIFFUSERS_NAMES = (
    ("patch_embed.", "patch_embed.proj."),
    ("time_embed.linear", "time_embed.t_embedder.linear"),
    ("extra_pos_embed.", "learnable_pos_embed.pos_emb_"),
    ("final.linear.", "proj_out."),
    ("final.modulation.down.", "norm_out.linear_1."),
    ("final.modulation.up.", "norm_out.linear_2."),
    ("blocks.", "transformer_blocks."),
    *(
        (f"modulation_{part}.down.", f"norm{n}.linear_1.")
        for n, part in ((1, "self_attn"), (2, "cross_attn"), (3, "mlp"))
    ),
    *(
        (f"modulation_{part}.up.", f"norm{n}.linear_2.")
        for n, part in ((1, "self_attn"), (2, "cross_attn"), (3, "mlp"))
    ),
    (".mlp.up.", ".ff.net.0.proj."),
    (".mlp.down.", ".ff.net.2."),
    ("attn.q_norm.", "attn.norm_q."),
    ("attn.k_norm.", "attn.norm_k."),
    *((f"attn.{part}.", f"attn.to_{part}.") for part in ("q", "k", "v")),
    ("attn.out.", "attn.to_out.0."),
    ("self_attn.", "attn1."),
    ("cross_attn.", "attn2."),
)


def write_diffusers(folder: Path, state: dict[str, Tensor], sizes: CosmosConfig) -> None:
    """Sharded, as the released ones are."""
    diffusers_twin(state, sizes).save_pretrained(folder, max_shard_size="60KB")
