"""Tiny TTT-Video models with random weights, in every form that their files come in. For tests only.

Comes in: a models' root and a form. Goes out: the files and a card that reads them. Names are written down here as the
originals write them, independent of the reader's rules.
"""

import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
import torch.distributed.checkpoint as dcp
import yaml
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import T5Config, T5EncoderModel

from engine.contract.card_values import AutoencoderSizes, Joint, NetworkSizes, Part, Parts, SamplerDefaults, TextSizes
from engine.contract.cards import ModelCard
from engine.contract.families.ttt import TttSettings
from engine.models.ttt.config import SsmLayer, TttConfig
from tests.engine.models.ttt.factories import TINY, make_network

FORMS = {
    "dcp_bare": "a distributed checkpoint converted from CogVideoX: keys dit.*, bfloat16",
    "dcp_nested": "a training's checkpoint folder with two steps: keys model.dit.*, float32, optimizer beside them",
    "safetensors": "one safetensors file, keys dit.*",
    "pt": "one .pt file with the state dict under `model`, keys dit.*",
    "diffusers": "CogVideoX-5B's transformer in diffusers' layout, in parts: the base without TTT layers",
}
AUTOENCODERS = ("diffusers", "sat")
SEGMENT_LATENT_FRAMES, MAX_TOKENS, SPARE_ROWS = 2, 78, 5
CONFIG: TttConfig = replace(TINY, segment_latent_frames=SEGMENT_LATENT_FRAMES)
PATHS = {
    "dcp_bare": ".",
    "dcp_nested": ".",
    "safetensors": "model.safetensors",
    "pt": "model.pt",
    "diffusers": "transformer",
}


def make_ttt(
    root: Path,
    form: str = "dcp_nested",
    name: str = "tiny-ttt",
    cards_folder: Path | None = None,
    ssm_layer: Literal["ttt_mlp", "ttt_linear"] = "ttt_mlp",
    autoencoder: str = "sat",
) -> ModelCard:
    """Writes ``root``/``name``/{network,vae,t5} in a form of ``FORMS``, and ``cards_folder``/``name``.yaml."""
    folder = root / name
    write_network(folder / "network", form, ssm_layer)
    write_autoencoder(folder / "vae", autoencoder)
    write_t5(folder / "t5")
    card = tiny_card(name, form, ssm_layer, autoencoder)
    if cards_folder is not None:
        cards_folder.mkdir(parents=True, exist_ok=True)
        (cards_folder / f"{name}.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False))
    return card


def tiny_card(
    name: str = "tiny-ttt",
    form: str = "dcp_nested",
    ssm_layer: Literal["ttt_mlp", "ttt_linear"] = "ttt_mlp",
    autoencoder: str = "sat",
) -> ModelCard:
    return ModelCard(
        name=name,
        title="Tiny TTT",
        summary="Random weights, for tests.",
        family="ttt",
        licence="Apache-2.0",
        origin="made by the tests",
        parts=Parts(
            network=Part(folder=f"{name}/network", paths=(PATHS[form],)),
            autoencoder=Part(folder=f"{name}/vae", paths=("3d-vae.pt" if autoencoder == "sat" else ".",)),
            text_encoder=Part(folder=f"{name}/t5", paths=(".",)),
        ),
        network=NetworkSizes(
            width=CONFIG.width,
            num_blocks=CONFIG.num_layers,
            num_heads=CONFIG.num_heads,
            patch_spatial=2,
            num_parameters=191_720,
        ),
        autoencoder=AutoencoderSizes(
            kind="cogvideox",
            spatial_factor=8,
            temporal_factor=4,
            latent_channels=16,
            scale=0.7 if form == "diffusers" else 1.0,
        ),
        text=TextSizes(max_tokens=MAX_TOKENS, by_num_segments={1: MAX_TOKENS, 3: MAX_TOKENS}),
        parametrisation="v_zero_snr",
        ttt=TttSettings(
            ssm_layer=ssm_layer, mini_batch_size=4, base_lr=1.0, segment_latent_frames=SEGMENT_LATENT_FRAMES
        ),
        joint=Joint(segment_num_frames=4 * SEGMENT_LATENT_FRAMES, trained_num_segments=(1, 3), max_num_segments=21),
        sizes_px={"3:2": (48, 32), "1:1": (32, 32)},
        default_aspect="3:2",
        fps=8,
        chunk_num_frames=4 * SEGMENT_LATENT_FRAMES + 1,
        max_duration_s=21.0,
        sampler=SamplerDefaults(name="dpmpp_2m_sde", allowed=("dpmpp_2m_sde", "ddim"), schedule="zero_snr"),
        num_steps=4,
        guidance_scale=6.0,
        guidance_schedule="ramp",
        precision="float32",
        capabilities=("text", "negative_prompt"),
    )


def tiny_state(ssm_layer: SsmLayer = "ttt_mlp", seed: int = 1) -> dict[str, Tensor]:
    """Under the names that all forms but diffusers' build on, without prefix."""
    return dict(make_network(CONFIG, seed, ssm_layer=ssm_layer).state_dict())


def write_network(folder: Path, form: str, ssm_layer: SsmLayer = "ttt_mlp") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if form == "diffusers":
        torch.manual_seed(1)
        base_transformer().save_pretrained(folder / "transformer", max_shard_size="200KB")
        return
    prefixed = {f"dit.{name}": tensor for name, tensor in tiny_state(ssm_layer).items()}
    if form == "dcp_bare":
        save_dcp({name: tensor.bfloat16() for name, tensor in prefixed.items()}, folder)
    elif form == "dcp_nested":
        older = {f"dit.{name}": tensor for name, tensor in tiny_state(ssm_layer, seed=2).items()}
        save_dcp(training(older), folder / "step-90")
        save_dcp(training(prefixed), folder / "step-200")
    elif form == "safetensors":
        save_file(prefixed, folder / "model.safetensors")
    else:
        torch.save({"model": prefixed, "metadata": {"wandb_id": "abc"}}, folder / "model.pt")


def training(state: Mapping[str, Tensor]) -> dict[str, object]:
    """What the authors' training saves: the model is one entry of several."""
    moments = {name: {"step": torch.tensor(3.0), "exp_avg": tensor * 0} for name, tensor in list(state.items())[:3]}
    groups = [{"lr": 1e-4, "betas": (0.9, 0.95), "params": list(state)}]
    return {
        "model": dict(state),
        "optimizer": {"state": moments, "param_groups": groups},
        "lr_scheduler": {"last_epoch": 3, "base_lrs": [1e-4]},
        "data_module": {"seen": 12},
        "metadata": {"wandb_id": "abc"},
    }


def save_dcp(state: Mapping[str, object], folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that one process saves alone, which is meant
        dcp.save(dict(state), checkpoint_id=folder, no_dist=True)


def base_transformer() -> CogVideoXTransformer3DModel:
    return CogVideoXTransformer3DModel(
        num_attention_heads=CONFIG.num_heads,
        attention_head_dim=CONFIG.head_dim,
        in_channels=CONFIG.in_channels,
        out_channels=CONFIG.out_channels,
        time_embed_dim=CONFIG.time_width,
        text_embed_dim=CONFIG.text_width,
        num_layers=CONFIG.num_layers,
        use_rotary_positional_embeddings=True,
    )


def write_autoencoder(folder: Path, form: str) -> None:
    """In diffusers' layout, or as SAT's ``3d-vae.pt`` with a discriminator's weights beside the autoencoder's."""
    torch.manual_seed(3)
    model = AutoencoderKLCogVideoX(block_out_channels=(32, 32, 32, 32), layers_per_block=1, latent_channels=16)
    folder.mkdir(parents=True, exist_ok=True)
    if form == "diffusers":
        model.save_pretrained(folder)
        return
    state = {sat_name(name): tensor for name, tensor in model.state_dict().items()}
    state["loss.discriminator.0.weight"] = torch.ones(2)
    torch.save({"state_dict": state}, folder / "3d-vae.pt")


def sat_name(name: str) -> str:
    """diffusers' name of an autoencoder's tensor as SAT has it."""
    name = re.sub(r"up_blocks\.(\d)", lambda match: f"up.{3 - int(match[1])}", name).replace("down_blocks.", "down.")
    name = name.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    name = name.replace("resnets.", "block.").replace("conv_shortcut", "nin_shortcut")
    return name.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")


def write_t5(folder: Path) -> None:
    """A T5 v1.1 encoder in parts, with ``spiece.model`` alone for a tokenizer, as the released folders are. It has rows
    to spare beyond the tokenizer's 100 sentinels; the first two are the scene tokens'."""
    torch.manual_seed(4)
    config = T5Config(
        vocab_size=len(PIECES) + 100 + SPARE_ROWS,
        d_model=CONFIG.text_width,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        is_encoder_decoder=False,
    )
    T5EncoderModel(config).save_pretrained(folder, max_shard_size="10KB")
    (folder / "spiece.model").write_bytes(spiece_model())


LETTERS = [chr(code) for code in range(33, 127)]
PIECES = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
"""A token for each character: texts of tests are short."""


def spiece_model() -> bytes:
    """The protobuf message: field 1 of each piece its text, 2 its score, 3 its type (a number, here of control)."""
    pieces = [_bytes_field(1, text.encode()) + b"\x15" + struct.pack("<f", score) for text, score in PIECES]
    pieces[0] += b"\x18\x03"
    return b"".join(_bytes_field(1, piece) for piece in pieces) + _bytes_field(3, _bytes_field(1, b"identity"))


def _bytes_field(number: int, value: bytes) -> bytes:
    assert len(value) < 128, "one byte holds the length"
    return bytes([number << 3 | 2, len(value)]) + value
