"""Writes the bundled model's files from the cache folder's checkpoints.

In: checkpoints. Out: `tokenizer/`, `text_encoder/`, `autoencoder/`, `transformer/` (fp16 safetensors with their
configurations), `preview.json` and `vocabulary.json`. Does not know: training, measuring.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tools.diorama import autoencoder, captions, clips, dit, text


def export(cache: Path, assets: Path) -> None:
    """Every part that is not trained yet is written untrained, in its final size."""
    if not (cache / "tokenizer").exists():
        text.make_tokenizer(cache / "tokenizer")
    shutil.copytree(cache / "tokenizer", assets / "tokenizer", dirs_exist_ok=True)
    text.load_trained(cache).half().save_pretrained(assets / "text_encoder")
    _export_autoencoder(cache, assets / "autoencoder")
    _export_transformer(cache, assets / "transformer")
    _write_json(assets / "preview.json", preview_map(cache))
    _write_json(assets / "vocabulary.json", captions.vocabulary())


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def _statistics(cache: Path) -> dict[str, list[float]]:
    path = cache / "latent_statistics.pt"
    if not path.exists():
        return {"latents_mean": [0.0] * 32, "latents_std": [1.0] * 32}
    saved = torch.load(path, weights_only=True)
    return {f"latents_{k}": [round(float(v), 5) for v in saved[k]] for k in ("mean", "std")}


def _export_autoencoder(cache: Path, folder: Path) -> None:
    model = autoencoder.load_trained(cache)
    model.register_to_config(**_statistics(cache))
    model.half().save_pretrained(folder)


def _export_transformer(cache: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    network = dit.load_trained(cache)
    _write_json(folder / "config.json", asdict(network.config))
    save_file({k: v.half().contiguous() for k, v in network.state_dict().items()}, folder / "model.safetensors")


def preview_map(cache: Path, num_clips: int = 100) -> dict[str, list]:
    """The linear map from a normalised latent (z,) to RGB in [0, 1] that is best in the least squares sense."""
    path = cache / "training" / "latents.npy"
    if not path.exists():
        return {"weight": [[0.0] * 32] * 3, "bias": [0.5] * 3}
    latents = torch.from_numpy(np.load(path, mmap_mode="r")[:num_clips].astype(np.float32))
    saved = torch.load(cache / "latent_statistics.pt", weights_only=True)
    normalised = (latents - saved["mean"].view(-1, 1, 1, 1)) / saved["std"].view(-1, 1, 1, 1)
    x = normalised.permute(0, 2, 3, 4, 1).reshape(-1, latents.shape[1])
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    y = _small_frames(clips.load_set(cache / "training").frames[:num_clips])
    solution = torch.linalg.lstsq(x, y).solution
    rounded = [[round(float(v), 5) for v in row] for row in solution.T]
    return {"weight": [row[:-1] for row in rounded], "bias": [row[-1] for row in rounded]}


def _small_frames(frames: np.ndarray) -> Tensor:
    """(N, F, H, W, 3) to (N * T * h * w, 3) in [0, 1]: the mean colour behind each latent."""
    n, f, h, w, _ = frames.shape
    small = frames.reshape(n, f, h // 8, 8, w // 8, 8, 3).mean((3, 5)) / 255.0
    later = small[:, 1:].reshape(n, (f - 1) // 4, 4, h // 8, w // 8, 3).mean(2)
    return torch.from_numpy(np.concatenate([small[:, :1], later], 1).reshape(-1, 3)).float()
