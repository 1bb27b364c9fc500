"""Trains the autoencoder: single frames first, then whole clips.

In: rendered clips in the cache folder. Out: a checkpoint there, later an `AutoencoderKLWan` and its latents' mean and
std. Does not know: text, the diffusion network.
Legend: B batch, F frames, H W pixels, z T h w latents.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from torch import Tensor

from tools.diorama import clips, twin
from tools.diorama.optim import Optimizer
from tools.diorama.training import Clock, load_state, log, save_state

KL_WEIGHT = 2e-4
# batch, Muon rate, AdamW rate; the decoder's stage leaves the latents as they are
STAGES = {"image": (16, 0.02, 2e-3), "clip": (4, 0.006, 1e-3), "decoder": (4, 0.004, 6e-4)}
STARTS_FROM = {"clip": "image", "decoder": "clip"}


def to_pixels(frames: np.ndarray, device: str = "cpu") -> Tensor:
    """(B, F, H, W, 3) uint8 to (B, 3, F, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0


def to_frames(pixels: Tensor) -> np.ndarray:
    """(B, 3, F, H, W) in [-1, 1] to (B, F, H, W, 3) uint8."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / max(1e-9, np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))))


def reconstruction_loss(output: Tensor, pixels: Tensor) -> Tensor:
    """Absolute and squared error, three times as heavy on and around saturated pixels: the subject."""
    chroma = (pixels.amax(1) - pixels.amin(1)) / 2
    near = F.max_pool2d((chroma > 0.42).float().flatten(0, 1)[:, None], 7, 1, 3)
    weight = 1 + 2 * near.reshape(chroma.shape)[:, None]
    error = output - pixels
    return ((error.abs() + error.square()) * weight).mean() / weight.mean()


def _batch(data: clips.ClipSet, stage: str, picked: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if stage != "image":
        return data.frames[picked]
    frame = rng.integers(data.frames.shape[1], size=len(picked))
    return np.stack([data.frames[i, f : f + 1] for i, f in zip(picked, frame, strict=True)])


def _decoder_loss(model: AutoencoderKLWan, latents: Tensor, pixels: Tensor) -> Tensor:
    """The mean over clips of the logarithm of the squared error: what decibels measure."""
    with torch.autocast(pixels.device.type, torch.bfloat16):
        output = twin.decode(model, latents)
    return (output.float() - pixels).square().flatten(1).mean(1).log().mean()


def _loss(model: AutoencoderKLWan, pixels: Tensor) -> Tensor:
    with torch.autocast(pixels.device.type, torch.bfloat16):
        mean, log_variance = twin.encode(model, pixels)
        noisy = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        output = twin.decode(model, noisy)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return reconstruction_loss(output, pixels) + KL_WEIGHT * kl


def _is_hidden(name: str) -> bool:
    return name.endswith("weight") and not name.startswith(("encoder.conv_in", "decoder.conv_out"))


def train_stage(cache: Path, stage: str, minutes: float, device: str) -> None:
    """Goes on from the cache folder's checkpoint; the clip stage starts from the image stage's weights, inflated."""
    batch, muon_rate, adam_rate = STAGES[stage]
    data = clips.load_set(cache / "training")
    checkpoint = cache / f"autoencoder_{stage}.pt"
    model = AutoencoderKLWan(**twin.MODEL).to(device)
    state = load_state(checkpoint)
    if state is None:
        _start(model, cache, stage)
    else:
        model.load_state_dict(state["model"])
    latents = np.load(cache / "training" / "latents.npy", mmap_mode="r") if stage == "decoder" else None
    if stage == "decoder":
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    optimizer = Optimizer(model.named_parameters(), _is_hidden, muon_rate, adam_rate)
    if state is not None:
        optimizer.load_state_dict(state["optimizer"])
    step, clock = (state or {}).get("step", 0), Clock(minutes, (state or {}).get("spent_s", 0.0))
    rng, average = np.random.default_rng(step + 1), None
    while not clock.is_over():
        picked = np.sort(rng.integers(len(data.frames), size=batch))
        pixels = to_pixels(_batch(data, stage, picked, rng), device)
        if latents is None:
            loss = _loss(model, pixels)
        else:
            loss = _decoder_loss(model, torch.from_numpy(latents[picked]).to(device).float(), pixels)
        optimizer.zero_grad()
        loss.backward()
        if math.isfinite(loss.item()):
            torch.nn.utils.clip_grad_norm_(optimizer.parameters(), 2.0)
            optimizer.step(clock.factor(step))
        average = loss.item() if average is None else 0.97 * average + 0.03 * loss.item()
        step += 1
        if step % 50 == 0:
            log(cache / "autoencoder.log", f"{stage} step {step} loss {average:.4f} spent {clock.spent_s():.0f} s")
        if clock.should_save():
            _save(checkpoint, model, optimizer, step, clock)
            _report(cache, model, stage, device)
    _save(checkpoint, model, optimizer, step, clock)
    _report(cache, model, stage, device)


def _start(model: AutoencoderKLWan, cache: Path, stage: str) -> None:
    if stage == "image":
        twin.still_start(model)
        return
    model.load_state_dict(torch.load(cache / f"autoencoder_{STARTS_FROM[stage]}.pt", weights_only=True)["model"])
    if stage == "clip":
        twin.inflate(model)


def _save(path: Path, model: AutoencoderKLWan, optimizer: Optimizer, step: int, clock: Clock) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent_s": clock.spent_s()}
    save_state(path, state)


@torch.no_grad()
def _report(cache: Path, model: AutoencoderKLWan, stage: str, device: str) -> None:
    frames = clips.load_set(cache / "held_out").frames[::25]
    frames = frames[:, ::8][:, :1] if stage == "image" else frames
    pixels = to_pixels(frames, device)
    with torch.autocast(device, torch.bfloat16):
        output = to_frames(twin.decode(model, twin.encode(model, pixels)[0]))
    log(cache / "autoencoder.log", f"{stage} held-out {psnr(output, frames):.2f} dB")


def load_trained(cache: Path) -> AutoencoderKLWan:
    """The weights of the latest stage that was begun, or a fresh autoencoder."""
    model = AutoencoderKLWan(**twin.MODEL)
    for stage in ("decoder", "clip", "image"):
        state = load_state(cache / f"autoencoder_{stage}.pt")
        if state is not None:
            model.load_state_dict(state["model"])
            break
    return model.eval()


@torch.no_grad()
def encode_set(cache: Path, name: str, model: AutoencoderKLWan, device: str, batch: int = 8) -> None:
    """Writes every clip's mean latents, (N, z, T, h, w) float16, not normalised; for training their statistics too."""
    frames = clips.load_set(cache / name).frames
    latents = []
    for i in range(0, len(frames), batch):
        with torch.autocast(device, torch.bfloat16):
            latents.append(twin.encode(model, to_pixels(frames[i : i + batch], device))[0].half().cpu())
    whole = torch.cat(latents)
    np.save(cache / name / "latents.npy", whole.numpy())
    if name == "training":
        spread = {"mean": whole.float().mean((0, 2, 3, 4)), "std": whole.float().std((0, 2, 3, 4))}
        save_state(cache / "latent_statistics.pt", spread)
