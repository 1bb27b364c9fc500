"""Embeddings of prompts, stored on disk by content: each prompt is encoded once.

Comes in: prompts, and a way to load the encoder, which is used only for new prompts. Goes out: embeddings, the same
bits whether they are computed or read. Does not know models, guidance or ranks.

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

from engine.runtime.memory.residency import LazyModule, Residency
from engine.storage.atomic import replacing


class PromptEmbeddingCache:
    """``encoder_key``: identifies the encoder, such as by the hashes of its files."""

    def __init__(self, folder: Path, encoder_key: str, load: Callable[[], nn.Module]) -> None:
        self.folder, self.encoder_key, self.encoder = folder, encoder_key, LazyModule(load)

    def encode(self, prompts: list[str], max_tokens: int, residency: Residency) -> Tensor:
        """-> (B, L, D) on the CPU, L = ``max_tokens``."""
        stored = {prompt: self._read(prompt, max_tokens) for prompt in dict.fromkeys(prompts)}
        embeddings = {prompt: embedding for prompt, embedding in stored.items() if embedding is not None}
        embeddings |= self._compute([prompt for prompt in stored if prompt not in embeddings], max_tokens, residency)
        return torch.cat([embeddings[prompt] for prompt in prompts])

    def _compute(self, prompts: list[str], max_tokens: int, residency: Residency) -> dict[str, Tensor]:
        """Encodes new prompts and stores their embeddings."""
        if not prompts:
            return {}
        with residency.lazy_on_device(self.encoder) as encoder:
            embeddings = {prompt: encoder([prompt], max_tokens).cpu() for prompt in prompts}
        for prompt, embedding in embeddings.items():
            self._write(prompt, max_tokens, embedding)
        return embeddings

    def _path(self, prompt: str, max_tokens: int) -> Path:
        key = hashlib.sha256(json.dumps([self.encoder_key, max_tokens, prompt]).encode()).hexdigest()
        return self.folder / f"{key}.safetensors"

    def _read(self, prompt: str, max_tokens: int) -> Tensor | None:
        try:
            return load_file(self._path(prompt, max_tokens))["text"]
        except (OSError, SafetensorError, KeyError):
            return None

    def _write(self, prompt: str, max_tokens: int, embedding: Tensor) -> None:
        """An embedding that cannot be stored is encoded again the next time."""
        with contextlib.suppress(OSError, SafetensorError), replacing(self._path(prompt, max_tokens)) as draft:
            save_file({"text": embedding.contiguous()}, draft)
