"""Embeddings of prompts, kept on the disk by content: a prompt is encoded once, ever.

Comes in: prompts, and a way to load the encoder that is used only for prompts that are new. Goes out: embeddings, the
same bits whether they were computed or kept. Does not know models, guidance or ranks.

Letters: B batch, L text length, D width.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.runtime.residency import resident
from engine.storage.atomic import replacing


class PromptEmbeddingCache:
    """``encoder``: what tells encoders apart, such as a hash of their files."""

    def __init__(self, folder: Path, encoder: str, load: Callable[[], nn.Module]) -> None:
        self.folder, self.encoder, self._load = folder, encoder, load
        self._loaded: nn.Module | None = None

    def encode(self, prompts: list[str], max_tokens: int, device: torch.device, stays: bool) -> Tensor:
        """-> (B, L, D) on the CPU, L = ``max_tokens``. ``stays``: the encoder is kept for the next time."""
        kept = {prompt: self._kept(prompt, max_tokens) for prompt in dict.fromkeys(prompts)}
        found = {prompt: embedding for prompt, embedding in kept.items() if embedding is not None}
        found |= self._fresh([prompt for prompt in kept if prompt not in found], max_tokens, device, stays)
        return torch.cat([found[prompt] for prompt in prompts])

    def unload(self) -> None:
        """Forgets the encoder, so that its memory is free; it is loaded again for the next new prompt."""
        self._loaded = None

    def _fresh(self, prompts: list[str], max_tokens: int, device: torch.device, stays: bool) -> dict[str, Tensor]:
        """Encoded now, and kept."""
        if not prompts:
            return {}
        self._loaded = self._loaded or self._load()
        with resident(self._loaded, device, stays) as encoder:
            fresh = {prompt: encoder([prompt], max_tokens).cpu() for prompt in prompts}
        if not stays:
            self.unload()
        for prompt, embedding in fresh.items():
            self._keep(prompt, max_tokens, embedding)
        return fresh

    def _path(self, prompt: str, max_tokens: int) -> Path:
        key = hashlib.sha256(json.dumps([self.encoder, max_tokens, prompt]).encode()).hexdigest()
        return self.folder / f"{key}.safetensors"

    def _kept(self, prompt: str, max_tokens: int) -> Tensor | None:
        try:
            return load_file(self._path(prompt, max_tokens))["text"]
        except (OSError, SafetensorError, KeyError):
            return None

    def _keep(self, prompt: str, max_tokens: int, embedding: Tensor) -> None:
        """What cannot be kept is encoded again the next time."""
        with contextlib.suppress(OSError, SafetensorError), replacing(self._path(prompt, max_tokens)) as draft:
            save_file({"text": embedding.contiguous()}, draft)
