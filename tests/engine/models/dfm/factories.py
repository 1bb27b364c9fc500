"""Tiny DFM models with random weights, in every form that their files come in. For tests only.

Comes in: a models' root and a form. Goes out: the files and a card that reads them. Names and shapes are written down
here as Megatron writes them, independent of the reader's rules.
"""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
import yaml
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from engine.contract.card_values import AutoencoderSizes, NetworkSizes, Part, Parts, SamplerDefaults, TextSizes
from engine.contract.cards import ModelCard
from engine.contract.families.dfm import DfmSettings

WIDTH, NUM_BLOCKS, NUM_HEADS, TEXT_WIDTH, LORA, FPS_WIDTH = 64, 4, 4, 32, 8, 32
MAX_FRAMES, MAX_IMG, MAX_TOKENS = 6, 16, 24
HEAD_DIM = WIDTH // NUM_HEADS

FORMS = {
    "iteration": "the parent of two iter_* folders, layers stacked; the largest counts",
    "stacked": "one Megatron folder, layers stacked on axis 0",
    "indexed": "one Megatron folder, layers by their index",
    "pth": "a consolidated model.pth without prefix",
    "pth-module": "a consolidated model.pth, prefix module.",
    "pth-0.module": "a consolidated model.pth, prefix 0.module.",
    "safetensors": "one model.safetensors",
    "ranks": "mp_rank_TT_PPP folders of 2 tensor-parallel and 2 pipeline ranks, to be joined before use",
}

LAYER_SHAPES: dict[str, tuple[int, ...]] = {
    "full_self_attention.linear_qkv.weight": (3 * WIDTH, WIDTH),
    "full_self_attention.linear_proj.weight": (WIDTH, WIDTH),
    "full_self_attention.q_layernorm.weight": (HEAD_DIM,),
    "full_self_attention.k_layernorm.weight": (HEAD_DIM,),
    "cross_attention.linear_q.weight": (WIDTH, WIDTH),
    "cross_attention.linear_kv.weight": (2 * WIDTH, TEXT_WIDTH),
    "cross_attention.linear_proj.weight": (WIDTH, WIDTH),
    "cross_attention.q_layernorm.weight": (HEAD_DIM,),
    "cross_attention.k_layernorm.weight": (HEAD_DIM,),
    "mlp.linear_fc1.weight": (4 * WIDTH, WIDTH),
    "mlp.linear_fc2.weight": (WIDTH, 4 * WIDTH),
    "adaLN.adaLN_modulation.1.weight": (LORA, WIDTH),
    "adaLN.adaLN_modulation.2.weight": (9 * WIDTH, LORA),
}
OTHER_SHAPES: dict[str, tuple[int, ...]] = {
    "x_embedder.weight": (WIDTH, 64),
    "x_embedder.bias": (WIDTH,),
    "t_embedder.1.linear_1.weight": (WIDTH, WIDTH),
    "t_embedder.1.linear_1.bias": (WIDTH,),
    "t_embedder.1.linear_2.weight": (WIDTH, WIDTH),
    "t_embedder.1.linear_2.bias": (WIDTH,),
    "fps_embedder.1.linear_1.weight": (FPS_WIDTH, FPS_WIDTH),
    "fps_embedder.1.linear_1.bias": (FPS_WIDTH,),
    "fps_embedder.1.linear_2.weight": (FPS_WIDTH, FPS_WIDTH),
    "fps_embedder.1.linear_2.bias": (FPS_WIDTH,),
    "pos_embedder.pos_embedding.weight": (MAX_FRAMES * (MAX_IMG // 2) ** 2, WIDTH),
    "affline_norm.weight": (WIDTH,),
    "final_layer_linear.weight": (64, WIDTH),
    "final_layer_linear.bias": (64,),
}
RUN_CONFIG = {
    "num_layers": NUM_BLOCKS,
    "hidden_size": WIDTH,
    "num_attention_heads": NUM_HEADS,
    "num_query_groups": NUM_HEADS,
    "ffn_hidden_size": 4 * WIDTH,
    "crossattn_emb_size": TEXT_WIDTH,
    "layernorm_epsilon": 1e-5,
    "max_frames": MAX_FRAMES,
    "max_img_h": MAX_IMG,
    "max_img_w": MAX_IMG,
    "patch_spatial": 2,
    "patch_temporal": 1,
    "in_channels": 16,
    "sigma_data": 0.5,
    "gated_linear_unit": False,
    "add_bias_linear": False,
    "normalization": "LayerNorm",
}


def make_dfm(
    root: Path, form: str = "iteration", name: str = "tiny-dfm", cards_folder: Path | None = None
) -> ModelCard:
    """Writes ``root``/``name``/{network,tokenizer,t5} in a form of ``FORMS``, and ``cards_folder``/``name``.yaml."""
    folder = root / name
    write_network(folder / "network", form)
    write_tokenizer_programs(folder / "tokenizer")
    write_t5(folder / "t5")
    card = tiny_card(name)
    if cards_folder is not None:
        cards_folder.mkdir(parents=True, exist_ok=True)
        (cards_folder / f"{name}.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False))
    return card


def tiny_card(name: str = "tiny-dfm") -> ModelCard:
    return ModelCard(
        name=name,
        title="Tiny DFM",
        summary="Random weights, for tests.",
        family="dfm",
        licence="Apache-2.0",
        origin="made by the tests",
        parts=Parts(
            network=Part(folder=f"{name}/network", paths=("model.safetensors", "model.pth", ".")),
            autoencoder=Part(folder=f"{name}/tokenizer", paths=(".",)),
            text_encoder=Part(folder=f"{name}/t5", paths=(".",)),
        ),
        network=NetworkSizes(
            width=WIDTH, num_blocks=NUM_BLOCKS, num_heads=NUM_HEADS, patch_spatial=2, num_parameters=400_000
        ),
        autoencoder=AutoencoderSizes(
            kind="cv4x8x8", spatial_factor=8, temporal_factor=4, latent_channels=16, scale=0.5, precision="float32"
        ),
        text=TextSizes(max_tokens=MAX_TOKENS),
        parametrisation="edm",
        sigma_data=0.5,
        dfm=DfmSettings(norm_eps=1e-5, max_frames=MAX_FRAMES, max_patches=MAX_IMG // 2),
        sizes_px={"3:2": (48, 32), "1:1": (32, 32), "16:9": (64, 32)},
        default_aspect="3:2",
        fps=8,
        chunk_num_frames=9,
        max_duration_s=4.0,
        sampler=SamplerDefaults(name="euler", schedule="karras_to_zero", sigma_max=80.0, sigma_min=0.002, rho=7.0),
        num_steps=4,
        guidance_scale=8.0,
        precision="float32",
        capabilities=("text", "negative_prompt", "sdedit"),
    )


def tiny_state(seed: int = 0) -> dict[str, Tensor]:
    """Under the original's keys without prefix, layers by their index."""
    generator = torch.Generator().manual_seed(seed)

    def made(shape: tuple[int, ...], name: str) -> Tensor:
        values = torch.randn(shape, generator=generator)
        if len(shape) == 1:
            return 0.1 * values + (1.0 if name.endswith(".weight") else 0.0)
        return values * shape[-1] ** -0.5

    layers = {
        f"decoder.layers.{index}.{name}": made(shape, name)
        for index in range(NUM_BLOCKS)
        for name, shape in LAYER_SHAPES.items()
    }
    return {name: made(shape, name) for name, shape in OTHER_SHAPES.items()} | layers


def stacked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layers on a new axis 0, without their index, as Megatron Core writes homogeneous ones."""
    others = {name: tensor for name, tensor in state.items() if not name.startswith("decoder.layers.")}
    return others | {
        f"decoder.layers.{name}": torch.stack([state[f"decoder.layers.{i}.{name}"] for i in range(NUM_BLOCKS)])
        for name in LAYER_SHAPES
    }


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def write_network(folder: Path, form: str, state: Mapping[str, Tensor] | None = None) -> None:
    state = tiny_state() if state is None else state
    folder.mkdir(parents=True, exist_ok=True)
    if form == "iteration":
        write_megatron(folder / "iter_0000900", stacked(tiny_state(seed=1)))
        write_megatron(folder / "iter_0001000", stacked(state))
    elif form in ("stacked", "indexed"):
        write_megatron(folder, stacked(state) if form == "stacked" else state)
    elif form.startswith("pth"):
        prefix = form.partition("-")[2]
        torch.save(prefixed(state, f"{prefix}." if prefix else ""), folder / "model.pth")
        write_run_config(folder)
    elif form == "safetensors":
        save_file(prefixed(state, "module."), folder / "model.safetensors")
        write_run_config(folder)
    else:
        write_ranks(folder, state)


def write_megatron(folder: Path, state: Mapping[str, Tensor]) -> None:
    """A torch distributed checkpoint in two files, with what a training leaves in it beside the weights."""
    weights = prefixed(state, "module.")
    key = "module.decoder.layers.full_self_attention.linear_qkv._extra_state/shard_0_4"
    beside = {
        "module.decoder.layers.mlp.linear_fc1._extra_state/shard_1_4": io.BytesIO(b"transformer engine"),
        key: io.BytesIO(b"transformer engine"),
        "optimizer.state.exp_avg.module.x_embedder.weight": torch.zeros(WIDTH, 64),
        "rng_state/shard_0.0_1.1": io.BytesIO(b"rng"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told that there is no process group, which is the point
        writer = dcp.FileSystemWriter(folder, thread_count=2)
        dcp.save({**weights, **beside}, storage_writer=writer, no_dist=True)
    torch.save({"iteration": 1000}, folder / "common.pt")
    write_run_config(folder)


def write_run_config(folder: Path, **changes: object) -> None:
    """As Megatron-Bridge writes it: objects by their names, under ``model`` the network's."""
    gelu = {"_target_": "torch.nn.functional.gelu", "_call_": False}
    provider = "dfm.src.megatron.model.dit.dit_model_provider.DiTModelProvider"
    model = {"_target_": provider, "activation_func": gelu, **RUN_CONFIG, **changes}
    document = {"_target_": "megatron.bridge.training.config.ConfigContainer", "model": model, "train": {"iters": 1}}
    (folder / "run_config.yaml").write_text(yaml.safe_dump(document))


def write_ranks(folder: Path, state: Mapping[str, Tensor], num_slices: int = 2, num_stages: int = 2) -> None:
    """``mp_rank_TT_PPP/model_optim_rng.pt``: large projections sliced, layers shared out and numbered from 0."""
    for stage in range(num_stages):
        for piece in range(num_slices):
            part = prefixed(rank_state(state, piece, num_slices, stage, num_stages), "module.")
            place = folder / (f"mp_rank_{piece:02d}" + (f"_{stage:03d}" if num_stages > 1 else ""))
            place.mkdir(parents=True, exist_ok=True)
            torch.save({"model": part, "iteration": 1000, "checkpoint_version": 3.0}, place / "model_optim_rng.pt")
    write_run_config(folder)


def rank_state(
    state: Mapping[str, Tensor], piece: int, num_slices: int, stage: int, num_stages: int
) -> dict[str, Tensor]:
    """What one rank holds."""
    num_layers = NUM_BLOCKS // num_stages
    first, last = stage == 0, stage == num_stages - 1
    part: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith("decoder.layers."):
            index, rest = name.removeprefix("decoder.layers.").split(".", 1)
            if int(index) // num_layers == stage:
                part[f"decoder.layers.{int(index) % num_layers}.{rest}"] = sliced(rest, tensor, piece, num_slices)
        elif (first or not name.startswith(("x_embedder", "pos_embedder"))) and (last or "final_layer" not in name):
            part[name] = tensor
    return part


def sliced(name: str, tensor: Tensor, piece: int, num_slices: int) -> Tensor:
    if name.endswith(("linear_qkv.weight", "linear_q.weight", "linear_kv.weight", "linear_fc1.weight")):
        return tensor.chunk(num_slices, dim=0)[piece].clone()
    if name.endswith(("linear_proj.weight", "linear_fc2.weight")):
        return tensor.chunk(num_slices, dim=1)[piece].clone()
    return tensor


class Encoder(nn.Module):
    """Pixels to latents: every fourth frame, 8x8 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv3d(3, 16, (1, 8, 8), (1, 8, 8))

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return (self.patches(pixels[:, :, ::4]),)


class Decoder(nn.Module):
    """Latents to pixels: the first frame alone, every other one four times."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.ConvTranspose3d(16, 3, (1, 8, 8), (1, 8, 8))

    def forward(self, latents: Tensor) -> Tensor:
        pixels = torch.tanh(self.patches(latents))
        return torch.cat([pixels[:, :, :1], pixels[:, :, 1:].repeat_interleave(4, dim=2)], dim=2)


def write_tokenizer_programs(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Encoder().eval()).save(str(folder / "encoder.jit"))
        torch.jit.script(Decoder().eval()).save(str(folder / "decoder.jit"))


def write_t5(folder: Path) -> None:
    """A T5 encoder of one layer and a tokenizer of one token per character, in transformers' layout."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["<pad>", "</s>", "<unk>", *(chr(c) for c in range(32, 127))]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
    fast.save_pretrained(folder)
    torch.manual_seed(4)
    config = T5Config(
        vocab_size=len(vocabulary),
        d_model=TEXT_WIDTH,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )
    T5EncoderModel(config).eval().save_pretrained(folder)
