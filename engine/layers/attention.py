"""Attention over video tokens, and ``TokenLayout``, the interface of context parallelism.

Comes in: queries, keys and values of the tokens this rank holds. Goes out: the attended values of the same tokens.
Does not know ranks, process groups or models: a rank group hands in its own ``TokenLayout``.

Letters: B batch, T latent frames, S tokens of one frame, N = T*S tokens, A heads, d head width.
"""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q, k, v), each (B, A, N, d) -> (B, A, N, d)."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention without a mask, scale 1/sqrt(d). q (B, A, N, d), k and v (B, A, M, d) -> (B, A, N, d)."""
    return F.scaled_dot_product_attention(q, k, v)


def attend_plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The plain twin of ``attend``: matmul, softmax, matmul. Same shapes; faster backward in bf16 on a CPU."""
    weights = torch.softmax((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5, dim=-1)
    return weights @ v


class TokenLayout(Protocol):
    """How the tokens of each frame are spread over ranks, and how attention sees all of them."""

    attend: Attend
    """How one rank's heads attend."""

    def scatter(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) of all tokens -> (B, T, S_local, D), this rank's tokens of every frame."""
        ...

    def gather(self, tokens: Tensor, tokens_per_frame: int) -> Tensor:
        """(B, T, S_local, D) -> (B, T, S, D) on every rank; S is ``tokens_per_frame``."""
        ...

    def self_attend(self, q: Tensor, k: Tensor, v: Tensor, tokens_per_frame: int) -> Tensor:
        """Each (B, T, S_local, A, d): every local query attends to all N tokens. -> (B, T, S_local, A, d)."""
        ...

    def to_heads(self, x: Tensor, tokens_per_frame: int) -> Tensor:
        """(B, T, S_local, A, d), this rank's tokens -> (B, T, S, A_local, d), all tokens of this rank's heads."""
        ...

    def to_tokens(self, x: Tensor) -> Tensor:
        """(B, T, S, A_local, d) -> (B, T, S_local, A, d): the way back from ``to_heads``."""
        ...

    def heads(self, parameter: Tensor) -> Tensor:
        """(A, ...) of all heads -> (A_local, ...), those that ``to_heads`` gives this rank."""
        ...


class SingleRankLayout:
    """One rank holds all tokens: scatter and gather are the identity. The plain twin of every parallel layout."""

    def __init__(self, attend: Attend = attend) -> None:
        self.attend = attend

    def scatter(self, tokens: Tensor) -> Tensor:
        return tokens

    def gather(self, tokens: Tensor, tokens_per_frame: int) -> Tensor:
        return tokens

    def self_attend(self, q: Tensor, k: Tensor, v: Tensor, tokens_per_frame: int) -> Tensor:
        return attend_frames(self.attend, q, k, v)

    def to_heads(self, x: Tensor, tokens_per_frame: int) -> Tensor:
        return x

    def to_tokens(self, x: Tensor) -> Tensor:
        return x

    def heads(self, parameter: Tensor) -> Tensor:
        return parameter


def attend_frames(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over all frames at once: each (B, T, S, A, d) -> (B, T, S, A, d)."""
    frames = q.shape[1:3]
    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))  # (B, A, N, d)
    return attend(q, k, v).transpose(1, 2).unflatten(1, frames)
