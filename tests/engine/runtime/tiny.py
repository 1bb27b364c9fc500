"""A model of the real classes with random weights, small enough to render a scene in a second. For tests only.

Comes in: two folders. Goes out: a model folder in the layout the engine reads, and its card. Does not know what the
pictures mean: they are noise, and always the same noise for the same recipe.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
import yaml
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from engine.contract.card_values import (
    AutoencoderSizes,
    LatentPreview,
    NetworkSizes,
    Part,
    Parts,
    SamplerDefaults,
    TextSizes,
)
from engine.contract.cards import ModelCard
from engine.models.cosmos.network import CosmosConfig, CosmosDiT

TEXT_WIDTH, MAX_TOKENS, LATENT_CHANNELS = 16, 12, 6


def make_tiny_model(folder: Path, cards_folder: Path, name: str = "tiny") -> ModelCard:
    """Writes ``folder``/``name``/{tokenizer,text_encoder,autoencoder,transformer} and ``cards_folder``/``name``.yaml.

    ``folder`` is the models' root that the card's own ``folder`` is relative to.
    """
    model = folder / name
    write_tokenizer(model / "tokenizer")
    torch.manual_seed(5)
    _text_encoder(len(characters()) + 3).save_pretrained(model / "text_encoder")
    _autoencoder().save_pretrained(model / "autoencoder")
    num_parameters = _write_network(model / "transformer")
    card = tiny_card(name, num_parameters)
    cards_folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False)
    (cards_folder / f"{name}.yaml").write_text(text)
    return card


def own_parts(folder: str) -> Parts:
    """The parts of a model in the layout that this project writes."""
    names = ("network", "transformer"), ("autoencoder",) * 2, ("text_encoder",) * 2, ("tokenizer",) * 2
    return Parts.model_validate({part: Part(folder=folder, paths=(path,)) for part, path in names})


def tiny_config() -> CosmosConfig:
    return CosmosConfig(
        width=48,
        num_blocks=2,
        num_heads=4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_width=TEXT_WIDTH,
        adaln_lora_dim=8,
        rope_theta=100.0,
        rope_ratio_h=1.0,
        rope_ratio_w=1.0,
    )


def tiny_card(name: str, num_parameters: int) -> ModelCard:
    return ModelCard(
        name=name,
        title="Tiny",
        summary="Random weights, for tests.",
        family="cosmos",
        licence="Apache-2.0",
        origin="made by the tests",
        parts=own_parts(name),
        network=NetworkSizes(width=48, num_blocks=2, num_heads=4, patch_spatial=2, num_parameters=num_parameters),
        autoencoder=AutoencoderSizes(spatial_factor=8, temporal_factor=4, latent_channels=LATENT_CHANNELS),
        text=TextSizes(max_tokens=MAX_TOKENS),
        sizes_px={"3:2": (48, 32), "1:1": (32, 32), "16:9": (64, 32)},
        default_aspect="3:2",
        fps=8,
        chunk_num_frames=9,
        conditioning_num_frames=(1, 5),
        continue_num_frames=5,
        max_duration_s=60.0,
        sampler=SamplerDefaults(name="res_2ab", sigma_max=80.0, sigma_min=0.002, rho=7.0),
        guidance_scale=3.0,
        precision="float32",
        capabilities=("text", "image", "clip", "continue", "negative_prompt", "sdedit"),
        preview=_preview(),
    )


def _preview() -> LatentPreview:
    weight = (torch.randn(3, LATENT_CHANNELS, generator=torch.Generator().manual_seed(1)) * 0.1).tolist()
    red, green, blue = (tuple(row) for row in weight)
    return LatentPreview(weight=(red, green, blue), bias=(0.5, 0.5, 0.5))


def characters() -> list[str]:
    return [chr(c) for c in range(33, 127) if not chr(c).isupper()] + ["▁"]


def write_tokenizer(folder: Path) -> None:
    """One token per character, three special tokens: padding, end, unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=len(characters()) + 3,
        special_tokens=specials,
        initial_alphabet=characters(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=MAX_TOKENS
    )
    fast.save_pretrained(folder)


def _text_encoder(vocabulary_size: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=vocabulary_size,
        d_model=TEXT_WIDTH,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        is_encoder_decoder=False,
        use_cache=False,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
    )
    return T5EncoderModel(config)


def _autoencoder() -> AutoencoderKLWan:
    """8 times smaller in space, 4 times in time, as the bundled model's."""
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        latents_mean=[0.1 * i for i in range(LATENT_CHANNELS)],
        latents_std=[0.5 + 0.1 * i for i in range(LATENT_CHANNELS)],
        scale_factor_temporal=4,
        scale_factor_spatial=8,
    )


def _write_network(folder: Path) -> int:
    """-> number of parameters. Weights of normal size, so that every branch of the network shows in its output."""
    network = CosmosDiT(tiny_config())
    state = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(tiny_config()), indent=2))
    return sum(tensor.numel() for tensor in state.values())
