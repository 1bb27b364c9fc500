"""Measures the exported model: what was asked for against what the pixels show.

In: the assets' folder and sampler settings. Out: accuracies, decibels and seconds as a dictionary, and contact sheets.
Uses the same network, denoiser, guidance and sampler as the engine. Does not know: training, checkpoints.
Legend: B batch, C channels, T h w latent frames, height and width, F frames.
"""

import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch import Tensor
from transformers import T5EncoderModel

from engine.contract.samplers import SamplerName
from engine.diffusion.denoisers import Conditioning, NetworkDenoiser
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise, step_noise
from engine.diffusion.samplers import SamplerState, sample, step_of
from engine.diffusion.schedules import karras_sigmas
from engine.models.cosmos.network import CosmosConfig, CosmosDiT
from tools.diorama import captions, measure, text, world
from tools.diorama.autoencoder import psnr, to_frames, to_pixels

ATTRIBUTES = ("subject", "colour", "motion", "setting")
BATCH = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the sampler; guidance_scale in the usual convention, 1 is none."""

    num_steps: int = 20
    guidance_scale: float = 3.0
    sigma_max: float = 80.0
    sigma_min: float = 0.002
    rho: float = 7.0
    sampler: SamplerName = "res_2ab"


class Bundled:
    """The exported model, in float32 on the CPU."""

    def __init__(self, assets: Path) -> None:
        self.tokenizer = text.load_tokenizer(assets / "tokenizer")
        self.encoder = T5EncoderModel.from_pretrained(assets / "text_encoder", dtype=torch.float32).eval()
        self.autoencoder = AutoencoderKLWan.from_pretrained(assets / "autoencoder", torch_dtype=torch.float32).eval()
        sizes = json.loads((assets / "transformer" / "config.json").read_text())
        extra = sizes.pop("extra_pos_embed")
        self.network = CosmosDiT(CosmosConfig(**sizes, extra_pos_embed=tuple(extra) if extra else None)).eval()
        weights = load_file(assets / "transformer" / "model.safetensors")
        self.network.load_state_dict({k: v.float() for k, v in weights.items()})
        config = self.autoencoder.config
        self.mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
        self.std = torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)
        self.shape = (len(config.latents_mean), 5, world.HEIGHT_PX // 8, world.WIDTH_PX // 8)

    def num_parameters(self) -> dict[str, int]:
        parts = {"network": self.network, "autoencoder": self.autoencoder, "text": self.encoder}
        return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> Tensor:
        return text.embed(self.encoder, *text.tokens_of(self.tokenizer, texts))

    @torch.inference_mode()
    def encode(self, frames: np.ndarray) -> Tensor:
        """(B, F, H, W, 3) uint8 to normalised latents (B, C, T, h, w)."""
        return (self.autoencoder.encode(to_pixels(frames)).latent_dist.mode() - self.mean) / self.std

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        return to_frames(self.autoencoder.decode(latents * self.std + self.mean).sample)

    def generate(self, texts: list[str], settings: Settings, seed: int, frames: Tensor | None = None) -> np.ndarray:
        """-> (B, F, H, W, 3) uint8. frames: clean normalised latents of the first frames, (B, C, T0, h, w)."""
        negative = self.embed([""]).expand(len(texts), -1, -1)
        conditioning = Conditioning(self.embed(texts), negative, frames)
        guided = Guided(NetworkDenoiser(self.network), settings.guidance_scale, batched=frames is None)
        levels = karras_sigmas(settings.num_steps, settings.sigma_max, settings.sigma_min, settings.rho)
        noise = seeded_noise((len(texts), *self.shape), seed) * levels[0]
        step = step_of(settings.sampler, step_noise(seed))
        x0 = sample(step, lambda x, sigma: guided(x, sigma, conditioning), SamplerState(noise), levels)
        return self.decode(x0)


def accuracies(asked: list[world.Combination], shown: list[measure.Reading]) -> dict[str, float]:
    """Per cent right of each attribute, and of all four together."""
    right = [[getattr(a, k) == getattr(b, k) for k in ATTRIBUTES] for a, b in zip(asked, shown, strict=True)]
    table = np.array(right)
    result = {k: round(100 * float(table[:, i].mean()), 1) for i, k in enumerate(ATTRIBUTES)}
    return result | {"all_four": round(100 * float(table.all(1).mean()), 1), "n": len(asked)}


def spread(n: int) -> list[world.Combination]:
    """n held-out combinations in a fixed mixed order; beyond 200 they come again."""
    combinations = world.held_out_combinations()
    random.Random(4).shuffle(combinations)
    return [combinations[i % len(combinations)] for i in range(n)]


def text_to_video(model: Bundled, n: int, settings: Settings) -> tuple[dict, list]:
    rng, asked, clips = random.Random(11), spread(n), []
    texts = [captions.plain_caption(c, rng) for c in asked]
    for i in range(0, n, BATCH):
        clips.extend(model.generate(texts[i : i + BATCH], settings, seed=100 + i))
    shown = [measure.read(c) for c in clips]
    return accuracies(asked, shown) | {"confusions": _confusions(asked, shown)}, list(zip(texts, clips, strict=True))


def image_to_video(model: Bundled, n: int, settings: Settings) -> tuple[dict, list]:
    """From still, centred pictures of held-out combinations. The first frame is compared with the picture."""
    rng, asked, clips, decibels = random.Random(12), spread(n), [], []
    texts = [captions.plain_caption(c, rng) for c in asked]
    for i in range(0, n, BATCH):
        stills = np.stack([world.render_still(c, i + k) for k, c in enumerate(asked[i : i + BATCH])])
        made = model.generate(texts[i : i + BATCH], settings, 500 + i, model.encode(stills[:, None]))
        decibels += [psnr(a[0], b) for a, b in zip(made, stills, strict=True)]
        clips.extend(made)
    shown = [measure.read(c) for c in clips]
    first = {"mean": round(float(np.mean(decibels)), 2), "worst": round(min(decibels), 2)}
    result = accuracies(asked, shown) | {"first_frame_db": first, "confusions": _confusions(asked, shown)}
    return result, list(zip(texts, clips, strict=True))


def _confusions(asked: list[world.Combination], shown: list[measure.Reading]) -> dict[str, int]:
    """How often what was asked for came out as something else, for motion and subject."""
    pairs = zip(asked, shown, strict=True)
    wrong = Counter(
        f"{getattr(a, k)} as {getattr(b, k)}"
        for a, b in pairs
        for k in ("subject", "motion")
        if getattr(a, k) != getattr(b, k)
    )
    return dict(wrong.most_common(12))


def reconstruction(model: Bundled, n: int) -> tuple[dict, list]:
    asked, decibels, shown, pairs = spread(n), [], [], []
    for i, c in enumerate(asked):
        frames = world.render(c, 5000 + i).frames
        output = model.decode(model.encode(frames[None]))[0]
        decibels.append(psnr(output, frames))
        shown.append(measure.read(output))
        pairs += [("truth", frames), (f"{c.colour} {c.subject}", output)]
    result = accuracies(asked, shown) | {"db_mean": round(float(np.mean(decibels)), 2)}
    return result | {"db_worst": round(min(decibels), 2)}, pairs


def seconds_a_clip(model: Bundled, settings: Settings) -> float:
    model.generate(["a red ball rolls right in the snow"], settings, 0)
    started = time.monotonic()
    model.generate(["a red ball rolls right in the snow"], settings, 1)
    return round(time.monotonic() - started, 2)


def evaluate(assets: Path, sheets: Path, n: int, settings: Settings) -> dict:
    """Everything the model card states; n clips from text, n // 3 from pictures, n // 4 reconstructions."""
    model = Bundled(assets)
    result: dict = {"settings": {k: getattr(settings, k) for k in Settings.__slots__}}
    for name, (figures, rows) in (
        ("text_to_video", text_to_video(model, n, settings)),
        ("image_to_video", image_to_video(model, max(8, n // 3), settings)),
        ("autoencoder", reconstruction(model, max(4, n // 4))),
    ):
        result[name] = figures
        contact_sheet(rows[:24], sheets / f"{name}.png")
    return result | {"seconds_a_clip": seconds_a_clip(model, settings)}


def draw(assets: Path, path: Path, n: int, settings: Settings | None = None) -> None:
    """A contact sheet of n held-out combinations."""
    contact_sheet(text_to_video(Bundled(assets), n, settings or Settings())[1], path)


def contact_sheet(rows: list[tuple[str, np.ndarray]], path: Path, zoom: int = 1) -> None:
    """Five frames a clip, the text above each; two clips side by side."""
    width, height = 5 * (world.WIDTH_PX + 1) * zoom, (world.HEIGHT_PX + 14) * zoom
    sheet = Image.new("RGB", (2 * width + 8, height * ((len(rows) + 1) // 2)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (caption, frames) in enumerate(rows):
        left, top = (i % 2) * (width + 8), (i // 2) * height
        draw.text((left, top), caption[:90], fill="black")
        for k in range(5):
            picture = Image.fromarray(frames[4 * k])
            picture = picture.resize((world.WIDTH_PX * zoom, world.HEIGHT_PX * zoom), Image.Resampling.NEAREST)
            sheet.paste(picture, (left + k * (world.WIDTH_PX + 1) * zoom, top + 13 * zoom))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
